# SPDX-License-Identifier: Apache-2.0
"""Single key presses from an interactive terminal; Ctrl-C stays a signal."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


class Keys:
    """Keys pressed at the terminal with descriptor `fd`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def wait(self, seconds: float) -> str:
        """The next key, or nothing when none is pressed in time."""
        try:
            ready, _, _ = select.select([self._fd], [], [], seconds)
            return os.read(self._fd, 1).decode(errors="replace") if ready else ""
        except OSError:
            # The terminal has gone; its SIGHUP ends the demo.
            return ""


def available() -> bool:
    """Whether keys can be read here."""
    return _foreground_terminal() is not None


@contextmanager
def pressed() -> Iterator[Keys | None]:
    """Read keys while this lasts; None where there is no terminal in the foreground."""
    fd = _foreground_terminal()
    if fd is None:
        yield None
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _foreground_terminal() -> int | None:
    try:
        fd = sys.stdin.fileno()
        # A background job that reads its terminal would be stopped.
        return fd if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None

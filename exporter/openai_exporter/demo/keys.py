# SPDX-License-Identifier: Apache-2.0
"""Single key presses from an interactive terminal; Ctrl-C stays a signal."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Keys:
    """Keys pressed at the terminal with descriptor `fd`.

    Attributes:
        gone: whether the terminal was closed; not every parent passes the hang-up on as a signal, make does not.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.gone = False

    def wait(self, seconds: float) -> str:
        """The next key, or nothing when none is pressed in time."""
        try:
            ready, _, _ = select.select([self._fd], [], [], seconds)
            if not ready:
                return ""
            pressed = os.read(self._fd, 1)
        except OSError:
            pressed = b""
        self.gone = not pressed
        return pressed.decode(errors="replace")


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
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _foreground_terminal() -> int | None:
    try:
        fd = sys.stdin.fileno()
        # A background job that reads its terminal would be stopped.
        return fd if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None

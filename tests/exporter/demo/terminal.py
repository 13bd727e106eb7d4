# SPDX-License-Identifier: Apache-2.0
"""A program on a pseudo-terminal of its own, as a person runs it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def _control_it() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A running program and what its terminal shows, control sequences left out."""

    def __init__(self, argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=side, stdout=side, stderr=side, start_new_session=True, preexec_fn=_control_it
        )
        os.close(side)
        self._seen = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the program has ended.
        with suppress(OSError):
            while piece := os.read(self._main, 65_536):
                self._seen += piece.decode(errors="replace")

    @property
    def text(self) -> str:
        """Everything that was shown so far."""
        return _CONTROL.sub("", self._seen)

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._main, key.encode())

    def end(self) -> int:
        """Wait for the program's end; its status."""
        status = self.process.wait(30)
        self._reader.join(10)
        os.close(self._main)
        return status

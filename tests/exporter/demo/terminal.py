# SPDX-License-Identifier: Apache-2.0
"""A program on a pseudo-terminal of its own, as a person runs it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.deadlines import SECONDS

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_ON_IT = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the program's own. No `preexec_fn`: between fork and exec, Python's own code may wait for ever for
a lock that another thread held."""


class Terminal:
    """A running program and what its terminal shows."""

    def __init__(self, argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        begin = [sys.executable, "-I", "-S", "-c", _ON_IT]
        self.process = subprocess.Popen([*begin, *argv], cwd=cwd, env=env, stdin=side, stdout=side, stderr=side)
        os.close(side)
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the program has ended.
        with suppress(OSError):
            while piece := os.read(self._main, 65_536):
                self._seen += piece

    @property
    def raw(self) -> str:
        """Everything that was shown so far, control sequences too."""
        return self._seen.decode(errors="replace")

    @property
    def text(self) -> str:
        """Everything that was shown so far, control sequences left out."""
        return _CONTROL.sub("", self.raw)

    def shows(self, text: str) -> None:
        """Wait until it shows a text; fails with what it shows instead."""
        end = time.monotonic() + SECONDS
        while text not in self.text and self._reader.is_alive() and time.monotonic() < end:
            self._reader.join(0.02)
        if text not in self.text:
            self.process.kill()
            raise AssertionError(f"no {text!r} on the terminal of {self.process.args!r}; it shows {self.text!r}")

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._main, key.encode())

    def end(self) -> int:
        """Wait for the program's end; its status. One that does not end is killed."""
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.process.args!r} did not end; its terminal shows {self.text!r}") from None
        finally:
            self._reader.join(10)
            os.close(self._main)
        return status

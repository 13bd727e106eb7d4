# SPDX-License-Identifier: Apache-2.0
"""A file that one process at a time holds locked; the kernel lets go of it when that process ends, however it does."""

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
_WITHOUT = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that know no locks: then there is none to hold."""


class FileLock:
    """An advisory lock (flock) on a file, which says who holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def acquire(self) -> bool:
        """Whether it is held now; does not wait.

        Raises:
            OSError: the file can be neither made nor opened.
        """
        if self._held is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _WITHOUT:
                os.close(file)
                if error.errno in _TAKEN:
                    return False
                raise
        self._held = file
        self._sign(file)
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    @property
    def holder(self) -> str:
        """Who wrote itself into the file, `process 42 on host`; empty when that cannot be told."""
        try:
            return self._path.read_text(encoding="utf-8").strip()[:200]
        except (OSError, UnicodeDecodeError):
            return ""

    def _sign(self, file: int) -> None:
        # A full disk must not keep anybody from holding the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

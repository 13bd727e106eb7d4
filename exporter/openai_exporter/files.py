# SPDX-License-Identifier: Apache-2.0
"""Files read within a bound, files written so that nobody ever sees half of one, and the templates of HTML pages."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from openai_exporter.errors import ConfigError, Problem

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_BYTES = 1 << 20
"""Bound on a file that people write."""
PRIVATE = 0o600
"""Mode of state and reports: what an organization uses and pays concerns nobody else on the machine."""
_HEAD = 300
_VERSION = re.compile(rb'"version": ?(\d{1,9})')


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """At most `limit` bytes of a regular file; a pipe or device, which may never end or never begin, is refused.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return stream.read(limit)


def read_text(path: Path, what: str) -> str:
    """The text of a file that a person wrote; a byte order mark is dropped.

    Args:
        what: what the file should be, for the message, such as `a configuration`.

    Raises:
        ConfigError: it cannot be read, is larger than `MAX_BYTES` or is not UTF-8.
    """
    try:
        content = read_bytes(path, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem(str(path), f"is larger than 1 MiB; this is not {what}")])
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), _unreadable(error))]) from None


def private(path: str, flags: int) -> int:
    """An opener for files that only their owner may read."""
    return os.open(path, flags, PRIVATE)


def check_replaceable(path: Path) -> None:
    """Refuse what no file may take the place of: a directory, a device, a pipe.

    Raises:
        OSError: the path is one.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def write_atomically(path: Path, content: str | Iterable[str], *, mode: int | None = None) -> None:
    """Replace a file in one step: a reader, or a machine that stops, finds the old text or the new one.

    Args:
        content: the text, or its pieces as they are made.
        mode: permissions; None for those that the umask leaves.

    Raises:
        OSError: it cannot be written; the old file stays, and nothing lies beside it.
    """
    check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines([content] if isinstance(content, str) else content)
            stream.flush()
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # keeps the new name across a loss of power, where the system can
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def newer_version(path: Path, known: int) -> str:
    """Why a state file must be left untouched, with the fix; empty unless a later program wrote it.

    Args:
        known: the newest version of the format that this program can read.

    Raises:
        OSError: the file exists and cannot be read.
    """
    try:
        with path.open("rb") as stream:
            found = _VERSION.search(stream.read(_HEAD))
    except FileNotFoundError:
        return ""
    if found is None or int(found[1]) <= known:
        return ""
    return (
        f"a newer openai-exporter wrote it (format {int(found[1])}; this one knows {known}); it is left untouched, and "
        "this exporter runs without it; run the newer version, or give this one another --storage.path"
    )


LOCKED, NEWER = "locked", "newer"
"""Why a state file was not replaced."""


def replace_state(path: Path, lock: "FileLock", known: int, content: str | Iterable[str]) -> tuple[str, str] | None:
    """Replace a state file, in a folder of its owner's alone, unless it is another program's.

    Args:
        known: the newest version of the format that this program can read.

    Returns: why it was left as it is, `LOCKED` or `NEWER` with what to tell; None when it was replaced.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not lock.acquire():
        return LOCKED, lock.occupied
    if newer := newer_version(path, known):
        return NEWER, newer
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)  # of a process that was killed while it wrote
    write_atomically(path, content, mode=PRIVATE)
    return None


_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
_WITHOUT = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that know no locks: then there is none to hold."""


class FileLock:
    """An advisory lock (flock) on a file, which says who holds it; the kernel frees it when the process ends."""

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
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
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
    def occupied(self) -> str:
        """What to tell when another exporter holds it."""
        holder = self.holder
        by = f"another exporter ({holder})" if holder else "another exporter"
        return (
            f"{by} holds the lock; running without persistence until it exits; "
            "give each exporter its own --storage.path"
        )

    @property
    def holder(self) -> str:
        """Who wrote itself into the file: `process 42 on host`; empty when that cannot be read."""
        try:
            return self._path.read_text(encoding="utf-8").strip()[:200]
        except (OSError, UnicodeDecodeError):
            return ""

    def _sign(self, file: int) -> None:
        # A full disk must not keep anybody from holding the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def template_environment(package: str) -> "Environment":
    """The HTML templates of a package: values are escaped, and a missing one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # serving needs none before its first page

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} on line {line}); save it as UTF-8"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}; name an existing file"

# SPDX-License-Identifier: Apache-2.0
"""Files to text, within a bound; what cannot be read is a problem with a remedy, not an exception of the system."""

from pathlib import Path

from openai_exporter.errors import ConfigError, Problem

MAX_BYTES = 1 << 20


def read(path: Path, what: str) -> str:
    """The text of a file; `what` says what it should be.

    Raises:
        ConfigError: it cannot be read, is too large or not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem(str(path), f"is larger than 1 MiB; this is not {what}")])
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), _unreadable(error))]) from None


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} on line {line}); save it as UTF-8"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}; name an existing file"

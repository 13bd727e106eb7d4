# SPDX-License-Identifier: Apache-2.0
"""Keys: where they come from, a type that never shows them, and the masking of keys in any text."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from openai_exporter.errors import CredentialError

# Keeps keys that were pasted in the wrong place out of messages and pages.

MASK = "<secret>"

_SHOWN = 60
_READ = 4096

_HEADER = re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"',]{6,}")
# Prefixes of OpenAI and of other vendors' keys, JSON web tokens, bearer tokens, user and password of a URL.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|rk|pk|sess|gsk|xai)[-_][A-Za-z0-9_-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{16,}"
    r"|\bhf_[A-Za-z0-9]{16,}"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+"
    r"|(?i:(?<=\bbearer\s))(?=\S*[0-9])[A-Za-z0-9+/=._~-]{16,}"
    r"|(?<=://)[^/\s@]+(?=@)"
)
# Keys without a prefix (Azure's are hexadecimal): a long run that mixes letters and digits.
_BARE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}={0,2}")
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[-_])(?:(?:api|admin|access|secret|private)[-_]?key|token|authorization|passw(?:or)?d|secret)$|^key$"
)


def mask_keys(text: str) -> str:
    """`text` with everything in it that has the form of a key replaced by a mask."""
    return _PREFIXED.sub(MASK, _HEADER.sub(rf"\1{MASK}", text))


def looks_like_key(text: str) -> bool:
    """Whether a text holds what may be a key, also one without a known prefix."""
    return bool(_PREFIXED.search(text) or _BARE.search(text) or _HEADER.search(text))


def names_a_secret(name: str) -> bool:
    """Whether a value under this name is a secret by its name, such as `api_key` or `password`."""
    return bool(_SECRET_NAME.search(name))


def shown(value: object) -> str:
    """A scalar as a message quotes it: in YAML's words, cut to 60 characters, keys masked."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return cut(mask(str(value)))
    return f"'{cut(mask(_printable(value[:_READ])))}'"


def mask(text: str) -> str:
    """As `mask_keys`, and long runs of mixed letters and digits too: for messages, not for pages."""
    return _BARE.sub(MASK, mask_keys(text))


def cut(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


# Keys: where they come from, and a type that never shows them.

_LONGEST = 8192
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Z][A-Z0-9_]*\s*=\s*[\"']?\S")


class Secret:
    """A key in memory; `repr`, `str` and formatting show a mask, copies share it, nothing serialises it.

    Call `reveal()` only where the key goes into a request header.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a key is read from: a file (read anew each time) or the environment.

    Attributes:
        place: `api_key_file /run/secrets/key` or `environment variable OPENAI_API_KEY`; never the key.
        name: the file or the variable, as the configuration gives it.
        path: the file, None when from the environment.
        value: the key when from the environment, None when from a file or not set.
    """

    place: str
    name: str = ""
    path: Path | None = None
    value: Secret | None = None

    def read(self) -> Secret:
        """The key as it is now.

        Raises:
            CredentialError: unreadable or empty, or it holds what cannot go into a header.
        """
        if self.path is not None:
            return self._checked(self._file(self.path))
        if self.value is None:
            raise CredentialError(self.place, "is not set or empty; set it to the key, or remove this entry")
        return self._checked(self.value.reveal())

    def _file(self, path: Path) -> str:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise CredentialError(self.place, "is not a regular file; put the key into one")
            with path.open("rb") as stream:
                content = stream.read(_LONGEST + 1)
            text = content.decode("utf-8-sig")
        except PermissionError as error:
            remedy = f"let user {os.getuid()}, which this runs as, read it"
            raise CredentialError(self.place, f"cannot be read: {error.strerror}; {remedy}") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CredentialError(self.place, f"cannot be read: {reason}; put the key there") from None
        except UnicodeDecodeError:
            raise CredentialError(self.place, "is not a text file; put the bare key there") from None
        if len(content) > _LONGEST:
            raise CredentialError(
                self.place, f"is larger than {_LONGEST} bytes; put nothing but the key there"
            )
        return text.strip()

    def _checked(self, text: str) -> Secret:
        if not text:
            raise CredentialError(self.place, "is empty; put the key there")
        if _ASSIGNMENT.match(text) or text[0] in "\"'":
            raise CredentialError(self.place, "holds a quote or NAME=; put nothing but the key there")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise CredentialError(
                self.place,
                "holds more than one key, or characters that no key has; put nothing but the key there",
            )
        return Secret(text)


def credential(
    file: str | None, variable: str | None, env: Mapping[str, str], base: Path, key: str = "api_key"
) -> Credential:
    """A credential from a configuration entry; relative files resolve against `base`."""
    if file is not None:
        path = base / _home(file)
        return Credential(place=f"{key}_file {path}", name=str(path), path=path)
    name = variable or ""
    value = env.get(name, "").strip()
    hidden = MASK if looks_like_key(name) else name
    return Credential(
        place=f"environment variable {hidden}", name=hidden, value=Secret(value) if value else None
    )


def _home(file: str) -> Path:
    try:
        return Path(file).expanduser()
    except RuntimeError:  # No home directory is known: take the name as it is.
        return Path(file)

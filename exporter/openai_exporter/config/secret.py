# SPDX-License-Identifier: Apache-2.0
"""Keys: where they come from, and a type that never shows them."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from openai_exporter.config.masking import MASK, looks_like_key
from openai_exporter.errors import CredentialError

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

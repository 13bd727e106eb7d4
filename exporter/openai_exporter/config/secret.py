# SPDX-License-Identifier: Apache-2.0
"""Keys: a type that never shows them, where they come from, what they look like, and their masking in any text."""

import base64
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import quote

from openai_exporter.errors import CredentialError

if TYPE_CHECKING:
    from openai_exporter.config.root import Config

MASK = "<secret>"

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

    __reduce__ = __getstate__


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

    @property
    def absent(self) -> bool:
        """Whether there is no key at all: no such file, or a variable that is not set."""
        return self.value is None if self.path is None else not os.path.lexists(self.path)

    def read(self) -> Secret:
        """The key as it is now.

        Raises:
            CredentialError: unreadable or empty, or it holds what cannot go into a header.
        """
        if self.path is not None:
            return self._checked(Secret(self._file(self.path)))
        if self.value is None:
            raise CredentialError(self.place, "is not set or empty; set it to the key, or remove this entry")
        return self._checked(self.value)

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
            raise CredentialError(self.place, f"cannot be read: {reason}; put the key there") from error
        except UnicodeDecodeError:
            raise CredentialError(self.place, "is not a text file; put the bare key there") from None
        if len(content) > _LONGEST:
            raise CredentialError(self.place, f"is larger than {_LONGEST} bytes; put nothing but the key there")
        return text.strip()

    def _checked(self, secret: Secret) -> Secret:
        text = secret.reveal()
        if not text:
            raise CredentialError(self.place, "is empty; put the key there")
        if _ASSIGNMENT.match(text) or text[0] in "\"'":
            raise CredentialError(self.place, "holds a quote or NAME=; put nothing but the key there")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise CredentialError(
                self.place, "holds more than one key, or characters that no key has; put nothing but the key there"
            )
        return secret


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
    return Credential(place=f"environment variable {hidden}", name=hidden, value=Secret(value) if value else None)


def _home(file: str) -> Path:
    try:
        return Path(file).expanduser()
    except RuntimeError:  # No home directory is known: take the name as it is.
        return Path(file)


# What a key looks like, and what a value under a secret's name is.

_SHOWN = 60
_READ = 4096

# Half masked keys, as OpenAI's own error messages repeat them.
_HALF = re.compile(r"\bsk-[A-Za-z0-9_*.\-]{6,}")
_HEADER = re.compile(
    r"(?i)(?P<name>(?<![a-z0-9])(?:(?:proxy-)?authorization|(?P<bare>(?:x-)?api-key)|(?:set-)?(?P<cookie>cookie))['\"]?\s*[:=]\s*)"
    r"(?:\"(?:[^\"\\\r\n]|\\.)*\"|'[^'\r\n]*'"
    r"|(?P<scheme>(?:bearer|basic|token|apikey)[^\S\r\n]+|(?(bare)|(?!)))(?P<token>[^\s\"']+)"
    r"|(?(cookie)|(?=[^\r\n]{6}))[^\r\n]+)"
)
_AFTER_TOKEN = ".,;:!?)]}"
"""What follows a token in a sentence."""
_HEADER_WORDS = ("authorization", "api-key", "cookie")
_KEY_WORDS = (
    "sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "sess-", "sess_", "xai-", "xai_", "aiza", "hf_", "eyj", "bearer",
)  # fmt: skip
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
    # The patterns are slow, and most texts hold none of the words that they start with.
    has = text.lower().__contains__
    if "sk-" in text:
        text = _HALF.sub(MASK, text)
    if any(map(has, _HEADER_WORDS)):
        text = _HEADER.sub(_masked_header, text)
    if ("@" in text and "://" in text) or any(map(has, _KEY_WORDS)):
        text = _PREFIXED.sub(MASK, text)
    return text


def _masked_header(header: re.Match[str]) -> str:
    """Of a key that stands alone, or after a scheme, the key; of what else may be a value, all that follows."""
    token = header["token"]
    if token is None:
        return header["name"] + MASK
    after = token[len(token.rstrip(_AFTER_TOKEN)) :]
    return header["name"] + header["scheme"] + MASK + after


def looks_like_key(text: str) -> bool:
    """Whether a text holds what may be a key, also one without a known prefix."""
    return mask(text) != text


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
    return f"'{cut(mask(printable(value[:_READ])))}'"


def mask(text: str) -> str:
    """As `mask_keys`, and long runs of mixed letters and digits too: for messages, not for pages."""
    return _BARE.sub(MASK, mask_keys(text))


def cut(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def printable(text: str) -> str:
    """The text with control characters shown as escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def json_text(document: object, indent: int | None = None) -> str:
    """JSON that a terminal can show: letters as they are, what is not printable as escapes."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, default=str)
    shown = (char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    return text if text.isprintable() else "".join(shown)


# Masks the keys that are known, in whatever a server or a request holds, before anything shows it.

MAX_LABEL = 128
MAX_MESSAGE = 500
MAX_BODY = 4096

_MINIMUM = 4
"""Characters from which on a known key is masked wherever it stands; shorter ones are no secrets."""

_LONG, _START = 20, 12
"""Of a key of `_LONG` characters or more, its first `_START` are masked too, with whatever follows."""

_READ_EVERY = 5.0
"""Seconds between two readings of the key files that are followed."""

# Control characters, line separators, marks and overrides of the direction of text, and halves of pairs.
_BROKEN = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(rf"[\x00-\x1f{_BROKEN}]")
_CONTROLS_IN_BODY = re.compile(rf"[\x00-\x08\x0b-\x1f{_BROKEN}]")


class Masker:
    """Masks every key that was ever known, in every spelling a server may repeat, and whatever has the form of a key.

    Args:
        secrets: keys that are known from the start.
        clock: seconds; bounds how often key files are read.
    """

    def __init__(self, secrets: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = 0.0
        self._credentials: tuple[Credential, ...] = ()
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._hints: tuple[str, ...] = ()
        self._longest = 0
        self.learn(*secrets)

    def __repr__(self) -> str:
        return "Masker()"

    def __call__(self, text: str) -> str:
        """The text without keys, those that a followed file has come to hold included."""
        if self._credentials and self._clock() - self._read_at > _READ_EVERY:
            self._read()
        return self.mask(text)

    def follow(self, config: "Config") -> None:
        """Mask the keys of this configuration from now on, too, and as their files change."""
        credentials = [config.target_credential(target.name) for target in config.targets]
        credentials += [config.organization_credential(each.name) for each in config.organizations]
        self._credentials = tuple(credential for credential in credentials if credential is not None)
        self._read(*(s for module in config.modules.values() for s in named_secrets(module.request.extra)))

    def _read(self, *secrets: str) -> None:
        self._read_at = self._clock()
        keys = list(secrets)
        for credential in self._credentials:
            try:
                keys.append(credential.read().reveal())
            except CredentialError:
                continue
        self.learn(*keys)

    def learn(self, *secrets: str) -> None:
        """Mask these keys from now on, too."""
        if self._secrets.issuperset(secrets):
            return
        known = self._secrets = self._secrets.union(secrets)  # a new set, as other threads may mask meanwhile
        spellings = {s for secret in known if len(secret) >= _MINIMUM for s in _spellings(secret)}
        starts = {secret[:_START] for secret in known if len(secret) >= _LONG}
        longest_first = sorted(spellings, key=lambda text: (-len(text), text))
        patterns = [re.escape(text) for text in longest_first]
        patterns += [re.escape(start) + r"[A-Za-z0-9_\-]*" for start in sorted(starts)]
        # Header names come in lower case, so a key that is echoed there does too.
        self._known = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
        self._hints = tuple({text.lower() for text in (*spellings, *starts)})
        self._longest = len(longest_first[0]) if longest_first else 0

    def mask(self, text: str) -> str:
        """`text` with every key replaced."""
        if len(text) < _MINIMUM:
            return text
        # The pattern is slow, and most texts hold none of the keys. Outside ASCII, what is the same letter to a
        # pattern may not be so in lower case.
        if self._known and (not text.isascii() or any(map(text.lower().__contains__, self._hints))):
            text = self._known.sub(MASK, text)
        return mask_keys(text)

    def label(self, text: str, limit: int = MAX_LABEL) -> str:
        """One short line that may become a label value or a field of a log line."""
        text = self._slice(text, limit)
        if not text.isprintable():
            text = _CONTROLS.sub(" ", text)
        text = self.mask(text).strip()
        return text if len(text) <= limit else f"{text[: limit - 1]}…"

    def message(self, text: str) -> str:
        """One line for people; of a text with more words than it can hold, the rest need not be split."""
        return self.label(" ".join(text.split(None, MAX_MESSAGE)), MAX_MESSAGE)

    def body(self, text: str, limit: int = MAX_BODY) -> str:
        """A body or head as text of several lines."""
        text = self._slice(text, limit).replace("\r\n", "\n")
        if not text.replace("\n", "").isprintable():
            text = _CONTROLS_IN_BODY.sub(".", text)
        text = self.mask(text)
        return text if len(text) <= limit else f"{text[: limit - 1]}…"

    def _slice(self, text: str, limit: int) -> str:
        """Enough of the text for `limit` characters, ending where no secret can have been cut in half."""
        enough = 8 * limit + 4 * self._longest
        return text if len(text) <= enough else text[: enough - self._longest]


def _spellings(secret: str) -> Iterable[str]:
    data = secret.encode()
    yield from (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), data.hex())
    yield "".join(f"%{byte:02x}" for byte in data)
    yield "".join(f"\\u{ord(character):04x}" for character in secret)
    # What base64 makes of the key inside longer texts, such as `Bearer KEY` or `user:KEY`: one for each alignment.
    for before, changed in enumerate((0, 2, 3)):
        triples, rest = divmod(before + len(data), 3)
        text = base64.b64encode(bytes(before) + data).decode("ascii")
        yield text[changed : 4 * triples + rest]


def named_secrets(value: object) -> Iterable[str]:
    """The strings that stand, anywhere in a JSON value, under a name such as `password` or `token`."""
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str) and names_a_secret(name):
                yield member
            else:
                yield from named_secrets(member)
    elif isinstance(value, list):
        for item in value:
            yield from named_secrets(item)

# SPDX-License-Identifier: Apache-2.0
"""Keeps keys that were pasted in the wrong place out of messages and pages."""

import re

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

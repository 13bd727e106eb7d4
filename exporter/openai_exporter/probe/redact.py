# SPDX-License-Identifier: Apache-2.0
"""Hygiene of what a server or a request holds before anything shows it: masks keys, bounds length, drops controls."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from openai_exporter.config.secret import MASK, mask_keys, names_a_secret

MAX_LABEL = 128
MAX_MESSAGE = 500
MAX_BODY = 4096

_MINIMUM = 4
"""Characters from which on a configured key is masked wherever it stands; shorter ones are no secrets."""

_LONG, _START = 20, 12
"""Of a key of `_LONG` characters or more, its first `_START` are masked too, with whatever follows."""

# Half masked keys, as OpenAI's own error messages repeat them.
_HALF = re.compile(r"\bsk-[A-Za-z0-9_*.\-]{6,}")
_HEADER = re.compile(
    r"(?i)(?P<name>(?<![a-z0-9])(?:(?:proxy-)?authorization|(?P<bare>(?:x-)?api-key)|set-cookie|cookie)['\"]?\s*[:=]\s*)"
    r"(?:\"(?:[^\"\\\r\n]|\\.)*\"|'[^'\r\n]*'"
    r"|(?P<scheme>(?:bearer|basic|token|apikey)[^\S\r\n]+|(?(bare)|(?!)))(?P<token>[^\s\"']+)"
    r"|[^\r\n]+)"
)
_AFTER_TOKEN = ".,;:!?)]}"
"""What follows a token in a sentence."""
_HEADER_WORDS = ("authorization", "api-key", "cookie")
_KEY_WORDS = (
    "sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "sess-", "sess_", "xai-", "xai_", "aiza", "hf_", "eyj", "bearer", "basic",
)  # fmt: skip
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROLS_IN_BODY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Redactor:
    """Masks a set of secrets in every spelling in which a server may repeat them."""

    __slots__ = ("_exact", "_hints", "_longest")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        secrets = tuple(secrets)
        spellings = {s for secret in secrets if len(secret) >= _MINIMUM for s in _spellings(secret)}
        longest_first = sorted(spellings, key=lambda text: (-len(text), text))
        patterns = [re.escape(text) for text in longest_first] + [
            _beginning(s) for s in secrets if len(s) >= _LONG
        ]
        # Header names come in lower case, so a key that is echoed there does too.
        self._exact = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
        starts = {s[:_START] for s in secrets if len(s) >= _LONG}
        self._hints = tuple({text.lower() for text in (*spellings, *starts)})
        self._longest = len(longest_first[0]) if longest_first else 0

    def __repr__(self) -> str:
        return "Redactor()"

    def mask(self, text: str) -> str:
        """`text` with every secret replaced."""
        if len(text) < _MINIMUM:
            return text
        # The patterns are slow, and most texts hold none of the words that they start with.
        has = text.lower().__contains__
        # Outside ASCII, what is the same letter to a pattern may not be so in lower case.
        if self._exact is not None and (not text.isascii() or any(map(has, self._hints))):
            text = self._exact.sub(MASK, text)
            has = text.lower().__contains__
        if "sk-" in text:
            text = _HALF.sub(MASK, text)
        if any(map(has, _HEADER_WORDS)):
            text = _HEADER.sub(_masked_header, text)
        user = "@" in text and "://" in text
        return mask_keys(text) if user or any(map(has, _KEY_WORDS)) else text

    def label(self, text: str, limit: int = MAX_LABEL) -> str:
        """One short line that may become a label value or a field of a log line."""
        text = self._slice(text, limit)
        if not text.isprintable():
            text = _CONTROLS.sub(" ", text)
        return cut(self.mask(text).strip(), limit)

    def message(self, text: str) -> str:
        """One line for people."""
        return self.label(" ".join(self._slice(text, MAX_MESSAGE).split()), MAX_MESSAGE)

    def body(self, text: str, limit: int = MAX_BODY) -> str:
        """A body or head as text of several lines."""
        text = self._slice(text, limit).replace("\r\n", "\n")
        if not text.replace("\n", "").isprintable():
            text = _CONTROLS_IN_BODY.sub(".", text)
        return cut(self.mask(text), limit)

    def _slice(self, text: str, limit: int) -> str:
        """Enough of the text for `limit` characters, ending where no secret can have been cut in half."""
        enough = 8 * limit + 4 * self._longest
        return text if len(text) <= enough else text[: enough - self._longest]


def _masked_header(found: re.Match[str]) -> str:
    """Of a key that stands alone, or after a scheme, the key; of what else may be a value, all that follows."""
    token = found["token"]
    if token is None:
        return found["name"] + MASK
    after = token[len(token.rstrip(_AFTER_TOKEN)) :]
    return found["name"] + found["scheme"] + MASK + after


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis when some were cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _spellings(secret: str) -> Iterable[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    data = secret.encode()
    yield data.hex()
    yield "".join(f"%{byte:02x}" for byte in data)
    yield "".join(f"\\u{ord(character):04x}" for character in secret)
    yield from _base64(data)


def _base64(data: bytes) -> Iterable[str]:
    """What base64 makes of the key inside longer texts, such as `Bearer KEY` or `user:KEY`: one for each alignment."""
    for before, changed in enumerate((0, 2, 3)):
        whole, rest = divmod(before + len(data), 3)
        text = base64.b64encode(bytes(before) + data).decode("ascii")
        yield text[changed : 4 * whole + rest]


def _beginning(secret: str) -> str:
    return re.escape(secret[:_START]) + r"[A-Za-z0-9_\-]*"


def named_secrets(value: object) -> Iterable[str]:
    """The strings that stand, anywhere in a JSON value, under a name such as `password` or `token`."""
    if isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, str) and names_a_secret(name):
                yield each
            else:
                yield from named_secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from named_secrets(each)

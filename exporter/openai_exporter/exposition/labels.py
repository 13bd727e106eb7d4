# SPDX-License-Identifier: Apache-2.0
"""Label values as they may stand on a page: bounded, without control characters, escaped.

They come from foreign servers and from people; what they hold must break neither a page nor a dashboard.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

MAX_LABEL_VALUE = 256
"""Characters of a label value; longer ones come from a misbehaving server."""

_DIGEST = 12
_UNKNOWN = "\ufffd"
_SHOWN = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
_DIRECTIONS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def clean(value: str) -> str:
    """A label value of at most `MAX_LABEL_VALUE` characters, on one line.

    Control characters become their Unicode pictures (a newline `␊`), what has none becomes U+FFFD. A value that is
    cut ends in a digest of the whole, so that two long ones stay two series.
    """
    if len(value) > MAX_LABEL_VALUE:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        value = f"{value[: MAX_LABEL_VALUE - _DIGEST - 1]}…{digest}"
    if value.isprintable():
        return value
    return "".join(char if char.isprintable() else _visible(char) for char in value)


def _visible(char: str) -> str:
    code = ord(char)
    if code in _SHOWN:
        return chr(_SHOWN[code])
    broken = code in _DIRECTIONS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    return _UNKNOWN if broken else char


@lru_cache(1024)  # pages of probes are small, many, and full of the same words
def escape(value: str) -> str:
    """A label value, cleaned, as it stands between quotes."""
    return clean(value).replace("\\", r"\\").replace('"', r"\"")


class LabelWriter:
    """Writes label sets of one list of names; remembers what it wrote, as the same values come again and again."""

    __slots__ = ("_known", "_written")

    def __init__(self, names: Sequence[str]) -> None:
        self._known: list[tuple[str, dict[str, str]]] = [(f'{name}="', {"": ""}) for name in names]
        self._written: dict[Sequence[str], str] = {}

    def write(self, values: Sequence[str]) -> str:
        """`{a="x",b="y"} ` of the values that are not empty, or one space: what stands before the number."""
        found = self._written.get(values)
        if found is None:
            found = self._written[values] = self._write(values)
        return found

    def _write(self, values: Sequence[str]) -> str:
        pairs = []
        for (prefix, known), value in zip(self._known, values, strict=True):
            pair = known.get(value)
            if pair is None:
                pair = known[value] = f'{prefix}{escape(value)}"'
            if pair:
                pairs.append(pair)
        return f"{{{','.join(pairs)}}} " if pairs else " "

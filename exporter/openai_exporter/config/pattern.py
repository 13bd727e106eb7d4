# SPDX-License-Identifier: Apache-2.0
"""Regular expressions of the user, in RE2's syntax: matching takes time linear in the text, whatever the pattern.

Python's own `re` backtracks: a pattern such as `(a+)+$` would stop the whole exporter for hours on a short reply.
blackbox_exporter matches with RE2 too (Go's regexp), so patterns can be moved over as they are.
https://github.com/google/re2/wiki/Syntax
"""

from functools import lru_cache
from typing import Any


class PatternError(ValueError):
    """RE2 does not take a pattern; the message says why."""


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_compiled",)

    def __init__(self, text: str) -> None:
        # Imported late: it takes 3 MiB, and not every configuration has a pattern.
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled: Any = re2.compile(_utf8(text), options)
        except re2.error as error:
            raise PatternError(_words(error)) from None

    def found_in(self, text: str) -> bool:
        """Whether some part of `text` matches."""
        return self._compiled.search(_utf8(text)) is not None


@lru_cache(maxsize=256)
def compiled(text: str) -> Pattern:
    """The pattern, compiled once.

    Raises:
        PatternError: RE2 does not take it.
    """
    return Pattern(text)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # JSON can hold half a surrogate pair


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)

# SPDX-License-Identifier: Apache-2.0
"""JSON read while it arrives, value by value, so that a page of any size needs little memory and no long pause.

Decoding a page of many megabytes at once would hold the interpreter lock for a noticeable time.
"""

import codecs
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

_BLANKS = " \t\n\r"
_BLANK = re.compile(f"[{_BLANKS}]*")
_MOST_OF_A_VALUE = 1 << 20
_ALLOWANCE = 8 << 20
_PER_VALUE = 8 << 10


class MalformedError(ValueError):
    """The answer is not what was agreed; the message names the place."""


class TooLargeError(ValueError):
    """The answer is larger than what it holds can explain."""


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} is not JSON")


# Money stays decimal from the first byte on.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=Decimal)


class JsonText:
    """A place in a JSON text that arrives in pieces of UTF-8."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._size = 0
        self._values = 0

    def value(self) -> Any:
        """The next value, whole.

        Raises:
            MalformedError: it is not JSON, or the text ends within it.
            TooLargeError: it is larger than 1 MiB, or the text is much larger than its values.
        """
        self._peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._more():
                    continue
                raise self._broken() from None
            except (RecursionError, ArithmeticError, ValueError) as error:
                raise MalformedError(f"the answer cannot be decoded: {error}") from None
            if end < len(self._text) or not self._more():
                break
        self._at = end
        self._values += 1
        return found

    def members(self, place: str) -> Iterator[str]:
        """The names of an object's members; take each value before the next name."""
        self._open("{", "an object", place)
        if self._skip("}"):
            return
        while True:
            name = self.value()
            if not isinstance(name, str) or not self._skip(":"):
                raise self._broken()
            yield name
            if self._skip("}"):
                return
            if not self._skip(","):
                raise self._broken()

    def elements(self, place: str) -> Iterator[int]:
        """The numbers of an array's elements; take each element before the next number."""
        self._open("[", "an array", place)
        if self._skip("]"):
            return
        index = 0
        while True:
            yield index
            index += 1
            if self._skip("]"):
                return
            if not self._skip(","):
                raise self._broken()

    def values(self, place: str) -> Iterator[Any]:
        """The elements of an array, whole: what `elements` and `value` give, quicker for many small ones."""
        self._open("[", "an array", place)
        if self._skip("]"):
            return
        while True:
            yield self.value()
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
                continue
            if self._skip("]"):
                return
            if not self._skip(","):
                raise self._broken()

    def end(self) -> None:
        """Read to the end, which must follow now."""
        if self._peek():
            raise MalformedError("the answer goes on after its end")

    def _open(self, bracket: str, kind: str, place: str) -> None:
        if self._skip(bracket):
            return
        found = self._text[self._at : self._at + 20]
        if not found:
            end = "ends there" if self._values else "is empty"
            raise MalformedError(f"{place}: expected {kind}, the answer {end}")
        raise MalformedError(f"{place}: expected {kind}, got {found!r}")

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        if self._at < len(self._text) and (next_one := self._text[self._at]) not in _BLANKS:
            return next_one
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Take the next piece; False when there is none."""
        rest = self._text[self._at :]
        if len(rest) > _MOST_OF_A_VALUE or self._size > _ALLOWANCE + _PER_VALUE * self._values:
            raise TooLargeError("the answer is far larger than the figures that it holds")
        piece = next(self._pieces, b"")
        self._size += len(piece)
        try:
            text = self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError:
            raise MalformedError("the answer is not UTF-8") from None
        if not piece:
            return False
        self._text, self._at = rest + text, 0
        return True

    def _broken(self) -> MalformedError:
        rest = self._text[self._at : self._at + 20]
        if not rest:
            return MalformedError("the answer ends within its JSON")
        return MalformedError(f"the answer is not JSON: unexpected {rest!r} after {self._values} values")

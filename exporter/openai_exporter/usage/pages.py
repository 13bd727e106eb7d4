# SPDX-License-Identifier: Apache-2.0
"""Pages of time buckets and lists of the admin API, followed to their end and decoded as they arrive."""

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, NoReturn, TypeVar

from openai_exporter.client.organization import Calls, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.usage.dataset import Context
from openai_exporter.usage.rows import MOST, MalformedError, abbreviated
from openai_exporter.usage.window import Range

MOST_PAGES = 100
MOST_ROWS = 4_000_000
_TRIES = 3
T = TypeVar("T")
Decode = Callable[[Any, int], T]
"""From a result and the start of its bucket to a row; raises MalformedError."""
Add = Callable[[int, Iterator[T]], None]
"""Takes the start of a bucket and its rows, all of them, as they arrive."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of buckets.

    Attributes:
        api: name in errors and counters.
        span: which buckets.
    """

    path: str
    api: str
    span: Range
    group_by: Sequence[str] = ()

    @property
    def params(self) -> list[tuple[str, str]]:
        """Its parameters, without a cursor."""
        span = self.span
        params = [("start_time", str(span.start)), ("bucket_width", span.width), ("limit", str(span.limit))]
        if span.end is not None:
            params.append(("end_time", str(span.end)))
        # The official SDK spells arrays so; the description leaves it open.
        return params + [("group_by[]", name) for name in self.group_by]


class OutdatedQueryError(Exception):
    """The first answer's Date shows that the query was planned with a wrong time."""


def read(
    calls: Calls,
    context: Context,
    query: Query,
    decode: Decode[T],
    add: Add[T],
    planned: Callable[[], bool] = lambda: True,
) -> None:
    """Give the rows of each bucket to `add`.

    Args:
        planned: asked when the Date of the first page is known, before its body is read: whether the query
            would still be planned so.

    Raises:
        UpstreamError: any page failed; what was added so far is then incomplete.
        OutdatedQueryError: `planned` said no.
    """
    cursor, seen = "", set[str]()
    for number in range(MOST_PAGES):
        params = [*query.params, ("page", cursor)] if cursor else query.params
        with calls.open(query.path, params, api=query.api) as reply:
            if number == 0:
                context.clock.observe(reply.date)
                if not planned():
                    break
            cursor = _page(query, reply, decode, add, context.pause)
            if cursor in seen:
                raise _error("the API gives the same page cursor again and again", query, reply, "page_loop")
        if not cursor:
            return
        seen.add(cursor)
    else:
        raise UpstreamError(f"more than {MOST_PAGES} pages", api=query.api, reason="page_loop")
    raise OutdatedQueryError


def read_in_time(once: Callable[[], T], api: str) -> T:
    """Do a reading, again when its query turned out to be outdated.

    Raises:
        UpstreamError: it is outdated again and again.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(OutdatedQueryError):
            return once()
    raise UpstreamError("the API's clock (header Date) jumps", api=api, reason="malformed")


def _page(query: Query, reply: Reply, decode: Decode[T], add: Add[T], pause: Callable[[], None]) -> str:
    """Decode one page; the cursor of the next, empty on the last."""
    text = JsonText(reply.chunks())
    tail: dict[str, Any] = {}
    try:
        for name in text.members("answer"):
            if name == "data":
                tail[name] = True
                for index in text.elements("data"):
                    _bucket(text, f"data[{index}]", decode, add, pause)
            else:
                tail[name] = text.value()
        text.end()
        return _next(tail)
    except MalformedError as error:
        kind = reply.headers.get("content-type", "none")
        hint = "" if "json" in kind else f" (content type {kind})"
        raise _error(f"{error}{hint}", query, reply, "malformed") from None
    except TooLargeError as error:
        raise _error(str(error), query, reply, "too_large") from None


def _bucket(text: "JsonText", place: str, decode: Decode[T], add: Add[T], pause: Callable[[], None]) -> None:
    start: Any = None
    early: list[Any] | None = None
    for name in text.members(place):
        if name == "results" and type(start) is int:
            add(start, _rows(text.values(f"{place}.results"), place, decode, start, pause))
        elif name == "results":
            early = list(text.values(f"{place}.results"))
        elif name == "start_time":
            start = text.value()
        else:
            text.value()
    if type(start) is not int:
        raise MalformedError(f"{place}.start_time: expected a whole number, got {start!r}")
    if early is not None:
        add(start, _rows(iter(early), place, decode, start, pause))


def _rows(results: Iterator[Any], place: str, decode: Decode[T], start: int, pause: Callable[[], None]) -> Iterator[T]:
    for index, result in enumerate(results):
        if index > MOST_ROWS:
            raise TooLargeError(f"{place} has more than {MOST_ROWS} results")
        pause()
        try:
            row = decode(result, start)
        except MalformedError as error:
            raise MalformedError(f"{place}.results[{index}].{error}") from None
        yield row


def _next(tail: dict[str, Any]) -> str:
    if "data" not in tail:
        raise MalformedError("data: is missing")
    more, cursor = tail.get("has_more", False), tail.get("next_page")
    if not isinstance(more, bool):
        raise MalformedError(f"has_more: expected true or false, got {more!r}")
    if not more:
        return ""
    if not isinstance(cursor, str) or not cursor:
        raise MalformedError(f"next_page: expected a cursor since has_more is true, got {cursor!r}")
    return cursor


def _error(message: str, query: Query, reply: Reply, reason: str) -> UpstreamError:
    request_id = reply.headers.get("x-request-id")
    return UpstreamError(message, api=query.api, reason=reason, status=reply.status, request_id=request_id)


# JSON read while it arrives, value by value, so that a page of any size needs little memory and no long pause.
# Decoding a page of many megabytes at once would hold the interpreter lock for a noticeable time.

_BLANKS = " \t\n\r"
_BLANK = re.compile(f"[{_BLANKS}]*")
_MOST_OF_A_VALUE = 1 << 20
_ALLOWANCE = 8 << 20
_PER_VALUE = 8 << 10


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
                value, end = _DECODER.raw_decode(self._text, self._at)
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
        return value

    def members(self, place: str) -> Iterator[str]:
        """The names of an object's members; take each value before the next name."""
        for _ in self._items("{}", "an object", place):
            name = self.value()
            if not isinstance(name, str) or not self._skip(":"):
                raise self._broken()
            yield name

    def elements(self, place: str) -> Iterator[int]:
        """The numbers of an array's elements; take each element before the next number."""
        return self._items("[]", "an array", place)

    def values(self, place: str) -> Iterator[Any]:
        """The elements of an array, each as a whole."""
        return (self.value() for _ in self._items("[]", "an array", place))

    def end(self) -> None:
        """Read to the end, which must follow now."""
        if self._peek():
            raise MalformedError("the answer goes on after its end")

    def _items(self, brackets: str, kind: str, place: str) -> Iterator[int]:
        """The numbers of what stands between two brackets; take each item before the next number."""
        if not self._skip(brackets[0]):
            raise self._unexpected(kind, place)
        if self._skip(brackets[1]):
            return
        for index in count():
            yield index
            if self._text.startswith(",", self._at):  # as mostly
                self._at += 1
            elif self._skip(brackets[1]):
                return
            elif not self._skip(","):
                raise self._broken()

    def _unexpected(self, kind: str, place: str) -> MalformedError:
        if text := self._text[self._at : self._at + 20]:
            return MalformedError(f"{place}: expected {kind}, got {text!r}")
        end = "ends there" if self._values else "is empty"
        return MalformedError(f"{place}: expected {kind}, the answer {end}")

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


# Lists of the admin endpoints: all pages, each item an object with an id. What is not as described is MalformedError.

PAGE = "100"
_MOST_LIST_PAGES = 1000

Item = Mapping[str, Any]


def everything(calls: Calls, path: str, api: str, params: Sequence[tuple[str, str]] = ()) -> Iterator[list[Item]]:
    """Yield the items of a list, a page at a time.

    Raises:
        UpstreamError: a page failed, or the list does not end.
    """
    after, seen = "", set[str]()
    for _ in range(_MOST_LIST_PAGES):
        query = [*params, ("limit", PAGE), *([("after", after)] if after else [])]
        body = calls.get(path, query, api=api).body
        items = _listed(body.get("data"))
        yield items
        if body.get("has_more") is not True or not items:
            return
        after = str(items[-1]["id"])
        if after in seen:
            raise UpstreamError(f"{path}: the list comes back to {after!r}", api=api, reason="page_loop")
        seen.add(after)
    raise UpstreamError(f"{path}: more than {_MOST_LIST_PAGES} pages", api=api, reason="page_loop")


def _listed(data: object) -> list[Item]:
    if not isinstance(data, list):
        raise MalformedError(f"data: expected an array, got {abbreviated(data)}")
    for index, item in enumerate(data):
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise MalformedError(f"data[{index}]: expected an object with an id, got {abbreviated(item)}")
    return data


def text(item: Item, name: str) -> str:
    """A string field; null and absent are empty."""
    return _typed(item, name, str, "a string") or ""


def inner(item: Item, name: str) -> Item:
    """A field that is an object; null and absent are empty."""
    return _typed(item, name, dict, "an object") or {}


def number(item: Item, name: str, what: str = "a whole number") -> int | None:
    """A whole number that is not negative; null and absent are None."""
    value = _typed(item, name, int, what)
    if value is not None and (value is True or value is False or not 0 <= value <= MOST):
        raise MalformedError(f"{name}: expected {what} or null, got {abbreviated(value)}")
    return value


def _typed(item: Item, name: str, kind: type[T], what: str) -> T | None:
    value = item.get(name)
    if value is not None and not isinstance(value, kind):
        raise MalformedError(f"{name}: expected {what} or null, got {abbreviated(value)}")
    return value

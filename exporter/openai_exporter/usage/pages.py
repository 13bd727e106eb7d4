# SPDX-License-Identifier: Apache-2.0
"""Pages of time buckets and lists of the admin API, followed to their end and decoded as they arrive."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Generic, TypeVar

import ijson

from openai_exporter.client.organization import Calls, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.usage.dataset import Context
from openai_exporter.usage.ledger import Range
from openai_exporter.usage.rows import MOST, MalformedError, abbreviated

MOST_PAGES = 100
MOST_ROWS = 4_000_000
LATEST = 10**11
"""Beyond this a start is no Unix seconds, but such as milliseconds."""
_TRIES = 3
T = TypeVar("T")
Decode = Callable[[Any, int], T]
"""From a result and the start of its bucket to a row; raises MalformedError."""
Add = Callable[[int, Iterator[T]], None]
"""Takes the start of a bucket and its rows as they arrive."""


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
    buckets = Buckets(decode, add, context.pause)
    for number in range(1, MOST_PAGES + 1):
        params = [*query.params, ("page", cursor)] if cursor else query.params
        with calls.open(query.path, params, api=query.api) as reply:
            if number == 1:
                context.clock.observe(reply.date)
                if not planned():
                    raise OutdatedQueryError
            cursor = _page(reply, buckets, number)
            if cursor in seen:
                raise reply.error("the API gives the same page cursor again and again", "page_loop")
            if buckets.repeated:
                raise reply.error(f"page {number}: {buckets.repeated}", "malformed")
        if not cursor:
            return
        seen.add(cursor)
    raise UpstreamError(f"more than {MOST_PAGES} pages", api=query.api, reason="page_loop")


def read_in_time(once: Callable[[], T], api: str) -> T:
    """Do a reading, again when its query turned out to be outdated.

    Raises:
        UpstreamError: it is outdated again and again.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(OutdatedQueryError):
            return once()
    raise UpstreamError("the API's clock (header Date) jumps", api=api, reason="malformed")


def _page(reply: Reply, buckets: "Buckets[T]", number: int) -> str:
    """Decode one page; the cursor of the next, empty on the last."""
    text = JsonText(reply.chunks())
    tail: dict[str, Any] = {}
    try:
        for name in _once(text.members("answer"), "answer"):
            if name == "data":
                tail[name] = True
                for index, head in enumerate(text.elements("data")):
                    buckets.take(text, head, f"data[{index}]")
            else:
                tail[name] = text.value()
        text.end()
        return _next(tail)
    except MalformedError as error:
        kind = reply.headers.get("content-type", "none")
        hint = "" if "json" in kind else f" (content type {kind})"
        raise reply.error(f"page {number}: {error}{hint}", "malformed") from None
    except TooLargeError as error:
        raise reply.error(f"page {number}: {error}", "too_large") from None


@dataclass
class Buckets(Generic[T]):
    """The buckets of one query, each taken once: one that comes again would count twice.

    Attributes:
        repeated: the first one that came again; empty when there was none.
    """

    decode: Decode[T]
    add: Add[T]
    pause: Callable[[], None]
    repeated: str = ""
    _seen: set[int] = field(default_factory=set)

    def take(self, text: "JsonText", head: "Head", place: str) -> None:
        """Decode one bucket and add its rows."""
        start: Any = None
        early: list[Any] | None = None
        names = set[str]()
        for name in _once(text.members(place, head), place, names):
            if name != "results":
                value = text.value()
                start = value if name == "start_time" else start
                continue
            results = map(text.value, text.elements(f"{place}.results"))
            if "start_time" in names:
                self._add(start, results, place)
            else:
                early = list(results)
        if "results" not in names:
            raise MalformedError(f"{place}.results: is missing")
        if early is not None:
            self._add(start, iter(early), place)

    def _add(self, start: Any, results: Iterator[Any], place: str) -> None:
        if type(start) is not int or not 0 <= start <= LATEST:
            raise MalformedError(f"{place}.start_time: expected Unix seconds, got {abbreviated(start)}")
        rows = self._rows(results, place, start)
        if start not in self._seen:
            self._seen.add(start)
            self.add(start, rows)
        else:
            # Not yet an error: the cursor behind it says whether the API goes round in circles.
            self.repeated = self.repeated or f"{place}.start_time: the bucket {start} was there before"
        for _ in rows:
            pass  # what is left of them stands before the next bucket

    def _rows(self, results: Iterator[Any], place: str, start: int) -> Iterator[T]:
        for index, result in enumerate(results):
            if index > MOST_ROWS:
                raise TooLargeError(f"{place} has more than {MOST_ROWS} results")
            self.pause()
            try:
                row = self.decode(result, start)
            except MalformedError as error:
                raise MalformedError(f"bucket {start}: {place}.results[{index}].{error}") from None
            yield row


def _once(names: Iterator[str], place: str, seen: set[str] | None = None) -> Iterator[str]:
    """The names of members, noted in `seen`; one that comes again would replace or repeat what was read."""
    seen = set() if seen is None else seen
    for name in names:
        if name in seen:
            raise MalformedError(f"{place}.{name}: is there twice")
        seen.add(name)
        yield name


def _next(tail: dict[str, Any]) -> str:
    """The cursor of the next page; one without `has_more` says that there is one."""
    if "data" not in tail:
        raise MalformedError("data: is missing")
    cursor = tail.get("next_page")
    more = tail["has_more"] if tail.get("has_more") is not None else bool(cursor)
    if not isinstance(more, bool):
        raise MalformedError(f"has_more: expected true or false, got {abbreviated(more)}")
    if not more:
        return ""
    if not isinstance(cursor, str) or not cursor:
        raise MalformedError(f"next_page: expected a cursor since has_more is true, got {abbreviated(cursor)}")
    return cursor


# JSON read while it arrives, so that a page of any size needs little memory and no long pause.

_MOST_OF_A_VALUE = 1 << 20
_ALLOWANCE = 8 << 20
_PER_VALUE = 8 << 10
# In C, whatever the environment: the one in Python does not see that a text ends too early.
_IJSON = ijson.get_backend("yajl2_c")
_KINDS = {"start_map": "an object", "start_array": "an array"}
# A whole number of more than 4300 digits is a SystemError of ijson 3.6, and its event must not be read: it crashes.
_FAULTS = (ijson.JSONError, ArithmeticError, ValueError, SystemError)

Head = tuple[str, Any]
"""How a value begins: an event of ijson, and the value itself unless it is an object or an array."""


class TooLargeError(Exception):
    """The answer is larger than what it holds can explain."""


class JsonText:
    """A JSON text that arrives in pieces, taken value by value; whole numbers are int, others Decimal.

    Its methods raise MalformedError for what is not JSON, or not what is expected, and TooLargeError for a value of
    more than 1 MiB or a text that is much larger than its values.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._next: Callable[[], Head] = chain.from_iterable(self._portions(pieces)).__next__
        self._values = 0
        self._unfinished = 0

    def value(self, head: Head | None = None) -> Any:
        """The next value, or the one that begins with `head`, whole."""
        try:
            value = self._whole(*(head or self._next()))
        except RecursionError as error:
            raise MalformedError(f"the answer cannot be decoded: {error}") from None
        self._values += 1
        self._unfinished = 0
        return value

    def members(self, place: str, head: Head | None = None) -> Iterator[str]:
        """The names of an object's members; take each value before the next name."""
        self._expect("start_map", place, head or self._next())
        while (member := self._next())[0] != "end_map":
            yield member[1]

    def elements(self, place: str) -> Iterator[Head]:
        """The heads of an array's elements; take each element before the next head."""
        self._expect("start_array", place, self._next())
        while (head := self._next())[0] != "end_array":
            yield head

    def end(self) -> None:
        """Read to the end, which must follow now."""
        with contextlib.suppress(StopIteration):
            self._next()

    def _whole(self, event: str, value: Any) -> Any:
        take = self._next
        if event == "start_map":
            value = {}
            while (member := take())[0] != "end_map":
                head = take()
                value[member[1]] = self._whole(*head) if head[0] in _KINDS else head[1]
        elif event == "start_array":
            value = []
            while (head := take())[0] != "end_array":
                value.append(self._whole(*head))
        return value

    def _expect(self, event: str, place: str, head: Head) -> None:
        if head[0] != event:
            raise MalformedError(
                f"{place}: expected {_KINDS[event]}, got {_KINDS.get(head[0]) or abbreviated(head[1])}"
            )

    def _portions(self, pieces: Iterator[bytes]) -> Iterator[list[Head]]:
        """The events of each piece; those of a piece that is not JSON are never looked at."""
        events = ijson.sendable_list()
        parser = _IJSON.basic_parse_coro(events)
        size = 0
        for piece in pieces:
            if self._unfinished > _MOST_OF_A_VALUE or size > _ALLOWANCE + _PER_VALUE * self._values:
                raise TooLargeError("the answer is far larger than the figures that it holds")
            size += len(piece)
            self._unfinished += len(piece)
            _parse(parser.send, piece)
            yield events
            events.clear()
        _parse(parser.close)
        yield events


def _parse(step: Callable[..., None], *piece: bytes) -> None:
    try:
        step(*piece)
    except _FAULTS as error:
        # Without the picture of an arrow at the end of ijson's message.
        text = "a number has too many digits" if isinstance(error, SystemError) else str(error)
        message = " ".join(text.partition("(right here)")[0].split())
        raise MalformedError(f"the answer is not JSON: {message}") from None


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


def unless_gone(pages: Iterator[None]) -> Iterator[None]:
    """Read pages of a project, unless it is gone: one may be archived while the lists are read."""
    try:
        yield from pages
    except UpstreamError as error:
        if error.status != 404:
            raise


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

# SPDX-License-Identifier: Apache-2.0
"""Pages of time buckets and lists of the admin API, followed to their end and decoded as they arrive."""

import contextlib
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Generic, TypeVar

import ijson

from openai_exporter.client.exchange import iso_time
from openai_exporter.client.organization import Calls, Doubt, Reply
from openai_exporter.errors import PartialError, UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import ApiClock, Context, Dataset
from openai_exporter.usage.ledger import Range
from openai_exporter.usage.rows import MOST, MalformedError, abbreviated, amount, counted

log = logging.getLogger(__name__)

MOST_PAGES = 100
MOST_ROWS = 4_000_000
LATEST = 10**11
"""Beyond this a start is no Unix seconds, but such as milliseconds."""
_TRIES = Doubt.answers + 2
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
        filters: parameters that choose rows, such as ("project_ids", id).
    """

    path: str
    api: str
    span: Range
    group_by: Sequence[str] = ()
    filters: Sequence[tuple[str, str]] = ()

    @property
    def params(self) -> list[tuple[str, str]]:
        """Its parameters, without a cursor."""
        span = self.span
        params = [("start_time", str(span.start)), ("bucket_width", span.width), ("limit", str(span.limit))]
        if span.end is not None:
            params.append(("end_time", str(span.end)))
        # The official SDK spells arrays so; the description leaves it open.
        params += [(f"{name}[]", value) for name, value in self.filters]
        return params + [("group_by[]", name) for name in self.group_by]


class OutdatedQueryError(Exception):
    """The first answer's Date shows that the query was planned with a wrong time."""


def read(
    calls: Calls,
    context: Context,
    query: Query,
    decode: Decode[T],
    add: Add[T],
    planned: Callable[[], bool] | None = None,
) -> None:
    """Give the rows of each bucket to `add`.

    Args:
        planned: asked when the Date of the first page is known, before its body is read: whether the query
            would still be planned so. None for a query of any time.

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
                _check_plan(context.clock, reply, planned)
            cursor = _page(reply, buckets, number)
            if cursor in seen:
                raise reply.error("the API gives the same page cursor again and again", "page_loop")
            if buckets.repeated:
                raise reply.error(f"page {number}: {buckets.repeated}", "malformed")
        if not cursor:
            return
        seen.add(cursor)
    raise UpstreamError(f"more than {MOST_PAGES} pages", api=query.api, reason="page_loop")


def _check_plan(clock: ApiClock, reply: Reply, planned: Callable[[], bool] | None) -> None:
    if planned is None:
        return
    if not clock.certain and clock.doubt.patient:
        message = f"header Date ({reply.headers.get('date')}) contradicts this machine's clock; set the wrong one"
        raise reply.error(message, "malformed")
    if not clock.certain or not planned():
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
        raise reply.error(f"page {number}: {error}", "response_too_large") from None


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
                raise TooLargeError("the response is far larger than the data in it")
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


# Lists of the admin endpoints: all pages, each entry an object with an id. What is not as described is MalformedError.

PAGE = "100"
_MOST_LIST_PAGES = 1000
_EVERYWHERE = frozenset({"auth", "call_budget", "credential", "rate_limited"})
"""Reasons that hold for every other list as well."""
_OUTAGE = frozenset({"connect", "dns", "proxy", "connection_reset", "server_error", "timeout", "tls", "truncated"})
_MOST_IN_OUTAGE = 3

Item = Mapping[str, Any]


class Lists:
    """One reading of the lists of a dataset. Each is read on its own: one that fails keeps the entries it had.

    Args:
        before: the entries of the reading before, by path.

    Attributes:
        entries: what was made of the entries, by path.
        failures: why lists could not be read, by path.
        skipped: how many entries, or fields of them, are odd and were skipped, by the last part of the path.
        notes: the first of these, and the lists of projects that are not there.
    """

    def __init__(self, calls: Calls, api: str, before: Mapping[str, list[Any]]) -> None:
        self.entries: dict[str, list[Any]] = {}
        self.failures: dict[str, UpstreamError] = {}
        self.skipped: dict[str, int] = {}
        self.notes: list[str] = []
        self._calls, self._api, self._before = calls, api, before
        self._place = ("", "")
        self._outage = 0

    def read(
        self, path: str, take: Callable[[Item], T | None], params: Sequence[tuple[str, str]] = (), *, gone: bool = False
    ) -> Generator[None, None, list[T]]:
        """What `take` makes of the entries, a page at a time; None of it is left out.

        Args:
            gone: whether the list may be gone (HTTP 404), as its project may be archived meanwhile.

        Raises:
            UpstreamError: a failure that is not of this list alone.
        """
        kind, made = path.rpartition("/")[2], list[T | None]()
        odd: MalformedError | None = None
        self.skipped.setdefault(kind, 0)
        try:
            for page in read_list(lambda query: self._calls.get(path, query, api=self._api).body, self._api, params):
                for index, item in enumerate(page):
                    self._place = kind, f"{path}: data[{index}]"
                    try:
                        made.append(take(identified(item)))
                    except MalformedError as error:
                        odd = odd or error
                        self.note(error)
                yield
            if odd and not made:
                raise odd  # as none of it is as described, it is no odd entry
        except (MalformedError, UpstreamError) as error:
            return self._failed(path, error, gone=gone)
        return self._kept(path, made)

    def single(self, path: str, take: Callable[[Item], T | None], *, absent: bool) -> list[T]:
        """As `read`, of one object; `absent` says whether HTTP 404 means that it is not set."""
        try:
            return self._kept(path, [take(self._calls.get(path, api=self._api).body)])
        except (MalformedError, UpstreamError) as error:
            unset = absent and isinstance(error, UpstreamError) and error.status == 404
            return self._kept(path, []) if unset else self._failed(path, error)

    def note(self, error: MalformedError) -> None:
        """Count what is odd and was skipped."""
        kind, place = self._place
        self.skipped[kind] += 1
        if self.skipped[kind] == 1:
            self.notes.append(f"skipped {place}: {error}")

    def failure(self) -> UpstreamError | None:
        """The failures as one, naming each list; None when there is none."""
        if not self.failures:
            return None
        (path, first), *more = self.failures.items()
        rest = f" (and {len(more)} more: {', '.join(name for name, _ in more[:3])})" if more else ""
        kind = PartialError if self.entries.keys() - self.failures.keys() else UpstreamError
        return kind(f"{path}: {first}{rest}", api=self._api, reason=first.reason, status=first.status)

    def _kept(self, path: str, made: list[T | None]) -> list[T]:
        self._outage = 0
        entries = self.entries[path] = [each for each in made if each is not None]
        return entries

    def _failed(self, path: str, error: UpstreamError | MalformedError, *, gone: bool = False) -> list[Any]:
        """The entries of the reading before, or none where the list is gone."""
        if isinstance(error, MalformedError):
            error = UpstreamError(str(error), api=self._api, reason="malformed")
        # Where other lists fail as well, it is not the project that is gone.
        if gone and error.status == 404 and not self.failures:
            self.notes.append(f"{path} is not there ({error})")
            return self._kept(path, [])
        self._outage = self._outage + 1 if error.reason in _OUTAGE else 0
        if error.reason in _EVERYWHERE or self._calls.wait > 0 or self._outage == _MOST_IN_OUTAGE:
            raise error
        self.failures[path] = error
        if path in self._before:
            self.entries[path] = self._before[path]
        return self._before.get(path, [])


class ListsDataset(Dataset):
    """A dataset of lists, which needs many calls: it is read in portions, so that usage need not wait for it.

    Attributes:
        organization: its name.
        portion: seconds after which a reading lets the others pass.
        monotonic: seconds of a clock that never goes back.
        lists: the last complete reading.
    """

    organization = ""
    portion: ClassVar[float] = 10.0
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    lists: Lists | None = None
    _rest: tuple[Lists, Iterator[None]] | None = None

    @abstractmethod
    def pages(self, lists: Lists) -> Iterator[None]:
        """A whole reading, which may be interrupted after each page."""

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Continue a reading, or start one. A failure of all lists ends it: the next call starts anew."""
        if self._rest is None:
            lists = Lists(calls, self.name, self.lists.entries if self.lists else {})
            self._rest = lists, self.pages(lists)
        (lists, pages), self._rest = self._rest, None
        end = self.monotonic() + self.portion
        for _ in pages:
            if self.monotonic() > end:
                self._rest = lists, pages
                return False
        self._tell(lists)
        self.lists = lists
        failure = lists.failure()
        if failure:
            raise failure
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over the entries, too."""
        if not super().adopt(other):
            return False
        assert isinstance(other, ListsDataset)
        self.lists = other.lists
        return True

    def families(self) -> Iterator[Family]:
        """How many entries were skipped, by list."""
        if self.lists:
            yield Family(metrics.SKIPPED_ENTRIES, [((self.name, kind), n) for kind, n in self.lists.skipped.items()])

    def _tell(self, lists: Lists) -> None:
        if lists.notes and (self.lists is None or lists.notes != self.lists.notes):
            more = f"; and {len(lists.notes) - 3} more" if len(lists.notes) > 3 else ""
            text = "; ".join(lists.notes[:3]) + more
            log.warning("organization %s: dataset %s: %s", self.organization, self.name, text)


def read_list(
    get: Callable[[Sequence[tuple[str, str]]], Mapping[str, Any]], api: str, params: Sequence[tuple[str, str]]
) -> Iterator[list[Item]]:
    """Yield the entries of a list, a page at a time.

    Args:
        get: the body of the list for these parameters.

    Raises:
        UpstreamError: a page failed, or the list does not end; MalformedError: it is no list.
    """
    after, seen = "", set[str]()
    for _ in range(_MOST_LIST_PAGES):
        body = get([*params, ("limit", PAGE), *([("after", after)] if after else [])])
        items, more = body.get("data"), body.get("has_more")
        if not isinstance(items, list):
            raise MalformedError(f"data: expected an array, got {abbreviated(items)}")
        if more is not None and not isinstance(more, bool):
            raise MalformedError(f"has_more: expected true or false, got {abbreviated(more)}")
        yield items
        if not more:
            return
        after = _last(items) or str(body.get("last_id") or "")
        if not after:
            raise MalformedError("last_id: expected an id since has_more is true")
        if after in seen:
            raise UpstreamError(f"the list comes back to {after!r}", api=api, reason="page_loop")
        seen.add(after)
    raise UpstreamError(f"more than {_MOST_LIST_PAGES} pages", api=api, reason="page_loop")


def identified(item: Any) -> Item:
    """An entry of a list; raises MalformedError for what is no object with an id."""
    if not (isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]):
        raise MalformedError(f"expected an object with an id, got {abbreviated(item)}")
    return item


def _last(items: list[Any]) -> str:
    """The id of the last entry; empty when it has none."""
    id = items[-1].get("id") if items and isinstance(items[-1], dict) else None
    return id if isinstance(id, str) else ""


def text(item: Item, name: str) -> str:
    """A string field; null and absent are empty."""
    return _typed(item, name, str, "a string") or ""


def inner(item: Item, name: str) -> Item:
    """A field that is an object; null and absent are empty."""
    return _typed(item, name, dict, "an object") or {}


def number(item: Item, name: str) -> int | None:
    """A whole number that is not negative, however it is written; null and absent are None."""
    value = item.get(name)
    if value is None:
        return None
    count = counted(value, name, _NATURAL)
    if count < 0:
        raise MalformedError(f"{name}: expected {_NATURAL}, got {count}")
    return count


_NATURAL = f"a whole number from 0 to {MOST:.0e}"


def seconds(item: Item, name: str, note: Callable[[MalformedError], None]) -> int | None:
    """A time in Unix seconds, as a number or in ISO 8601; what is neither is noted, and None as null and absent are."""
    value = item.get(name)
    try:
        if isinstance(value, str) and "-" in value:
            value = iso_time(value)
        if value is None or 0 <= (found := amount(value, name)) <= LATEST:
            return None if value is None else int(found)
    except (MalformedError, ValueError, OverflowError):
        pass
    note(MalformedError(f"{name}: expected Unix seconds or null, got {abbreviated(item[name])}"))
    return None


def _typed(item: Item, name: str, kind: type[T], what: str) -> T | None:
    value = item.get(name)
    if value is not None and not isinstance(value, kind):
        raise MalformedError(f"{name}: expected {what} or null, got {abbreviated(value)}")
    return value

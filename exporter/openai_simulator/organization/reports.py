# SPDX-License-Identifier: Apache-2.0
"""The usage and costs endpoints, as much as the API shows now: queries, page cursors, JSON of time buckets."""

import base64
import binascii
import json
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache, partial
from threading import RLock
from typing import Any, Literal
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_simulator import errors
from openai_simulator.catalogue import SimClock
from openai_simulator.faults import (
    Faults,
    LateBuckets,
    LostBuckets,
    NullLabels,
    PageLoop,
    RepeatedBuckets,
    ReviseDown,
    ShortPages,
)
from openai_simulator.organization.billing import COST_DIMENSIONS, Amount, Billing, Key
from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.seed import DAY
from openai_simulator.organization.streams import Labels
from openai_simulator.organization.usage import Filter, Lateness, RecordedCalls, Selection, UsageRecords, View

# Queries: strict decoding, page cursors, and the JSON of time buckets.

WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_CURSOR = struct.Struct(">qIq")  # time of the first query, check of its parameters, next bucket's start
_CURSOR_PREFIX = "page_"
_LATEST = 1 << 40


USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
COST_LIMITS = {"1d": (7, 180)}
"""How many buckets a page has by default and at most, for each width."""
_COMMON = ("start_time", "end_time", "bucket_width", "limit", "page", "group_by")


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint accepts: widths with their limits, dimensions to group by, filters and their closed sets."""

    limits: Mapping[str, tuple[int, int]]
    dimensions: tuple[str, ...]
    filters: Mapping[str, str]
    allowed: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Query:
    """A decoded query. `width` is in seconds, `start` and `end` are aligned to it; `end` is exclusive."""

    width: int
    start: int
    end: int
    limit: int
    group_by: frozenset[str]
    filters: Mapping[str, Filter]
    page: str | None
    asked_at: int
    check: int

    def starts(self) -> range:
        """The buckets of this page, by their start."""
        return range(self.start, min(self.end, self.start + self.limit * self.width), self.width)

    def next_page(self) -> str | None:
        """The cursor of the next page, None on the last."""
        following = self.start + self.limit * self.width
        return None if following >= self.end else self.cursor(following)

    def cursor(self, start: int) -> str:
        """An opaque cursor for the page whose first bucket begins at `start`."""
        packed = _CURSOR.pack(self.asked_at, self.check, start)
        return _CURSOR_PREFIX + base64.urlsafe_b64encode(packed).decode()


def decode(params: QueryParams, rules: Rules, now: float) -> Query:
    """The query of a request at simulated time `now`; raises the API's 400 for anything it would not take."""
    values = _collected(params)
    for name in values:
        if name not in _COMMON and name not in rules.filters:
            raise errors.unknown_parameter(name)
    width_name = _one(values, "bucket_width") or "1d"
    if width_name not in rules.limits:
        raise errors.invalid_value("bucket_width", width_name, errors.quoted(rules.limits))
    start_text = _one(values, "start_time")
    if start_text is None:
        raise errors.missing_parameter("start_time")
    page, check = _one(values, "page"), _check(values)
    asked_at, resumed = (int(now), None) if page is None else _resumed(page, check)
    end_text = _one(values, "end_time")
    start = _integer("start_time", start_text)
    end = asked_at + 1 if end_text is None else _integer("end_time", end_text)
    if end_text is not None and end <= start:
        raise _invalid("end_time", f"expected a time after start_time ({start}), but got {end} instead")
    width = WIDTHS[width_name]
    # Buckets lie on the UTC grid; those that have not begun yet do not exist, whatever end_time says.
    return Query(
        width=width,
        start=start - start % width if resumed is None else resumed,
        end=-(-min(end, asked_at + 1) // width) * width,
        limit=_limit(_one(values, "limit"), *rules.limits[width_name]),
        group_by=_group_by(values.get("group_by", []), rules),
        filters=_filters(values, rules),
        page=page,
        asked_at=asked_at,
        check=check,
    )


def _collected(params: QueryParams) -> dict[str, list[str]]:
    """Values by name; `x=a&x=b` and `x[]=a&x[]=b` are the same."""
    values: dict[str, list[str]] = {}
    for name, value in params.multi_items():
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def _one(values: Mapping[str, list[str]], name: str) -> str | None:
    several = values.get(name, [])
    if len(several) > 1:
        raise _invalid(name, "expected one value, but got several instead")
    return several[0] if several else None


def _integer(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise errors.no_integer(name, text)
    number = int(text)
    if not 0 <= number < _LATEST:
        raise _invalid(name, f"expected a time in unix seconds, but got {number} instead")
    return number


def _limit(text: str | None, default: int, most: int) -> int:
    limit = default if text is None else _integer("limit", text)
    if 1 <= limit <= most:
        return limit
    code, bound = ("above_max", f"<= {most}") if limit > most else ("below_min", ">= 1")
    message = f"Invalid 'limit': expected a value {bound}, but got {limit} instead."
    raise errors.ApiError(400, message, param="limit", code=f"integer_{code}_value")


def _group_by(names: list[str], rules: Rules) -> frozenset[str]:
    for name in names:
        if name not in rules.dimensions:
            raise errors.invalid_value("group_by", name, errors.quoted(rules.dimensions))
    return frozenset(names)


def _filters(values: Mapping[str, list[str]], rules: Rules) -> dict[str, Filter]:
    filters: dict[str, Filter] = {}
    for name, dimension in rules.filters.items():
        if name not in values:
            continue
        allowed = ("true", "false") if name == "batch" else rules.allowed.get(name)
        for value in values[name]:
            if allowed and value not in allowed:
                raise errors.invalid_value(name, value, errors.quoted(allowed))
        requested: Iterable[str | bool] = values[name]
        if name == "batch":
            requested = (value == "true" for value in values[name])
        filters[dimension] = frozenset(requested)
    return filters


def _check(values: Mapping[str, list[str]]) -> int:
    """A checksum of all parameters that must stay the same from page to page."""
    fixed = sorted((name, sorted(texts)) for name, texts in values.items() if name != "page")
    return crc32(repr(fixed).encode())


def _resumed(page: str, check: int) -> tuple[int, int]:
    """When the first page was asked for, and the bucket to go on with."""
    try:
        packed = base64.urlsafe_b64decode(page.removeprefix(_CURSOR_PREFIX).encode("ascii"))
        asked_at, checked, start = _CURSOR.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        raise _invalid("page", "expected a cursor from next_page") from None
    if checked != check:
        raise _invalid("page", "the cursor belongs to a query with other parameters")
    return int(asked_at), int(start)


def _invalid(name: str, problem: str) -> errors.ApiError:
    return errors.ApiError(400, f"Invalid '{name}': {problem}.", param=name, code="invalid_value")


def bucket_json(start: int, end: int, rows: list[str]) -> bytes:
    """One bucket; `rows` are encoded results."""
    head = f'{{"object":"bucket","start_time":{start},"end_time":{end},"results":['
    return (head + ",".join(rows) + "]}").encode()


def page_json(buckets: list[bytes], next_page: str | None) -> bytes:
    """The reply."""
    more = "true" if next_page else "false"
    tail = f'],"has_more":{more},"next_page":{json.dumps(next_page)}}}'
    return b'{"object":"page","data":[' + b",".join(buckets) + tail.encode()


def looped(query: Query) -> str:
    """The cursor of a paging loop: every page says that the same page comes next, and so on for ever."""
    return query.page or query.next_page() or query.cursor(query.start)


def dimension_json(name: str, value: Any) -> str:
    """`"name":value`, the value null where it is not grouped by."""
    return f'"{name}":{json.dumps(value)}'


# The endpoints, and how much of the records they show.

USAGE_SCOPE = "api.usage.read"
COSTS_PATH = "/v1/organization/costs"
Amounts = Literal["number", "string"]
_COST_FILTERS = {"project_ids": "project_id", "api_key_ids": "api_key_id", "line_items": "line_item"}
_COST_RULES = Rules(COST_LIMITS, COST_DIMENSIONS, _COST_FILTERS, {})
_FINAL_AFTER = 2 * DAY  # credits are entered late, even when usage is not
_MOST_BYTES = 128 << 20


class BucketCache:
    """Encoded buckets, least recently used out first; bounded by their size in bytes."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._entries: OrderedDict[Hashable, tuple[Hashable, bytes]] = OrderedDict()

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[], bytes]) -> bytes:
        """The bucket under `key`, made when it is not there or has another `stamp`."""
        known = self._entries.get(key)
        if known is not None and known[0] == stamp:
            self._entries.move_to_end(key)
            return known[1]
        made = make()
        self._size += len(made) - (0 if known is None else len(known[1]))
        self._entries[key] = stamp, made
        self._entries.move_to_end(key)
        while self._size > self._most and len(self._entries) > 1:
            self._size -= len(self._entries.popitem(last=False)[1][1])
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._size = 0


class Visibility:
    """How much of one kind of data (usage or costs) the API shows; `lock` guards the records while they are read.

    Views are made on the event loop, where faults come and go; reading may be done by any thread.
    """

    def __init__(
        self, clock: SimClock, faults: Faults, lateness: Lateness, recorded: RecordedCalls, lock: RLock
    ) -> None:
        self.clock = clock
        self.faults = faults
        self._lateness = lateness
        self._recorded = recorded
        self._lock = lock
        self._reached: dict[tuple[str, int], float] = {}
        self._settled = float("-inf")
        self._changes: deque[float] = deque()
        self._cache = BucketCache()

    def view(self, path: str, now: float, width: int = 0) -> View:
        """What a request to `path` for buckets of that width sees at `now`, with the faults that are active."""
        late = self.faults.first(path, LateBuckets)
        revised = self.faults.first(path, ReviseDown)
        if late is not None and late.width is not None and WIDTHS[late.width] != width:
            late = None
        alone = width if late is not None and late.width else 0
        reached = min(self._reached.get((path, alone), float("-inf")), now)
        seen = now if late is None else max(reached, now - late.by_seconds)  # what came does not leave
        self._reached[path, alone] = self._reached[path, width] = seen
        if revised is None:
            return self._lateness.view(seen)
        return self._lateness.view(seen, revised.factor, running=revised.running)

    def changed(self, since: float) -> None:
        """The records change from `since` on; settled buckets that may hold it are made anew. Never waits."""
        self._changes.append(since)

    def read(
        self, path: str, query: Query, view: View, encode: Callable[[int], bytes], final_after: int
    ) -> list[bytes]:
        """The query's encoded buckets, made again when more of them may have become visible."""
        filters = tuple(sorted(query.filters.items(), key=lambda item: item[0]))
        with self._lock:
            self._recorded.enter()
            while self._changes:
                if self._changes.popleft() < self._settled:
                    self._cache.clear()
            self._settled = max(self._settled, view.settled)
            buckets = []
            for start in query.starts():
                settled = start + query.width + final_after <= view.settled
                stamp: Hashable = ("settled", view.shed) if settled else (view.stamp, self._recorded.version)
                key = (path, query.group_by, filters, query.width, start)
                buckets.append(self._cache.get(key, stamp, partial(encode, start)))
            return buckets


Rows = Callable[[Query, int, View], list[str]]


def _report(path: str, rules: Rules, visibility: Visibility, rows: Rows, final_after: int = 0) -> BaseRoute:
    """The route of one endpoint; `rows` are the encoded results of the bucket that begins at a time."""

    def read(query: Query, view: View) -> list[bytes]:
        def encode(start: int) -> bytes:
            return bucket_json(start, start + query.width, rows(query, start, view))

        return visibility.read(path, query, view, encode, final_after)

    async def answer(request: Request) -> Response:
        errors.require_admin(request, USAGE_SCOPE)
        now, faults = visibility.clock.now(), visibility.faults
        query = decode(request.query_params, rules, now)
        view = visibility.view(path, now, query.width)
        query, following = _turned(query, path, faults)
        lost, repeated = faults.first(path, LostBuckets), faults.first(path, RepeatedBuckets)
        buckets = await run_in_threadpool(read, query, view)
        if lost is not None:
            buckets = _without(buckets, query, lost, now)
        if repeated is not None and repeated.where == "page":
            buckets += buckets[-1:]
        return Response(page_json(buckets, following), media_type="application/json")

    return Route(path, answer, methods=["GET"])


def _turned(query: Query, path: str, faults: Faults) -> tuple[Query, str | None]:
    """The query that is answered in place of this one with the active faults, and the cursor of the next page."""
    short, nulls = faults.first(path, ShortPages), faults.first(path, NullLabels)
    if short is not None:
        query = replace(query, limit=min(query.limit, short.buckets))
    following = query.next_page() if faults.first(path, PageLoop) is None else looped(query)
    if nulls is not None:
        query = replace(query, group_by=query.group_by.difference(nulls.names))
    repeated = faults.first(path, RepeatedBuckets)
    if repeated is not None and repeated.where == "next_page":
        size = query.limit * query.width
        if query.page is None:
            following = query.cursor(query.start + size)
        else:
            query = replace(query, start=query.start - size)
    return query, following


def _without(buckets: list[bytes], query: Query, fault: LostBuckets, now: float) -> list[bytes]:
    """The buckets without those that a fault loses."""
    lost = query.starts() if fault.seconds_ago is None else [(now - fault.seconds_ago) // query.width * query.width]
    empty = fault.shape == "empty"
    pairs = zip(query.starts(), buckets, strict=True)
    return [
        bucket_json(start, start + query.width, []) if start in lost else bucket
        for start, bucket in pairs
        if empty or start not in lost
    ]


def usage_routes(records: UsageRecords, visibility: Visibility) -> list[BaseRoute]:
    """One GET route for each usage endpoint."""

    def rows(operation: UsageOperation, query: Query, start: int, view: View) -> list[str]:
        selection = Selection.of(operation.name, query.group_by, query.filters)
        totals = records.totals(selection, start, start + query.width, view)
        return [_usage_row(operation, *row) for row in totals]

    return [
        _report(
            f"/v1{operation.path}",
            Rules(USAGE_LIMITS, operation.dimensions, operation.filters, operation.allowed),
            visibility,
            partial(rows, operation),
        )
        for operation in OPERATIONS.values()
    ]


def _usage_row(operation: UsageOperation, labels: Labels, parts: list[int]) -> str:
    head, template = _template(operation.name)
    return head + template % tuple(operation.render(parts)) + _dimensions(operation.name, labels)


@lru_cache(maxsize=64)
def _template(name: str) -> tuple[str, str]:
    operation = OPERATIONS[name]
    fields = "".join(f'"{field}":%d,' for field in operation.fields)
    return f'{{"object":"{operation.result}",', fields


@lru_cache(maxsize=200_000)
def _dimensions(name: str, labels: Labels) -> str:
    pairs = zip(OPERATIONS[name].dimensions, labels, strict=True)
    return ",".join(dimension_json(dimension, value) for dimension, value in pairs) + "}"


def costs_route(billing: Billing, visibility: Visibility, amounts: Amounts) -> BaseRoute:
    """The GET route of costs; `amounts` says whether amount.value is a JSON number or a numeric string."""

    def rows(query: Query, start: int, view: View) -> list[str]:
        bill = billing.day(query.group_by, query.filters, start, start + DAY, view)
        itemised = "line_item" in query.group_by
        return [_cost_row(key, amount, itemised, quoted=amounts == "string") for key, amount in bill.items()]

    return _report(COSTS_PATH, _COST_RULES, visibility, rows, _FINAL_AFTER)


def _cost_row(key: Key, amount: Amount, itemised: bool, *, quoted: bool) -> str:
    value = plain(amount.usd)
    text = f'"{value}"' if quoted else value
    pairs = zip(COST_DIMENSIONS, key, strict=True)
    dimensions = ",".join(dimension_json(name, label) for name, label in pairs)
    quantity = plain(amount.quantity) if itemised else "null"
    return (
        f'{{"object":"organization.costs.result","amount":{{"value":{text},"currency":"usd"}},{dimensions},'
        f'"quantity":{quantity},{dimension_json("quantity_unit", amount.unit if itemised else None)}}}'
    )


def plain(number: Decimal) -> str:
    """All digits of a number, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

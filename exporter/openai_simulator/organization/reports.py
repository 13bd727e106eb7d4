# SPDX-License-Identifier: Apache-2.0
"""The /v1/organization/usage and /v1/organization/costs endpoints, as much as the API shows now."""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from threading import RLock
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_simulator.clock import SimClock
from openai_simulator.errors import bearer, is_admin_key, missing_scopes, refuse_invalid
from openai_simulator.faults import Faults, LateBuckets, PageLoop, ReviseDown
from openai_simulator.organization.arrival import Lateness, View
from openai_simulator.organization.billing import COST_DIMENSIONS, Amount, Billing, Key
from openai_simulator.organization.books import Books, RecordedCalls, Selection
from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.query import (
    COST_LIMITS,
    USAGE_LIMITS,
    BucketCache,
    Query,
    Rules,
    bucket,
    decode,
    dimension_json,
    looped,
    page,
)
from openai_simulator.organization.seed import DAY
from openai_simulator.organization.streams import Labels

# Who may call the organization API: admin keys only. Keeps no keys.

USAGE_SCOPE = "api.usage.read"
MANAGEMENT_READ = "api.management.read"
MANAGEMENT_WRITE = "api.management.write"


def require_admin(request: Request, scope: str) -> None:
    """Raise 401 for a missing or wrong key, and 403 naming `scope` for a key that is not an admin key."""
    key = bearer(request)
    refuse_invalid(key)
    if not is_admin_key(key):
        raise missing_scopes(scope)


# How much of the books the API shows now: clock, lateness and faults made a view, and a cache that follows it.


@dataclass(frozen=True, slots=True)
class Reading:
    """The books held open for one request, with a cache of its buckets."""

    view: View
    cache: BucketCache
    version: int

    def cached(self, key: Hashable, end: float, make: Callable[[], bytes]) -> bytes:
        """The encoded bucket `key` that ends at `end`; made again when more of it may have become visible."""
        settled = end <= self.view.settled
        stamp: Hashable = ("settled", self.view.shed) if settled else (self.view.stamp, self.version)
        return self.cache.get(key, stamp, make)


class Sight:
    """Makes views for one kind of data (usage or costs); `lock` guards the books while they are read.

    Views are made on the event loop, where faults come and go; reading may be done by any thread.
    """

    def __init__(
        self, clock: SimClock, faults: Faults, lateness: Lateness, recorded: RecordedCalls, lock: RLock
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._lateness = lateness
        self._recorded = recorded
        self._lock = lock
        self._reached: dict[str, float] = {}
        self._settled = float("-inf")
        self._changes: deque[float] = deque()
        self._cache = BucketCache()

    def look(self, path: str) -> tuple[float, View]:
        """The simulated time, and what a request to `path` sees now."""
        now = self._clock.now()
        return now, self.view(path, now)

    @contextmanager
    def reading(self, view: View) -> Iterator[Reading]:
        """The books as `view` sees them; nobody else reads or writes them meanwhile."""
        with self._lock:
            self._recorded.enter()
            while self._changes:
                if self._changes.popleft() < self._settled:
                    self._cache.clear()
            self._settled = max(self._settled, view.settled)
            yield Reading(view, self._cache, self._recorded.version)

    def view(self, path: str, now: float) -> View:
        """What a request to `path` sees at `now`, with the faults that are in force."""
        late = self._faults.first(path, LateBuckets)
        revised = self._faults.first(path, ReviseDown)
        reached = min(self._reached.get(path, float("-inf")), now)
        seen = now if late is None else max(reached, now - late.by_seconds)  # what came does not leave
        self._reached[path] = seen
        return self._lateness.view(seen, 1.0 if revised is None else revised.factor)

    def changed(self, since: float) -> None:
        """The books change from `since` on; settled buckets that may hold it are made anew. Never waits."""
        self._changes.append(since)


# The /v1/organization/usage endpoints. Decides nothing about what was used or when it arrives.

Endpoint = Callable[[Request], Awaitable[Response]]


class UsageApi:
    """Answers usage queries from the books, as far as `sight` lets them be seen."""

    def __init__(self, books: Books, sight: Sight, faults: Faults) -> None:
        self._books = books
        self._sight = sight
        self._faults = faults

    def routes(self) -> list[BaseRoute]:
        """One GET route for each usage endpoint."""
        return [
            Route(f"/v1{operation.path}", self._endpoint(operation), methods=["GET"])
            for operation in OPERATIONS.values()
        ]

    def _endpoint(self, operation: UsageOperation) -> Endpoint:
        path = f"/v1{operation.path}"
        rules = Rules(USAGE_LIMITS, operation.dimensions, operation.filters, operation.allowed)

        async def answer(request: Request) -> Response:
            require_admin(request, USAGE_SCOPE)
            now, view = self._sight.look(path)
            query = decode(request.query_params, rules, now)
            following = looped(query) if self._faults.first(path, PageLoop) else query.next_page()
            buckets = await run_in_threadpool(self._buckets, operation, query, view)
            return Response(page(buckets, following), media_type="application/json")

        return answer

    def _buckets(self, operation: UsageOperation, query: Query, view: View) -> list[bytes]:
        selection, width = Selection.of(operation.name, query.group_by, query.filters), query.width

        def encoded(start: int) -> bytes:
            rows = self._books.totals(selection, start, start + width, view)
            return bucket(start, start + width, [_row(operation, *row) for row in rows])

        with self._sight.reading(view) as reading:
            return [
                reading.cached((selection, width, start), start + width, partial(encoded, start))
                for start in query.starts()
            ]


def _row(operation: UsageOperation, labels: Labels, parts: list[int]) -> str:
    head, template = _template(operation.name)
    return head + template % tuple(operation.render(parts)) + _dimensions(operation.name, labels)


@lru_cache(maxsize=64)
def _template(name: str) -> tuple[str, str]:
    operation = OPERATIONS[name]
    figures = "".join(f'"{field}":%d,' for field in operation.fields)
    return f'{{"object":"{operation.result}",', figures


@lru_cache(maxsize=200_000)
def _dimensions(name: str, labels: Labels) -> str:
    pairs = zip(OPERATIONS[name].dimensions, labels, strict=True)
    return ",".join(dimension_json(dimension, value) for dimension, value in pairs) + "}"


# The /v1/organization/costs endpoint. Computes no money.

PATH = "/v1/organization/costs"
Amounts = Literal["number", "string"]
_FILTERS = {"project_ids": "project_id", "api_key_ids": "api_key_id", "line_items": "line_item"}
_RULES = Rules(COST_LIMITS, COST_DIMENSIONS, _FILTERS, {})
_FINAL_AFTER = 2 * DAY  # credits are entered late, even when usage is not


class CostsApi:
    """Answers cost queries; `amounts` says whether amount.value is a JSON number or a numeric string."""

    def __init__(self, billing: Billing, sight: Sight, faults: Faults, amounts: Amounts) -> None:
        self._billing = billing
        self._sight = sight
        self._faults = faults
        self._quoted = amounts == "string"

    def routes(self) -> list[BaseRoute]:
        """The one GET route."""
        return [Route(PATH, self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        require_admin(request, USAGE_SCOPE)
        now, view = self._sight.look(PATH)
        query = decode(request.query_params, _RULES, now)
        following = looped(query) if self._faults.first(PATH, PageLoop) else query.next_page()
        buckets = await run_in_threadpool(self._buckets, query, view)
        return Response(page(buckets, following), media_type="application/json")

    def _buckets(self, query: Query, view: View) -> list[bytes]:
        filters = tuple(sorted(query.filters.items(), key=lambda item: item[0]))

        def encoded(start: int) -> bytes:
            bill = self._billing.day(query.group_by, query.filters, start, start + DAY, view)
            return bucket(start, start + DAY, [self._row(query.group_by, *item) for item in bill.items()])

        with self._sight.reading(view) as reading:
            return [
                reading.cached(
                    (query.group_by, filters, start), start + DAY + _FINAL_AFTER, partial(encoded, start)
                )
                for start in query.starts()
            ]

    def _row(self, group_by: frozenset[str], key: Key, amount: Amount) -> str:
        value = plain(amount.usd)
        quoted = f'"{value}"' if self._quoted else value
        pairs = zip(COST_DIMENSIONS, key, strict=True)
        dimensions = ",".join(dimension_json(name, label) for name, label in pairs)
        itemised = "line_item" in group_by
        quantity = plain(amount.quantity) if itemised else "null"
        return (
            f'{{"object":"organization.costs.result","amount":{{"value":{quoted},"currency":"usd"}},{dimensions},'
            f'"quantity":{quantity},{dimension_json("quantity_unit", amount.unit if itemised else None)}}}'
        )


def plain(number: Decimal) -> str:
    """All digits of a number, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

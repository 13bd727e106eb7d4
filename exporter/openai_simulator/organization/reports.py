# SPDX-License-Identifier: Apache-2.0
"""The /v1/organization/usage and /v1/organization/costs endpoints, as much as the API shows now."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from decimal import Decimal
from functools import lru_cache, partial
from threading import RLock
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_simulator.clock import SimClock
from openai_simulator.errors import require_admin
from openai_simulator.faults import Faults, LateBuckets, PageLoop, ReviseDown
from openai_simulator.organization import query as queries
from openai_simulator.organization.billing import COST_DIMENSIONS, Amount, Billing, Key
from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.query import Query, Rules, dimension_json
from openai_simulator.organization.seed import DAY
from openai_simulator.organization.streams import Labels
from openai_simulator.organization.usage import Lateness, RecordedCalls, Selection, UsageRecords, View

USAGE_SCOPE = "api.usage.read"
COSTS_PATH = "/v1/organization/costs"
Amounts = Literal["number", "string"]
_COST_FILTERS = {"project_ids": "project_id", "api_key_ids": "api_key_id", "line_items": "line_item"}
_COST_RULES = Rules(queries.COST_LIMITS, COST_DIMENSIONS, _COST_FILTERS, {})
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
        self._reached: dict[str, float] = {}
        self._settled = float("-inf")
        self._changes: deque[float] = deque()
        self._cache = BucketCache()

    def view(self, path: str, now: float) -> View:
        """What a request to `path` sees at `now`, with the faults that are active."""
        late = self.faults.first(path, LateBuckets)
        revised = self.faults.first(path, ReviseDown)
        reached = min(self._reached.get(path, float("-inf")), now)
        seen = now if late is None else max(reached, now - late.by_seconds)  # what came does not leave
        self._reached[path] = seen
        return self._lateness.view(seen, 1.0 if revised is None else revised.factor)

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
            return queries.bucket(start, start + query.width, rows(query, start, view))

        return visibility.read(path, query, view, encode, final_after)

    async def answer(request: Request) -> Response:
        require_admin(request, USAGE_SCOPE)
        now = visibility.clock.now()
        view = visibility.view(path, now)
        query = queries.decode(request.query_params, rules, now)
        loops = visibility.faults.first(path, PageLoop) is not None
        following = queries.looped(query) if loops else query.next_page()
        buckets = await run_in_threadpool(read, query, view)
        return Response(queries.page(buckets, following), media_type="application/json")

    return Route(path, answer, methods=["GET"])


def usage_routes(records: UsageRecords, visibility: Visibility) -> list[BaseRoute]:
    """One GET route for each usage endpoint."""

    def rows(operation: UsageOperation, query: Query, start: int, view: View) -> list[str]:
        selection = Selection.of(operation.name, query.group_by, query.filters)
        totals = records.totals(selection, start, start + query.width, view)
        return [_usage_row(operation, *row) for row in totals]

    return [
        _report(
            f"/v1{operation.path}",
            Rules(queries.USAGE_LIMITS, operation.dimensions, operation.filters, operation.allowed),
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

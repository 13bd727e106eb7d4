# SPDX-License-Identifier: Apache-2.0
"""The simulated organization as a whole: its endpoints, whose keys are whose, and the true usage and bill for tests."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from threading import RLock
from typing import Any
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator.catalogue import Model, SimClock
from openai_simulator.errors import ADMIN_PREFIX, INVALID_PREFIX, ApiError
from openai_simulator.faults import Faults
from openai_simulator.organization import reports
from openai_simulator.organization.billing import COST_DIMENSIONS, PRICED_OPERATIONS, Billing, Priced
from openai_simulator.organization.directory import Directory
from openai_simulator.organization.limits import LimitsApi
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.reports import Visibility, plain
from openai_simulator.organization.seed import DAY, ApiKey, OrganizationSize, Roster, roster
from openai_simulator.organization.streams import SeededUsage, VectorStores
from openai_simulator.organization.usage import (
    Call,
    Identity,
    Lateness,
    RecordedCalls,
    Selection,
    UsageRecords,
    View,
    truth,
)

PREFIX = "/_simulator/organization"


class Organization:
    """The usage of a simulated organization and the /v1/organization endpoints on it.

    Everything is a function of `seed`, `size`, the simulated time, the active faults and the calls recorded.
    `late_seconds` is how long (simulated) the newest usage takes to appear; 0 shows all at once. `limit_rates` is told
    when a rate limit of a project is set.
    """

    def __init__(
        self,
        *,
        clock: SimClock,
        seed: int,
        faults: Faults,
        size: OrganizationSize | None = None,
        amounts: reports.Amounts = "string",
        late_seconds: float = 600.0,
        limit_rates: Callable[[str, Model, int, int], object] = lambda project_id, model, requests, tokens: None,
    ) -> None:
        self._clock = clock
        self._lock = RLock()
        size = size or OrganizationSize()
        people = roster(seed, size)
        self._recorded = RecordedCalls()
        self._records = records = UsageRecords(
            SeededUsage(seed, people, size), VectorStores(seed, people, size), self._recorded
        )
        billing = Billing(seed, records)
        usage, costs = Lateness.of_usage(late_seconds), Lateness.of_costs(late_seconds)
        self._usage = Visibility(clock, faults, usage, self._recorded, self._lock)
        self._costs = Visibility(clock, faults, costs, self._recorded, self._lock)
        self._truth = GroundTruth(records, billing, self._usage, self._costs)
        self._limits = LimitsApi(seed, people, clock, self._truth.spent_this_month, limit_rates, self._lock)
        self._by_secret = {f"sk-{key.id}": key for key in people.keys}
        self._default_keys = _default_keys(people)
        self._routes = [
            *reports.usage_routes(records, self._usage),
            reports.costs_route(billing, self._costs, amounts),
            *Directory(people, records, clock, self._lock).routes(),
            *self._limits.routes(),
            # For tests: `usage` and `bill` take `start` and `end`, `stop` takes {"at": unix seconds or null}.
            Route(f"{PREFIX}/usage", _rows(self.truth), methods=["GET"]),
            Route(f"{PREFIX}/bill", _rows(self.bill), methods=["GET"]),
            Route(f"{PREFIX}/stop", self._stop, methods=["POST"]),
        ]

    def routes(self) -> list[BaseRoute]:
        """All routes under /v1/organization, and the control endpoints under /_simulator/organization."""
        return self._routes

    def record_call(self, call: Call) -> None:
        """Enter a call that was really made; it is billed and becomes visible like any other usage. Never waits.

        Raises:
            ValueError: its token counts do not add up.
        """
        self._recorded.record(call)
        self._usage.changed(call.time)
        self._costs.changed(call.time)

    def identify(self, bearer: str) -> Identity | None:
        """Whom an API key belongs to. `sk-` and a key's id is that key; any other `sk-...` maps to one of the
        default project's keys, always the same. None for admin keys and what is no key."""
        if not bearer.startswith("sk-") or bearer.startswith((ADMIN_PREFIX, INVALID_PREFIX)):
            return None
        key = self._by_secret.get(bearer) or self._default_keys[crc32(bearer.encode()) % len(self._default_keys)]
        return Identity(project_id=key.project_id, api_key_id=key.id, user_id=key.owner_id)

    def admit(self, project_id: str) -> None:
        """Raise the API's 429 for a project whose spend limit, or the organization's, is reached."""
        self._limits.admit(project_id)

    def stop_usage(self, at: float | None) -> None:
        """Let no seeded usage happen after `at` (unix seconds), so that late data can catch up; None lifts it."""
        with self._lock:
            self._records.stop(at)
            self._usage.changed(float("-inf"))
            self._costs.changed(float("-inf"))

    def truth(self, start: float, end: float) -> list[dict[str, Any]]:
        """What was used in [start, end), whether visible or not: one row per operation and full set of labels."""
        with self._lock:
            return self._truth.rows(start, end)

    def bill(self, start: float, end: float) -> list[dict[str, Any]]:
        """What usage in [start, end) costs, whether visible or not: one row per UTC day and full set of labels."""
        with self._lock:
            return self._truth.bill(start, end)

    def state(self) -> dict[str, Any]:
        """Usage and money at the present simulated time, true and as far as they have arrived; money as strings."""
        with self._lock:
            return {**self._truth.state(self._clock.now()), "limits": self._limits.state()}

    async def _stop(self, request: Request) -> JSONResponse:
        try:
            at = dict(await request.json())["at"]
        except (ValueError, TypeError, KeyError):
            raise ApiError(400, 'stop: expected {"at": unix seconds or null}') from None
        if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
            raise ApiError(400, f"stop.at: expected unix seconds or null, got {at!r}")
        await run_in_threadpool(self.stop_usage, at)
        return JSONResponse({"at": at})


def _default_keys(people: Roster) -> list[ApiKey]:
    """The keys that any unknown `sk-...` maps to: those of the default project that are in use."""
    project_id = people.projects[0].id
    keys = [key for key in people.keys if key.project_id == project_id and key.used and key.expiry != "expired"]
    return keys or list(people.keys[:1])


def _rows(read: Callable[[float, float], list[dict[str, Any]]]) -> Callable[[Request], JSONResponse]:
    def endpoint(request: Request) -> JSONResponse:
        start, end = (_unix(request, name) for name in ("start", "end"))
        return JSONResponse({"data": read(start, end)})

    return endpoint


def _unix(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        return float(text)
    except ValueError:
        raise ApiError(400, f"{name}: expected unix seconds, got {text!r}") from None


_WHOLE_BILL = frozenset({"project_id", "line_item"})
_PER_PROJECT_AND_MODEL = frozenset({"project_id", "model"})


class GroundTruth:
    """True and visible usage, estimated and billed money, for tests; each answer is summed anew."""

    def __init__(self, records: UsageRecords, billing: Billing, usage: Visibility, costs: Visibility) -> None:
        self._records = records
        self._billing = billing
        self._usage = usage
        self._costs = costs

    def rows(self, start: float, end: float) -> list[dict[str, Any]]:
        """All that was used in [start, end), per operation and full set of labels, whether visible or not."""
        self._records.recorded.enter()
        view = truth(end)
        return [{"operation": name, **row} for name in OPERATIONS for row in self._usage_rows(name, start, end, view)]

    def bill(self, start: float, end: float) -> list[dict[str, Any]]:
        """The true bill of [start, end) per UTC day (the first is taken whole); numbers are strings."""
        self._records.recorded.enter()
        view, everything = truth(end), frozenset(COST_DIMENSIONS)
        rows = []
        for day in _days(int(start // DAY) * DAY, end):
            for key, amount in self._billing.day(everything, {}, day, min(end, day + DAY), view).items():
                money = {"usd": plain(amount.usd), "quantity": plain(amount.quantity), "unit": amount.unit}
                rows.append({"day": day, **dict(zip(COST_DIMENSIONS, key, strict=True)), **money})
        return rows

    def state(self, now: float) -> dict[str, Any]:
        """Month to date, true (as if all had arrived) and arrived (as the API shows it). Money is in strings."""
        self._records.recorded.enter()
        month = month_start(now)
        true = truth(now)
        arrived = {name: self._usage.view(f"/v1{OPERATIONS[name].path}", now) for name in OPERATIONS}
        billed = self._costs.view(reports.COSTS_PATH, now)
        return {
            "now": now,
            "month_start": month,
            "true": {name: self._usage_rows(name, month, now, true) for name in OPERATIONS},
            "arrived": {name: self._usage_rows(name, month, now, view) for name, view in arrived.items()},
            "estimated_cost_usd": {
                "true": self._estimated(month, now, dict.fromkeys(OPERATIONS, true)),
                "arrived": self._estimated(month, now, arrived),
            },
            "billed_cost_usd": {"true": self._billed(now, true), "arrived": self._billed(now, billed)},
        }

    def spent_this_month(self, now: float, project_id: str | None = None) -> Decimal:
        """True spend of the month until `now`, of one project or of all."""
        self._records.recorded.enter()
        filters = {} if project_id is None else {"project_id": frozenset({project_id})}
        view = truth(now)
        days = (
            self._billing.day(frozenset(), filters, day, min(now, day + DAY), view)
            for day in _days(month_start(now), now)
        )
        return sum((amount.usd for day in days for amount in day.values()), Decimal(0))

    def _usage_rows(self, name: str, start: float, end: float, view: View) -> list[dict[str, Any]]:
        operation = OPERATIONS[name]
        selection = Selection.of(name, frozenset(operation.dimensions))
        rows = []
        for labels, parts in self._records.totals(selection, start, end, view):
            named = dict(zip(operation.dimensions, labels, strict=True))
            rows.append(named | dict(zip(operation.fields, operation.render(parts), strict=True)))
        return rows

    def _estimated(self, month: int, now: float, views: Mapping[str, View]) -> dict[str, Any]:
        """Tokens at list prices, by project and model, and the tokens of models that have none."""
        priced: dict[tuple[str, str], Decimal] = {}
        unpriced: dict[str, int] = {}
        for use in self._priced(month, now, views):
            project, model = str(use.labels["project_id"]), str(use.labels["model"])
            if use.listed is None:
                unpriced[model] = unpriced.get(model, 0) + use.quantity
            else:
                priced[project, model] = priced.get((project, model), Decimal(0)) + use.listed
        return {
            "total": plain(sum(priced.values(), Decimal(0))),
            "by_project_and_model": [
                {"project_id": project, "model": model, "usd": plain(usd)}
                for (project, model), usd in sorted(priced.items())
            ],
            "by_model": _strings(priced.items(), 1),
            "by_project": _strings(priced.items(), 0),
            "unpriced_tokens": unpriced,
        }

    def _priced(self, start: int, end: float, views: Mapping[str, View]) -> Iterator[Priced]:
        for name in PRICED_OPERATIONS:
            for day in _days(start, end):
                until = min(end, day + DAY)
                yield from self._billing.priced((name,), _PER_PROJECT_AND_MODEL, day, until, views[name])

    def _billed(self, now: float, view: View) -> dict[str, Any]:
        month = month_start(now)
        previous = month_start(month - 1)
        by_day = {day: self._bill(day, now, view) for day in _days(previous, now)}
        today = int(now // DAY) * DAY
        running = [by_day[day] for day in _days(month, now)]
        items = [item for bill in running for item in bill.items()]
        return {
            "month_to_date": _total(running),
            "today": _total([by_day.get(today, {})]),
            "yesterday": _total([by_day.get(today - DAY, {})]),
            "previous_month": _total([by_day[day] for day in _days(previous, month)]),
            "by_project": _strings(items, 0),
            "by_line_item": _strings(items, 1),
        }

    def _bill(self, day: int, now: float, view: View) -> dict[tuple[str, str], Decimal]:
        project, line = COST_DIMENSIONS.index("project_id"), COST_DIMENSIONS.index("line_item")
        bill = self._billing.day(_WHOLE_BILL, {}, day, min(now, day + DAY), view)
        return {(key[project] or "", key[line] or ""): amount.usd for key, amount in bill.items()}


def month_start(unix: float) -> int:
    """00:00 UTC on the first of the month."""
    date = datetime.fromtimestamp(unix, UTC)
    return int(datetime(date.year, date.month, 1, tzinfo=UTC).timestamp())


def _days(start: int, end: float) -> Iterator[int]:
    return iter(range(start, -int(-end // 1), DAY))


def _total(bills: list[dict[tuple[str, str], Decimal]]) -> str:
    return plain(sum((usd for bill in bills for usd in bill.values()), Decimal(0)))


def _strings(items: Iterable[tuple[tuple[str, str], Decimal]], place: int) -> dict[str, str]:
    """Sums by one part of the key, as strings."""
    sums: dict[str, Decimal] = {}
    for key, usd in items:
        sums[key[place]] = sums.get(key[place], Decimal(0)) + usd
    return {name: plain(usd) for name, usd in sorted(sums.items())}

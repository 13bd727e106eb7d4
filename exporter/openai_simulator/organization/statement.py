# SPDX-License-Identifier: Apache-2.0
"""The books as a statement for tests: true and arrived usage, estimated and billed money. Changes nothing."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from openai_simulator.organization.arrival import View, truth
from openai_simulator.organization.billing import COST_DIMENSIONS, PRICED_OPERATIONS, Billing, Priced
from openai_simulator.organization.books import Books, Selection
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.reports import PATH as COSTS_PATH
from openai_simulator.organization.reports import Sight, plain
from openai_simulator.organization.seed import DAY

_WHOLE_BILL = frozenset({"project_id", "line_item"})
_PER_PROJECT_AND_MODEL = frozenset({"project_id", "model"})


class Statement:
    """Sums over the books; nothing is cached, each answer reads them anew."""

    def __init__(self, books: Books, billing: Billing, usage: Sight, costs: Sight) -> None:
        self._books = books
        self._billing = billing
        self._usage = usage
        self._costs = costs

    def rows(self, start: float, end: float) -> list[dict[str, Any]]:
        """All that was used in [start, end), per operation and full set of labels, whether visible or not."""
        self._books.recorded.enter()
        view = truth(end)
        return [
            {"operation": name, **row}
            for name in OPERATIONS
            for row in self._usage_rows(name, start, end, view)
        ]

    def bill(self, start: float, end: float) -> list[dict[str, Any]]:
        """The true bill of [start, end) per UTC day (the first is taken whole); numbers are strings."""
        self._books.recorded.enter()
        view, everything = truth(end), frozenset(COST_DIMENSIONS)
        rows = []
        for day in _days(int(start // DAY) * DAY, end):
            for key, amount in self._billing.day(everything, {}, day, min(end, day + DAY), view).items():
                money = {"usd": plain(amount.usd), "quantity": plain(amount.quantity), "unit": amount.unit}
                rows.append({"day": day, **dict(zip(COST_DIMENSIONS, key, strict=True)), **money})
        return rows

    def state(self, now: float) -> dict[str, Any]:
        """Month to date, true (as if all had arrived) and arrived (as the API shows it). Money is in strings."""
        self._books.recorded.enter()
        month = month_start(now)
        true = truth(now)
        arrived = {name: self._usage.view(f"/v1{OPERATIONS[name].path}", now) for name in OPERATIONS}
        billed = self._costs.view(COSTS_PATH, now)
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

    def billed_since(self, start: int, now: float, project_id: str | None = None) -> Decimal:
        """True spend from the day that begins at `start` until `now`, of one project or of all."""
        self._books.recorded.enter()
        filters = {} if project_id is None else {"project_id": frozenset({project_id})}
        view = truth(now)
        days = (
            self._billing.day(frozenset(), filters, day, min(now, day + DAY), view)
            for day in _days(start, now)
        )
        return sum((amount.usd for day in days for amount in day.values()), Decimal(0))

    def _usage_rows(self, name: str, start: float, end: float, view: View) -> list[dict[str, Any]]:
        operation = OPERATIONS[name]
        selection = Selection.of(name, frozenset(operation.dimensions))
        rows = []
        for labels, parts in self._books.totals(selection, start, end, view):
            named = dict(zip(operation.dimensions, labels, strict=True))
            figures = dict(zip(operation.fields, operation.render(parts), strict=True))
            rows.append({**named, **figures})
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
            "by_model": _strings(_summed(priced, 1)),
            "by_project": _strings(_summed(priced, 0)),
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
        items = [(key, usd) for bill in running for key, usd in bill.items()]
        return {
            "month_to_date": _total(running),
            "today": _total([by_day.get(today, {})]),
            "yesterday": _total([by_day.get(today - DAY, {})]),
            "previous_month": _total([by_day[day] for day in _days(previous, month)]),
            "by_project": _strings(_keyed(items, 0)),
            "by_line_item": _strings(_keyed(items, 1)),
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


def _summed(priced: dict[tuple[str, str], Decimal], place: int) -> dict[str, Decimal]:
    return _keyed(list(priced.items()), place)


def _keyed(items: list[tuple[tuple[str, str], Decimal]], place: int) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for key, usd in items:
        found[key[place]] = found.get(key[place], Decimal(0)) + usd
    return found


def _total(bills: list[dict[tuple[str, str], Decimal]]) -> str:
    return plain(sum((usd for bill in bills for usd in bill.values()), Decimal(0)))


def _strings(amounts: dict[str, Decimal]) -> dict[str, str]:
    return {name: plain(usd) for name, usd in sorted(amounts.items())}

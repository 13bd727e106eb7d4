# SPDX-License-Identifier: Apache-2.0
"""Billed costs of two months, the estimate beside the bill by model, and budgets beside what was spent."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from openai_exporter.client.organization import HEADER, Calls
from openai_exporter.config.sections import PRICED, Budget, Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family, Sample, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices import PICO
from openai_exporter.usage.counters import CounterDataset
from openai_exporter.usage.dataset import BudgetState, Context, Dataset
from openai_exporter.usage.ledger import (
    DAY,
    OTHER,
    Labels,
    Range,
    Row,
    covers,
    day_start,
    month_start,
    previous_month_start,
)
from openai_exporter.usage.limits import undated
from openai_exporter.usage.pages import Add, Decode, Query, T, read, read_in_time
from openai_exporter.usage.rows import OPERATIONS, CostRow, Estimator, Operation, RowDecoder, decoded

NAME = "costs"
PATH = "/organization/costs"
COST_DAYS = 180
"""Days that one page of costs has at most."""
_ZERO = Decimal(0)

Sums = dict[Labels, Decimal]


@dataclass(slots=True)
class Bill:
    """The costs of the month before and of this month so far, in USD.

    Attributes:
        now: the API's time when it was read.
        group_by: dimensions, in the order of the labels.
        month: this month so far, by labels; labels of the month before are there with 0.
        today, yesterday: by labels.
        previous_month: the whole month before.
        skipped: rows in other currencies, by currency: they are in no sum.
    """

    now: float
    group_by: tuple[str, ...]
    month: Sums = field(default_factory=dict)
    today: Sums = field(default_factory=dict)
    yesterday: Sums = field(default_factory=dict)
    previous_month: Decimal = _ZERO
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> Decimal:
        """Both months."""
        return self.previous_month + sum(self.month.values(), _ZERO)

    def add(self, start: int, rows: Iterable[CostRow]) -> None:
        """Add the bucket of a day."""
        this_month, today = month_start(self.now), day_start(self.now)
        inside = start >= previous_month_start(self.now)
        day = {today: self.today, today - DAY: self.yesterday}.get(start)
        for row in rows:
            labels, usd = row.labels, row.usd
            if usd is None:
                self.skipped[row.currency] = self.skipped.get(row.currency, 0) + 1
            if usd is None or not inside:
                continue
            if start >= this_month:
                self.month[labels] = self.month.get(labels, _ZERO) + usd
            else:
                self.month.setdefault(labels, _ZERO)
                self.previous_month += usd
            if day is not None:
                day[labels] = day.get(labels, _ZERO) + usd

    def covers(self, period: str, now: float) -> bool:
        """Whether it is of the `day` or `month` that runs now, in the API's time."""
        return covers(period, self.now, now)

    def by(self, dimension: str, *, period: str) -> dict[str, Decimal]:
        """This month's (`month`) or today's (`day`) costs by one dimension."""
        place = self.group_by.index(dimension)
        sums: dict[str, Decimal] = {}
        for labels, usd in (self.month if period == "month" else self.today).items():
            sums[labels[place]] = sums.get(labels[place], _ZERO) + usd
        return sums


def total(sums: Mapping[Labels, Decimal]) -> Decimal:
    """The sum of all."""
    return sum(sums.values(), _ZERO)


def largest(sums: Mapping[Labels, Decimal], limit: int) -> Sums:
    """At most `limit` sums by their labels, and the rest under `other`."""
    if len(sums) <= limit:
        return dict(sums)
    ranked = sorted(sums, key=lambda labels: (-abs(sums[labels]), labels))
    top = {labels: sums[labels] for labels in ranked[:limit]}
    other = (OTHER,) * len(ranked[0])
    top[other] = sum((sums[labels] for labels in ranked[limit:]), top.get(other, _ZERO))
    return top


def by_project(sums: Sums, month: Sums, group_by: Sequence[str], limit: int) -> dict[str, Decimal]:
    """A day's costs of each project of the month; beyond the `limit` most expensive of the month under `other`.

    All are under the empty name where costs are not grouped by project, and so are costs of no project.
    """
    place = group_by.index("project_id") if "project_id" in group_by else None

    def project(labels: Labels) -> str:
        return "" if place is None else labels[place]

    projects: Sums = {}
    for labels, usd in month.items():
        projects[project(labels),] = projects.get((project(labels),), _ZERO) + usd
    shown = {name: _ZERO for (name,) in largest(projects, limit)} or {"": _ZERO}
    for labels, usd in sums.items():
        shown[project(labels) if project(labels) in shown else OTHER] += usd
    return shown


class CostsDataset(Dataset):
    """Costs of an organization.

    Attributes:
        data: the last bill read; None before the first.
    """

    name = NAME
    data: Bill | None = None

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.costs is not None
        self.interval = organization.costs.refresh_interval
        self.shape = self._group_by = organization.costs.group_by
        self._limit = organization.series_limit
        self._loss_limit, self._patience = Decimal(organization.loss_limit), organization.full_refresh_interval
        self._context = context
        self._doubted: Bill | None = None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read both months; the API's own clock says which they are."""
        bill = read_in_time(lambda: self._read(calls), self.name)
        self._doubt(bill)
        self.data = bill
        return True

    def _doubt(self, bill: Bill) -> None:
        """Keep the last bill when one lacks too much of it, until one a `full_refresh_interval` later says the same.

        Raises:
            UpstreamError: says how much is missing.
        """
        known, before = self.data, self._doubted
        same_month = known is not None and month_start(known.now) == month_start(bill.now)
        if known is None or not same_month or bill.whole >= known.whole * (1 - self._loss_limit):
            self._doubted = None
            return
        if before is None or abs(bill.whole - before.whole) > abs(known.whole) * self._loss_limit:
            before = self._doubted = bill
        if bill.now - before.now < self._patience:
            raise UpstreamError(
                f"{known.whole - bill.whole:.2f} of {known.whole:.2f} USD of this month and the last are missing "
                f"(loss_limit is {self._loss_limit:.0%}); keeping the last values; the new ones "
                "are accepted if they stay",
                api=self.name, reason="implausible",
            )  # fmt: skip
        self._doubted = None

    def families(self) -> Iterator[Family]:
        """Month to date by labels, today, yesterday, and the month before; nothing of a day or month that is over."""
        bill, now = self.data, self._context.clock.now()
        if bill is None:
            return
        if bill.covers("month", now):
            yield self._month(bill)
            yield family(metrics.COSTS_PREVIOUS_MONTH, float(bill.previous_month))
        if bill.covers("day", now):
            day = Family(metrics.COSTS_DAY)
            for window, sums in (("today", bill.today), ("yesterday", bill.yesterday)):
                for project, usd in by_project(sums, bill.month, bill.group_by, self._limit).items():
                    day.add(float(usd), window, project)
            yield day
        yield Family(metrics.COSTS_SKIPPED, [((name,), count) for name, count in bill.skipped.items()])

    @property
    def outdated(self) -> bool:
        """Whether a day began since it was read: it is read at once, for today is unknown until then."""
        return self.data is not None and not self.data.covers("day", self._context.clock.now())

    def _month(self, bill: Bill) -> Family:
        names = metrics.COSTS_MONTH.labels
        month = Family(metrics.COSTS_MONTH)
        for labels, usd in largest(bill.month, self._limit).items():
            grouped = dict(zip(bill.group_by, labels, strict=True))
            month.add(float(usd), *(grouped.get(name, "") for name in names))
        return month

    def _read(self, calls: Calls) -> Bill:
        clock = self._context.clock
        bill = Bill(clock.now(), self._group_by)
        start = previous_month_start(bill.now)

        def planned() -> bool:
            bill.now = clock.now()
            return previous_month_start(bill.now) == start

        query = Query(PATH, self.name, Range(start, None, "1d", COST_DAYS), self._group_by)

        def decode(result: Any, start: int) -> CostRow:
            row = decoded(result, self._group_by)
            if HEADER not in calls.identity:
                calls.identify("organization_id", result.get("organization_id"), self.name)
            return row

        read(calls, self._context, query, decode, bill.add, planned)
        return bill


# Estimated beside billed cost by model, of days whose bill is complete: how good the estimate is, and where not.
# Both sides are read for the same days: a bill arrives a day or two later than usage, so that the estimate of
# today against the bill of today would always differ.

IMAGES = ", images"
"""How line items for whole images end: they are of a model, but no price list has a price for them."""
WINDOWS = ("day", "month")
USAGE_DAYS = 31
"""Days that one page of usage has at most."""


def model_of(line_item: str, models: Collection[str]) -> str | None:
    """The model of a line item: `gpt-5.4-2026-03-05, cached input` is for `gpt-5.4-2026-03-05`. None without one.

    What line items say is documented nowhere; what does not begin with a model that usage has is for none.

    Args:
        models: names that usage has. An alias on the bill is for the one snapshot of it, if there is only one.
    """
    name, _, what = line_item.partition(", ")
    if not what:
        return None
    if name in models:
        return name
    snapshots = [model for model in models if undated(model) == name]
    return snapshots[0] if len(snapshots) == 1 else None


@dataclass(slots=True)
class Comparison:
    """USD by model and by line item, each for the newest day and for its month up to it.

    Attributes:
        day: start of that day.
        unpriced: by model, how much was used that has no price, whatever its unit.
    """

    day: int
    estimated: tuple[Sums, Sums] = field(default_factory=lambda: ({}, {}))
    unpriced: tuple[Sums, Sums] = field(default_factory=lambda: ({}, {}))
    billed: tuple[Sums, Sums] = field(default_factory=lambda: ({}, {}))

    def add(self, sums: tuple[Sums, Sums], start: int, labels: Labels, usd: Decimal) -> None:
        """Add an amount of the day that begins at `start`."""
        if month_start(self.day) <= start <= self.day:
            for window in sums if day_start(start) == self.day else sums[1:]:
                window[labels] = window.get(labels, _ZERO) + usd

    def estimates(self, window: int, models: Iterable[Labels]) -> Sums:
        """The estimates of models, without those of which nothing has a price."""
        sums, unpriced = self.estimated[window], self.unpriced[window]
        return {labels: sums.get(labels, _ZERO) for labels in models if sums.get(labels) or not unpriced.get(labels)}

    def split(self, window: int) -> tuple[Sums, Sums]:
        """What is billed of each model with an estimate, and of the line items of none."""
        models = [model for (model,) in self.estimated[1]]
        matched: Sums = dict.fromkeys(self.estimated[window], _ZERO)
        rest: Sums = {}
        for (item,), usd in self.billed[window].items():
            model = None if item.endswith(IMAGES) else model_of(item, models)
            sums, name = (rest, item) if model is None else (matched, model)
            sums[name,] = sums.get((name,), _ZERO) + usd
        return matched, rest


class DriftDataset(Dataset):
    """The comparison of one organization.

    Attributes:
        data: as last read; None before.
    """

    name = "cost_drift"
    data: Comparison | None = None

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.cost_drift is not None
        self.interval = organization.cost_drift.refresh_interval
        self._finalize_after = organization.cost_drift.finalize_after
        self._operations = tuple(OPERATIONS[name] for name in organization.usage if name in PRICED)
        self.shape = (self._finalize_after, self._operations)
        self._limit = organization.series_limit
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read usage and bill of the month up to the newest day whose bill is complete."""
        comparison = Comparison(day_start(self._context.clock.now() - self._finalize_after) - DAY)
        for operation in self._operations:
            self._read_usage(calls, operation, comparison)

        def add(start: int, rows: Iterable[CostRow]) -> None:
            for row in rows:
                if row.usd is not None:
                    comparison.add(comparison.billed, start, row.labels, row.usd)

        by = ("line_item",)
        self._read(calls, PATH, comparison.day, by, lambda result, start: decoded(result, by), add)
        self.data = comparison
        return True

    def families(self) -> Iterator[Family]:
        """Both sides by model, what is billed besides, and which day it is."""
        if self.data is None:
            return
        sides = (metrics.DRIFT_ESTIMATED, metrics.DRIFT_BILLED, metrics.DRIFT_UNMATCHED)
        samples: list[list[Sample]] = [[], [], []]
        for place, window in enumerate(WINDOWS):
            matched, rest = self.data.split(place)
            shown = self.data.estimates(place, matched), largest(matched, self._limit), largest(rest, self._limit)
            for side, sums in zip(samples, shown, strict=True):
                side += [((window, *labels), float(usd)) for labels, usd in sums.items()]
        yield from map(Family, sides, samples)
        yield family(metrics.DRIFT_DAY, self.data.day)

    def _read_usage(self, calls: Calls, operation: Operation, comparison: Comparison) -> None:
        decoder = RowDecoder(operation, ("model",), Estimator(operation.pricing, self._context.prices))
        place = operation.place(metrics.ESTIMATED_COST)

        def add(start: int, rows: Iterable[Row]) -> None:
            for labels, values in rows:
                comparison.add(comparison.estimated, start, labels, Decimal(values[place]) / PICO)
                comparison.add(comparison.unpriced, start, labels, Decimal(values[-1]))

        self._read(calls, operation.path, comparison.day, operation.priced_by, decoder.decode, add)

    def _read(self, calls: Calls, path: str, day: int, by: tuple[str, ...], decode: Decode[T], add: Add[T]) -> None:
        span = Range(month_start(day), day + DAY, "1d", USAGE_DAYS)
        read(calls, self._context, Query(path, self.name, span, by), decode, add)


# Budgets of the configuration beside what was spent: billed where the bill can tell, estimated elsewhere.

BILLED = "billed"
ESTIMATED = "estimated"
_SCOPES = {"project": "project_id", "key": "api_key_id", "user": "user_id", "model": "model"}

Spent = Mapping[str, Decimal | None]
"""USD by the values of a dimension; None where nothing of what was used has a price."""


def pinned(budgets: Iterable[Budget]) -> frozenset[str]:
    """Ids whose usage must keep its labels, whatever the series limit."""
    ids = (getattr(budget.scope, name) for budget in budgets for name in _SCOPES)
    return frozenset(id for id in ids if id is not None)


def budget_states(
    budgets: Iterable[Budget],
    organization: Organization,
    bill: Bill | None,
    counters: Sequence[CounterDataset],
    title: Callable[[str, str], str] = lambda scope, id: "",
    *,
    now: float,
) -> Iterator[BudgetState]:
    """Each budget, or each of its parts, with what was spent of it.

    Args:
        counters: the usage endpoints that are priced.
        title: the name of what a scope and an id mean, empty where it is not known.
        now: the API's time; what was read before the running day or month is unknown in it.
    """
    for budget in budgets:
        scope, own_id = _scope(budget)
        dimension = _SCOPES.get(scope)
        # Costs tell spend of the organization and, where grouped so, of projects; nothing finer.
        costs = organization.costs
        billed = costs is not None and (dimension is None or dimension in costs.group_by)
        spent = partial(_billed, bill, dimension, now) if billed else partial(_estimated, counters, dimension)
        # Whoever spent in this month has a budget today, also before the first request of the day.
        ids = [own_id] if budget.each is None else sorted(spent("month") or {})
        usd = spent(budget.period)
        for id in ids:
            if id or dimension is None:
                yield BudgetState(
                    budget.name, scope, id, budget.period, BILLED if billed else ESTIMATED,
                    Decimal(str(budget.limit_usd)), budget.warn_ratio,
                    None if usd is None else usd.get(id, Decimal(0)), title(scope, id),
                )  # fmt: skip


def budget_families(states: Iterable[BudgetState]) -> Iterator[Family]:
    """Limits, warning shares, and what was spent and is left as far as it is known."""
    rows = [((state.name, state.scope, state.id, state.period), state) for state in states]
    known = [((*labels, state.basis), state, state.spent_usd) for labels, state in rows if state.spent_usd is not None]
    yield Family(metrics.BUDGET_LIMIT, [(labels, float(state.limit_usd)) for labels, state in rows])
    yield Family(metrics.BUDGET_SPENT, [(labels, float(usd)) for labels, _, usd in known])
    yield Family(metrics.BUDGET_REMAINING, [(labels, float(state.limit_usd - usd)) for labels, state, usd in known])
    yield Family(metrics.BUDGET_RATIO, [(labels, float(usd / state.limit_usd)) for labels, state, usd in known])
    yield Family(metrics.BUDGET_WARN_RATIO, [(labels, state.warn_ratio) for labels, state in rows])


def _scope(budget: Budget) -> tuple[str, str]:
    if budget.each is not None:
        return next(name for name, dimension in _SCOPES.items() if dimension == budget.each), ""
    scopes = ((name, getattr(budget.scope, name)) for name in _SCOPES)
    return next(((name, id) for name, id in scopes if id is not None), ("organization", ""))


def _billed(bill: Bill | None, dimension: str | None, now: float, period: str) -> Spent | None:
    if bill is None or not bill.covers(period, now):
        return None
    if dimension is None:
        return {"": total(bill.month if period == "month" else bill.today)}
    return bill.by(dimension, period=period)


def _estimated(counters: Sequence[CounterDataset], dimension: str | None, period: str) -> Spent | None:
    """The sum over all endpoints that are grouped so; None while any of them is unknown."""
    spent: dict[str, Decimal | None] = {}
    for dataset in counters:
        if dimension is not None and dimension not in dataset.group_by:
            continue
        estimates = dataset.estimated(dimension, period)
        if estimates is None:
            return None
        for id, usd in estimates.items():
            before = spent.get(id)
            spent[id] = before if usd is None else usd if before is None else before + usd
    return spent

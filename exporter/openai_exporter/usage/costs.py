# SPDX-License-Identifier: Apache-2.0
"""Billed costs as gauges, and how far the estimate is from them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openai_exporter.client.organization import Calls
from openai_exporter.client.reply import Reply
from openai_exporter.config.organization import GROUPABLE, PRICED, Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices.listed import PICO
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.ledger import Labels
from openai_exporter.usage.limits import undated
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.rows import OPERATIONS, Operation, RowDecoder, decoded
from openai_exporter.usage.window import DAY, day_start, month_start, previous_month_start

# What the costs of two months add up to. Pure; all money is Decimal.

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

    def bucket(self, start: int) -> Callable[[Any], None]:
        """Begin the bucket of a day; what is returned adds one of its results."""
        this_month, today = month_start(self.now), day_start(self.now)
        inside = start >= previous_month_start(self.now)
        day = {today: self.today, today - DAY: self.yesterday}.get(start)

        def add(result: Any) -> None:
            row = decoded(result, self.group_by)
            labels, usd = row.labels, row.usd
            if usd is None:
                self.skipped[row.currency] = self.skipped.get(row.currency, 0) + 1
            if usd is None or not inside:
                return
            if start >= this_month:
                self.month[labels] = self.month.get(labels, _ZERO) + usd
            else:
                self.month.setdefault(labels, _ZERO)
                self.previous_month += usd
            if day is not None:
                day[labels] = day.get(labels, _ZERO) + usd

        return add

    def by(self, dimension: str, *, period: str) -> dict[str, Decimal]:
        """This month's (`month`) or today's (`day`) costs by one dimension."""
        sums = self.month if period == "month" else self.today
        place = self.group_by.index(dimension)
        found: dict[str, Decimal] = {}
        for labels, usd in sums.items():
            found[labels[place]] = found.get(labels[place], _ZERO) + usd
        return found


def total(sums: Mapping[Labels, Decimal]) -> Decimal:
    """The sum of all."""
    return sum(sums.values(), _ZERO)


def largest(sums: Mapping[Labels, Decimal], limit: int) -> Sums:
    """At most `limit` sums by their labels, and the rest under `other`."""
    if len(sums) <= limit:
        return dict(sums)
    ranked = sorted(sums, key=lambda labels: (-abs(sums[labels]), labels))
    kept = {labels: sums[labels] for labels in ranked[:limit]}
    other = ("other",) * len(ranked[0])
    kept[other] = sum((sums[labels] for labels in ranked[limit:]), kept.get(other, _ZERO))
    return kept


# Billed costs: one read covers the month before and this one. Gauges, for credits make them fall.

NAME = "costs"
PATH = "/organization/costs"
_MOST_DAYS = 180
_TRIES = 3


class CostsDataset:
    """Costs of an organization.

    Attributes:
        bill: the last one read; None before the first.
    """

    name = NAME

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.costs is not None
        self.interval = organization.costs.refresh_interval
        self.bill: Bill | None = None
        self._group_by: tuple[str, ...] = organization.costs.group_by
        self._limit = organization.series_limit
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read both months; the API's own clock says which they are."""
        clock = self._context.clock
        for _ in range(_TRIES):
            start = previous_month_start(clock.now())
            found: list[Bill] = []

            def arrived(reply: Reply, start: int = start, found: list[Bill] = found) -> Sink | None:
                clock.observe(reply.date)
                if previous_month_start(clock.now()) != start:
                    return None
                found.append(Bill(clock.now(), self._group_by))
                return found[0].bucket

            if read(calls, self._query(start), arrived):
                self.bill = found[0]
                return True
        raise UpstreamError("the API's clock (header Date) jumps", api=self.name, reason="malformed")

    def adopt(self, other: Dataset) -> bool:
        """Take over a bill with the same labels."""
        if not isinstance(other, CostsDataset) or other._group_by != self._group_by:
            return False
        self.bill = other.bill
        return True

    def families(self) -> Iterator[Family]:
        """Month to date by labels, today, yesterday, and the month before."""
        bill = self.bill
        if bill is None:
            return
        names = metrics.COSTS_MONTH.labels
        month = Family(metrics.COSTS_MONTH)
        for labels, usd in largest(bill.month, self._limit).items():
            given = dict(zip(bill.group_by, labels, strict=True))
            month.add(float(usd), *(given.get(name, "") for name in names))
        yield month
        day = Family(metrics.COSTS_DAY)
        day.add(float(total(bill.today)), "today")
        day.add(float(total(bill.yesterday)), "yesterday")
        yield day
        yield family(metrics.COSTS_PREVIOUS_MONTH, float(bill.previous_month))
        yield Family(metrics.COSTS_SKIPPED, [((name,), count) for name, count in bill.skipped.items()])

    def _query(self, start: int) -> Query:
        params = [("start_time", str(start)), ("bucket_width", "1d"), ("limit", str(_MOST_DAYS))]
        params += [("group_by[]", name) for name in self._group_by]
        return Query(PATH, self.name, params, self._context.pause)


# Which model a line item of the bill is for: `gpt-5.4-2026-03-05, cached input` is for `gpt-5.4-2026-03-05`. Pure.
# What line items say is documented nowhere; what does not begin with a model that usage has is for none.

IMAGES = ", images"
"""How line items for whole images end: they are of a model, but no price list has a price for them."""


def model_of(line_item: str, models: Collection[str]) -> str | None:
    """The model of a line item, None when there is none.

    Args:
        models: names that usage has. An alias on the bill is for the one snapshot of it, if there is only one.
    """
    name, _, what = line_item.partition(", ")
    if not what:
        return None
    if name in models:
        return name
    snapshots = [each for each in models if undated(each) == name]
    return snapshots[0] if len(snapshots) == 1 else None


# Estimated beside billed cost by model, of days whose bill is complete: how good the estimate is, and where not.
# Both sides are read for the same days: a bill arrives a day or two later than usage, so that the estimate of
# today against the bill of today would always differ.

API = "cost_drift"
WINDOWS = ("day", "month")
_PRICED_BY = ("model", "batch", "service_tier")
_MOST_DRIFT_DAYS = "31"

_Sums = dict[str, Decimal]


@dataclass(slots=True)
class Comparison:
    """USD by model and by line item, each for the newest day and for its month up to it.

    Attributes:
        day: start of that day.
        unpriced: by model, how much was used that has no price, whatever its unit.
    """

    day: int
    estimated: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))
    unpriced: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))
    billed: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))

    def add(self, sums: tuple[_Sums, _Sums], start: int, name: str, usd: Decimal) -> None:
        """Add an amount of the day that begins at `start`."""
        if month_start(self.day) <= start <= self.day:
            for each in sums if day_start(start) == self.day else sums[1:]:
                each[name] = each.get(name, Decimal(0)) + usd

    def estimate(self, window: int, model: str) -> Decimal | None:
        """The estimate of a model; None when nothing of it has a price."""
        usd = self.estimated[window].get(model, Decimal(0))
        return None if not usd and self.unpriced[window].get(model) else usd

    def split(self, window: int) -> tuple[_Sums, _Sums]:
        """What is billed of each model with an estimate, and of the line items of none."""
        models = self.estimated[1].keys()
        matched: _Sums = {model: Decimal(0) for model in self.estimated[window]}
        rest: _Sums = {}
        for item, usd in self.billed[window].items():
            model = None if item.endswith(IMAGES) else model_of(item, models)
            sums, name = (rest, item) if model is None else (matched, model)
            sums[name] = sums.get(name, Decimal(0)) + usd
        return matched, rest


class DriftDataset:
    """The comparison of one organization."""

    name = API

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.cost_drift is not None
        self.interval = organization.cost_drift.refresh_interval
        self._settle = organization.cost_drift.settle
        self._operations = tuple(OPERATIONS[name] for name in organization.usage if name in PRICED)
        self._limit = organization.series_limit
        self._context = context
        self._found: Comparison | None = None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read usage and bill of the month up to the newest day whose bill is complete."""
        clock = self._context.clock
        found = Comparison(day_start(clock.now() - self._settle) - DAY)
        for operation in self._operations:
            group_by = tuple(name for name in _PRICED_BY if name in GROUPABLE[operation.name])
            query = self._query(operation.path, found.day, group_by)
            read(calls, query, self._sink(_usage_taker(found, operation, self._context)))
        read(calls, self._query(PATH, found.day, ("line_item",)), self._sink(_bill_taker(found)))
        self._found = found
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over a comparison of the same endpoints."""
        if not isinstance(other, DriftDataset):
            return False
        if (other._settle, other._operations) != (self._settle, self._operations):
            return False
        self._found = other._found
        return True

    def families(self) -> Iterator[Family]:
        """Both sides by model, what is billed besides, and which day it is."""
        if self._found is None:
            return
        estimated, billed, rest = (
            Family(metrics.DRIFT_ESTIMATED),
            Family(metrics.DRIFT_BILLED),
            Family(metrics.DRIFT_UNMATCHED),
        )
        for place, window in enumerate(WINDOWS):
            matched, unmatched = self._found.split(place)
            for family_, sums in ((billed, matched), (rest, unmatched)):
                for (name,), usd in largest(
                    {(name,): usd for name, usd in sums.items()}, self._limit
                ).items():
                    family_.add(float(usd), window, name)
            for model in matched:
                estimate = self._found.estimate(place, model)
                if estimate is not None:
                    estimated.add(float(estimate), window, model)
        yield from (estimated, billed, rest, family(metrics.DRIFT_DAY, self._found.day))

    def _sink(self, bucket: Callable[[int], Take]) -> Callable[[Reply], Sink]:
        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        return arrived

    def _query(self, path: str, day: int, group_by: tuple[str, ...]) -> Query:
        params = [
            ("start_time", str(month_start(day))),
            ("end_time", str(day + DAY)),
            ("bucket_width", "1d"),
            ("limit", _MOST_DRIFT_DAYS),
        ]
        params += [("group_by[]", name) for name in group_by]
        return Query(path, self.name, params, self._context.pause)


def _usage_taker(found: Comparison, operation: Operation, context: Context) -> Callable[[int], Take]:
    estimator = Estimator(operation.pricing, context.prices)
    decoder = RowDecoder(operation, ("model",), estimator)
    place = [column.metric for column in operation.columns].index(metrics.ESTIMATED_COST)

    def bucket(start: int) -> Take:
        def take(result: Any) -> None:
            (model,), values = decoder.decode(result, start)
            found.add(found.estimated, start, model, Decimal(values[place]) / PICO)
            found.add(found.unpriced, start, model, Decimal(values[-1]))

        return take

    return bucket


def _bill_taker(found: Comparison) -> Callable[[int], Take]:
    def bucket(start: int) -> Take:
        def take(result: Any) -> None:
            row = decoded(result, ("line_item",))
            if row.usd is not None:
                found.add(found.billed, start, row.labels[0], row.usd)

        return take

    return bucket

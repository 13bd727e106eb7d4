# SPDX-License-Identifier: Apache-2.0
"""Billed costs of the month before and of this one: one read covers both. Gauges, for credits make them fall."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from openai_exporter.client.organization import Calls
from openai_exporter.config.sections import Organization
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.ledger import OTHER, Labels
from openai_exporter.usage.pages import Query, read, read_in_time
from openai_exporter.usage.rows import CostRow, decoded
from openai_exporter.usage.window import DAY, Range, day_start, month_start, previous_month_start

NAME = "costs"
PATH = "/organization/costs"
_MOST_DAYS = 180
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
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read both months; the API's own clock says which they are."""
        self.data = read_in_time(lambda: self._read(calls), self.name)
        return True

    def families(self) -> Iterator[Family]:
        """Month to date by labels, today, yesterday, and the month before."""
        bill = self.data
        if bill is None:
            return
        names = metrics.COSTS_MONTH.labels
        month = Family(metrics.COSTS_MONTH)
        for labels, usd in largest(bill.month, self._limit).items():
            grouped = dict(zip(bill.group_by, labels, strict=True))
            month.add(float(usd), *(grouped.get(name, "") for name in names))
        yield month
        days = (("today", bill.today), ("yesterday", bill.yesterday))
        yield Family(metrics.COSTS_DAY, [((name,), float(total(sums))) for name, sums in days])
        yield family(metrics.COSTS_PREVIOUS_MONTH, float(bill.previous_month))
        yield Family(metrics.COSTS_SKIPPED, [((name,), count) for name, count in bill.skipped.items()])

    def _read(self, calls: Calls) -> Bill:
        clock = self._context.clock
        bill = Bill(clock.now(), self._group_by)
        start = previous_month_start(bill.now)

        def planned() -> bool:
            bill.now = clock.now()
            return previous_month_start(bill.now) == start

        query = Query(PATH, self.name, Range(start, None, "1d", _MOST_DAYS), self._group_by)
        read(
            calls,
            self._context,
            query,
            lambda result, start: decoded(result, self._group_by),
            bill.add,
            planned,
        )
        return bill

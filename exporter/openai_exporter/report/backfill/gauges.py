# SPDX-License-Identifier: Apache-2.0
"""The costs gauges over time: what `/usage` would have shown. Days are known whole; within one they rise evenly."""

from collections.abc import Iterable
from decimal import Decimal

from openai_exporter.metrics import Metric
from openai_exporter.metrics import usage as metrics
from openai_exporter.report.backfill.families import Families
from openai_exporter.report.backfill.grid import Grid
from openai_exporter.report.backfill.journal import Journal, Line
from openai_exporter.report.backfill.plan import Step
from openai_exporter.usage.bill import largest
from openai_exporter.usage.fold import OTHER, Labels
from openai_exporter.usage.window import DAY, month_start

_ZERO = Decimal(0)
Sums = dict[Labels, Decimal]


class CostGauges:
    """Writes the costs.

    Args:
        group_by: dimensions, in the order of the rows' labels.
        limit: series that keep their labels.
        as_of: the API's time when the last day was read; that day's costs are those until then.
    """

    def __init__(
        self, group_by: tuple[str, ...], limit: int, families: Families, grid: Grid, as_of: float
    ) -> None:
        self._group_by = group_by
        self._limit = limit
        self._families = families
        self._grid = grid
        self._as_of = int(as_of)
        self._month: Sums = {}
        self._yesterday = self._previous = self._running = _ZERO

    def write(self, journal: Journal, steps: Iterable[Step]) -> None:
        """Write everything, day by day; the first month is only read for the month before."""
        for step in steps:
            day = step.part.start
            for start, lines in journal.buckets(step.name):
                for at in range(day, start, DAY):
                    self._day(at, ())
                self._day(start, lines)
                day = start + DAY
            for at in range(day, step.end, DAY):
                self._day(at, ())

    def _day(self, start: int, lines: Iterable[Line]) -> None:
        if start == month_start(start):
            self._previous, self._running = self._running, _ZERO
            self._month = dict.fromkeys(self._month, _ZERO)
        spent: Sums = {}
        for _, listed, usd in lines:
            labels: Labels = tuple(listed)
            spent[labels] = spent.get(labels, _ZERO) + Decimal(usd)
        after = {
            each: self._month.get(each, _ZERO) + spent.get(each, _ZERO) for each in {**self._month, **spent}
        }
        total = sum(spent.values(), _ZERO)
        self._samples(start, after, total)
        self._month, self._yesterday = after, total
        self._running += total

    def _samples(self, start: int, after: Sums, total: Decimal) -> None:
        until = min(start + DAY, max(start + 1, self._as_of))
        moments = list(self._grid.from_on(start, start + DAY))
        if not moments:
            return
        low, high = self._shown(self._month, after), self._shown(after, after)
        for moment in moments:
            share = Decimal(min(moment - start, until - start)) / (until - start)
            for series, usd in high.items():
                before = low.get(series, _ZERO)
                self._one(metrics.COSTS_MONTH, series, before + (usd - before) * share, moment)
            for window, usd in (("today", total * share), ("yesterday", self._yesterday)):
                self._one(metrics.COSTS_DAY, self._families.series(metrics.COSTS_DAY, (window,)), usd, moment)
            name = self._families.series(metrics.COSTS_PREVIOUS_MONTH, ())
            self._one(metrics.COSTS_PREVIOUS_MONTH, name, self._previous, moment)

    def _shown(self, sums: Sums, after: Sums) -> dict[str, Decimal]:
        """Sums by series, those that have no room under `other`; `after` decides which."""
        kept = largest(after, self._limit)
        found: dict[str, Decimal] = {}
        for labels, usd in sums.items():
            shown = labels if labels in kept else (OTHER,) * len(labels)
            given = dict(zip(self._group_by, shown, strict=True))
            values = tuple(given.get(name, "") for name in metrics.COSTS_MONTH.labels)
            series = self._families.series(metrics.COSTS_MONTH, values)
            found[series] = found.get(series, _ZERO) + usd
        return found

    def _one(self, metric: Metric, series: str, usd: Decimal, moment: int) -> None:
        self._families.write(metric, series, float(usd), moment)

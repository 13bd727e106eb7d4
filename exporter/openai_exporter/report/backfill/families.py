# SPDX-License-Identifier: Apache-2.0
"""Samples over time: metric by metric as OpenMetrics, cost gauges, recorded increases."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import IO

from openai_exporter.exposition import LabelWriter, number
from openai_exporter.metrics import CATALOGUE, Kind, Metric
from openai_exporter.metrics import usage as metrics
from openai_exporter.metrics.usage import RECORDED
from openai_exporter.report.backfill.fetch import Journal, Line, Step
from openai_exporter.usage.costs import largest
from openai_exporter.usage.ledger import OTHER, Labels
from openai_exporter.usage.rows import Column
from openai_exporter.usage.window import DAY, month_start

# Samples of several metrics, written as they come, put together metric by metric at the end (OpenMetrics).

_RECORDED = ("job", "organization")
_METRICS = {**CATALOGUE, **{metric.name: metric for metric in RECORDED.values()}}


class Families:
    """One file per metric in a folder; the families of the result do not interleave.

    Args:
        labels: added to each series; a name that a metric has itself is not allowed.

    Attributes:
        samples: how many were written.
    """

    def __init__(self, folder: Path, labels: Iterable[tuple[str, str]]) -> None:
        self._folder = folder
        self._more = tuple(labels)
        self._files: dict[str, IO[str]] = {}
        self._writers: dict[tuple[str, ...], LabelWriter] = {}
        self.samples = 0

    def series(self, metric: Metric, values: tuple[str, ...]) -> str:
        """A series as its lines begin: `name{labels} `."""
        names = (*metric.labels, *(name for name, _ in self._more))
        writer = self._writers.setdefault(names, LabelWriter(names))
        return f"{metric.name}{writer.write((*values, *(value for _, value in self._more)))}"

    def recorded(self, metric: Metric, values: tuple[str, ...]) -> str:
        """The same of a recorded series, which tells no replicas apart: of the added labels it has two."""
        kept = [(name, value) for name, value in self._more if name in _RECORDED]
        writer = LabelWriter((*metric.labels, *(name for name, _ in kept)))
        return f"{metric.name}{writer.write((*values, *(value for _, value in kept)))}"

    def write(self, metric: Metric, series: str, value: float, moment: int) -> None:
        """One sample; the times of a series must not go back."""
        file = self._files.get(metric.name)
        if file is None:
            file = self._files[metric.name] = self._part(metric.name).open(
                "w", encoding="utf-8", buffering=1 << 18
            )
        file.write(f"{series}{number(value)} {moment}\n")
        self.samples += 1

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def discard(self) -> None:
        """Remove what was written: it is made anew from what was read, and takes room until then."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # there is no room for what it still holds
                file.close()
        for part in (*self._folder.glob("*.family"), self._folder / "output.new"):
            part.unlink(missing_ok=True)

    def assemble(self, output: Path) -> None:
        """Put everything together; `output` is there as a whole or not at all."""
        self.close()
        new = self._folder / "output.new"
        with new.open("wb") as out:
            for name, metric in _METRICS.items():
                if name in self._files:
                    out.write(_head(metric).encode())
                    part = self._part(name)
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, out, 1 << 20)
                    part.unlink()  # else there would be everything twice on the disk
            out.write(b"# EOF\n")
        new.replace(output)

    def _part(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '-')}.family"


def _head(metric: Metric) -> str:
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


# The times at which samples are written. Pure.


@dataclass(frozen=True, slots=True)
class Grid:
    """Multiples of `step` seconds from `start` to `end`, and `end` itself; Unix seconds.

    Attributes:
        also: one more time, where it lies between the two.
    """

    start: int
    end: int
    step: int
    also: int | None = None

    def after(self, low: int, high: int) -> Iterator[int]:
        """Times in (low, high]: for what is known at the end of a bucket."""
        yield from self._times(low + 1, high)

    def from_on(self, low: int, high: int) -> Iterator[int]:
        """Times in [low, high), with the very end: for what is known during a day."""
        yield from self._times(low, high - 1)

    def _times(self, first: int, last: int) -> Iterator[int]:
        first, last = max(first, self.start), min(last, self.end)
        if self.also is None or not first <= self.also <= last:
            yield from self._multiples(first, last)
        else:
            yield from (moment for moment in self._multiples(first, self.also) if moment != self.also)
            yield self.also
            yield from self._multiples(self.also + 1, last)

    def _multiples(self, first: int, last: int) -> Iterator[int]:
        begin = -(-first // self.step) * self.step
        moment = begin - self.step
        for moment in range(begin, last + 1, self.step):
            yield moment
        if last == self.end >= first and moment != last:
            yield last


# What counters grew by from sample to sample, as the rules of the bundle record it of live counters.

Key = tuple[int, str]
"""Column of a usage endpoint, and the series of the counter."""
_RECORDED_INCREASES: Mapping[str, tuple[Metric, Mapping[str, str]]] = MappingProxyType(
    {
        metrics.INPUT_TOKENS.name: (RECORDED["tokens"], {"direction": "input"}),
        metrics.INPUT_CACHED_TOKENS.name: (RECORDED["tokens"], {"direction": "cached"}),
        metrics.OUTPUT_TOKENS.name: (RECORDED["tokens"], {"direction": "output"}),
        metrics.REQUESTS.name: (RECORDED["requests"], {}),
        metrics.ESTIMATED_COST.name: (RECORDED["cost"], {}),
    }
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A recorded series, and how many of what is summed make one of its unit."""

    metric: Metric
    series: str
    unit: int


class Growth:
    """Sums the growth of those counters that the recorded series do not tell apart.

    Args:
        until: Unix seconds; what comes later is left to the live rules, for growth must not be there twice.
    """

    def __init__(self, families: Families, until: float) -> None:
        self._families = families
        self._until = until
        self._places: dict[Key, _Place] = {}
        self._last: dict[Key, int] = {}
        self._sums: dict[_Place, int] = {}

    def place(self, key: Key, column: Column, values: tuple[str, ...]) -> None:
        """Learn where the growth of a counter belongs.

        Args:
            values: those of the counter's labels.
        """
        if column.metric.name in _RECORDED_INCREASES:
            metric, more = _RECORDED_INCREASES[column.metric.name]
            labels = {**dict(zip(column.metric.labels, values, strict=True)), **more}
            series = self._families.recorded(metric, tuple(labels[name] for name in metric.labels))
            self._places[key] = _Place(metric, series, column.unit)

    def note(self, key: Key, total: int) -> None:
        """A counter's value at the moment that the next `write` names; it is no growth where none was known."""
        place = self._places.get(key)
        if place is not None:
            before = self._last.get(key)
            self._last[key] = total
            if before is not None:
                self._sums[place] = self._sums.get(place, 0) + max(0, total - before)

    def write(self, moment: int) -> None:
        """Write what has been noted.

        A second early: a range that ends with the moment has it and the next one does not, whichever ends count.
        """
        for place, total in self._sums.items():
            if moment <= self._until:
                self._families.write(place.metric, place.series, total / place.unit, moment - 1)
        self._sums.clear()


# The costs gauges over time: what `/usage` would have shown. Days are known whole; within one they rise evenly.

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

# SPDX-License-Identifier: Apache-2.0
"""Series over time for an import: counters and gauges as `/usage` would have shown them, written as OpenMetrics."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from openai_exporter.exposition import LabelWriter, number
from openai_exporter.files import private
from openai_exporter.metrics import CATALOGUE, Kind, Metric, usage as metrics
from openai_exporter.usage.costs import by_project, largest
from openai_exporter.usage.counters import UNSETTLED, CounterDataset, SeriesTable
from openai_exporter.usage.ledger import OTHER, Labels, Rows, accumulate, day_start, month_start, next_month_start
from openai_exporter.usage.rows import Column

Line = list[Any]
"""Start of the bucket, labels, and the values of usage or USD."""
Slot = tuple[int, int, Iterable[Line]]
"""Start, end and rows of a bucket."""
_RECORDED_LABELS = ("job", "organization")
_METRICS = {**CATALOGUE, **{metric.name: metric for levels in metrics.RECORDED.values() for metric in levels}}
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Grid:
    """The times of samples: multiples of `step` seconds from `start` to `end`, and `end` itself; Unix seconds.

    Attributes:
        also: one more time, where it lies between the two.
    """

    start: int
    end: int
    step: int
    also: int | None = None

    def times(self, first: int, last: int) -> list[int]:
        """Those from `first` to `last`, both included."""
        first, last = max(first, self.start), min(last, self.end)
        multiples = range(-(-first // self.step) * self.step, last + 1, self.step)
        more = {time for time in (self.also, self.end) if time is not None and first <= time <= last}
        return sorted(more.union(multiples))


MARGIN = 60
"""Seconds before the live series begin in which no counter is written: when they began is known to the minute."""


@dataclass(frozen=True, slots=True)
class Joint:
    """Where the live series of a counter take over from the imported ones.

    A live counter begins with what the API showed at that time, and rises by what the API shows late. A counter of
    the import that was above it would look like a reset, and the whole month would count twice. So none rises above
    what it began with, or, where nobody knows that, above what was final by then; the rest shows as one increase.

    Attributes:
        time: when the live series began, Unix seconds.
        final: buckets that ended by then were final; not before the month of `time`.
        first: the values that the live series of a metric began with, by their labels; None where nobody knows.
    """

    time: int
    final: int
    first: Callable[[Metric], Mapping[Labels, float]] | None = None


class Families:
    """One file per metric in a folder, put together at the end: the families of the result do not interleave.

    Args:
        labels: added to each series; a name that a metric has itself is not allowed.

    Attributes:
        samples: how many were written.
    """

    def __init__(self, folder: Path, labels: Iterable[tuple[str, str]]) -> None:
        self._folder = folder
        self._labels = tuple(labels)
        self._files: dict[str, IO[str]] = {}
        self._writers: dict[tuple[str, ...], LabelWriter] = {}
        self.samples = 0

    def series(self, metric: Metric, values: tuple[str, ...]) -> str:
        """A series as its lines begin: `name{labels} `."""
        # A recorded series does not distinguish replicas: of the added labels it has two.
        live = metric.name in CATALOGUE
        added = {name: value for name, value in self._labels if live or name in _RECORDED_LABELS}
        names = (*metric.labels, *added)
        writer = self._writers.setdefault(names, LabelWriter(names))
        return f"{metric.name}{writer.write((*values, *added.values()))}"

    def write(self, metric: Metric, series: str, value: float, timestamp: int) -> None:
        """One sample; the times of a series must not go back."""
        file = self._files.get(metric.name)
        if file is None:
            part = self._part(metric.name)
            file = self._files[metric.name] = part.open("w", encoding="utf-8", buffering=1 << 18)
        file.write(f"{series}{number(value)} {timestamp}\n")
        self.samples += 1

    def discard(self) -> None:
        """Remove what was written: it is made anew from what was read, and takes room until then."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # there is no room for what it still holds
                file.close()
        for part in (*self._folder.glob("*.family"), self._folder / "output.new"):
            part.unlink(missing_ok=True)

    def assemble(self, output: Path) -> None:
        """Put everything together; `output` is there as a whole or not at all."""
        for file in self._files.values():
            file.close()
        new = self._folder / "output.new"  # in this folder, so that the next run removes what a killed one left
        with open(new, "wb", opener=private) as out:
            for name, metric in _METRICS.items():
                if name in self._files:
                    out.write(_head(metric).encode())
                    part = self._part(name)
                    with part.open("rb") as content:
                        shutil.copyfileobj(content, out, 1 << 20)
                    part.unlink()  # else there would be everything twice on the disk
            out.write(b"# EOF\n")
        new.replace(output)

    def _part(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '-')}.family"


def _head(metric: Metric) -> str:
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


@dataclass(frozen=True, slots=True)
class Course:
    """How a counter rises through a month in which a bucket takes something back.

    Attributes:
        rises: by the start of the bucket; never negative.
        taken: what the whole month is below zero, and where that is booked: (start of the bucket, amount).
    """

    rises: Mapping[int, int]
    taken: tuple[int, int] | None = None


def course(changes: Mapping[int, int]) -> Course:
    """From a month's changes, in the order of time, some of them negative.

    At each time the counter is the least that the sum will be from then on, and not below zero: so what is
    taken back was never counted, and the month ends with its true sum, as on a page that is read afresh.
    """
    sums: list[int] = []
    for change in changes.values():
        sums.append((sums[-1] if sums else 0) + change)
    total = sums[-1] if sums else 0
    least = total
    for place in range(len(sums) - 1, -1, -1):
        least = sums[place] = min(least, sums[place])
    rises, before = {}, 0
    for start, value in zip(changes, sums, strict=True):
        rises[start] = max(0, value) - before
        before = max(0, value)
    first = next((start for start, change in changes.items() if change < 0), None)
    return Course(rises, (first, -total) if first is not None and total < 0 else None)


Key = tuple[int, str]
"""Column (beyond the last one: the corrections of a column), and the series as its lines begin."""


class Counters:
    """Writes the counters of one usage endpoint.

    A counter is known at the end of each bucket; between two of them it is drawn as rising evenly, as the API
    tells no more. It begins at 0 with the month, and its whole month is shown in the month's last second.
    What the API takes back is left out where it was counted, or is in the corrections.
    Memory grows with the series only.

    Args:
        dataset: the live dataset, which is not read: its labels, columns and series limit are those of `/usage`.
        joint: where live series take over; None where there are none.
    """

    def __init__(self, dataset: CounterDataset, families: Families, grid: Grid, joint: Joint | None) -> None:
        self._columns = dataset.operation.columns
        self._dataset = dataset
        self._families = families
        self._grid = grid
        self._increases = Increases(families)
        self._joint = joint
        self._first = joint.first if joint else None
        self._began: dict[Key, int] = {}
        self._ceiling: dict[Key, int] | None = None
        self._totals: dict[Key, int] = {}
        self._series: dict[Labels, tuple[str, ...]] = {}
        self._largest: set[Labels] | None = None
        self._courses: dict[Key, Course] = {}

    def write(self, slots: Callable[[], Iterator[Slot]]) -> None:
        """Write everything, month by month, from the buckets in the order of time."""
        largest, fallen = self._survey(slots())
        courses: dict[int, dict[Key, Course]] = {}
        for month, of_month in _months(slots() if fallen else iter(())):
            if month in fallen:
                self._largest = largest.get(month)
                courses[month] = self._correct(of_month)
        for month, of_month in _months(slots()):
            self._largest = largest.get(month)
            self._courses = courses.get(month, {})
            # What was in use shows 0; the rest is forgotten.
            self._totals = {key: 0 for key, total in self._totals.items() if total}
            if self._ceiling is not None:
                self._ceiling = {}
            if self._first and self._joint and month == month_start(self._joint.time):
                self._ceiling = self._began
            if self._grid.start <= month <= self._grid.end:
                self._sample(month)
            for start, end, lines in of_month:
                self._slot(start, end, lines)

    def _survey(self, slots: Iterator[Slot]) -> tuple[dict[int, set[Labels]], set[int]]:
        """The series that keep their labels in months that have more than the limit; months with negative rows."""
        largest: dict[int, set[Labels]] = {}
        fallen: set[int] = set()
        before: Rows = {}
        for month, of_month in _months(slots):
            rows: Rows = {}
            early: Rows = {}
            first: dict[Labels, int] = {}
            for start, _, lines in of_month:
                for _, listed, counts in lines:
                    labels, values = tuple(listed), tuple(counts)
                    accumulate(rows, labels, values)
                    first.setdefault(labels, day_start(start))
                    if start < next_month_start(month) - UNSETTLED:
                        accumulate(early, labels, values)
                    if min(values) < 0:
                        fallen.add(month)
            if self._apply_limit(rows, before, first):
                largest[month] = set(rows)
            before = early
        return largest, fallen

    def _apply_limit(self, rows: Rows, before: Rows, first: dict[Labels, int]) -> bool:
        """Aggregate what is beyond the series limit, as the live page does; whether there was any."""
        limit = self._dataset.limit
        limit.restart()
        if limit.tight(rows, ()):
            limit.preferred = limit.largest(before)
        limit.fold(rows, (), first)
        return limit.dropped > 0

    def _correct(self, slots: Iterator[Slot]) -> dict[Key, Course]:
        """The courses of the series with a negative bucket; there are few, if any."""
        changes: dict[Key, dict[int, int]] = {}
        for start, _, lines in slots:
            for key, change in self._changes(lines).items():
                changes.setdefault(key, {})[start] = change
        return {key: course(by_start) for key, by_start in changes.items() if min(by_start.values()) < 0}

    def _slot(self, start: int, end: int, lines: Iterable[Line]) -> None:
        if self._joint and not self._first and self._ceiling is None and end > self._joint.final:
            self._ceiling = dict(self._totals)
        rises = self._rises(start, lines)
        for key in rises:
            if key not in self._totals:
                self._totals[key] = 0
                if start >= self._grid.start:
                    self._write(key, 0, start)
        last = month_start(end) == end
        for timestamp in self._grid.times(start + 1, end - 2 if last else end):  # its last second comes below
            self._sample(timestamp, rises, timestamp - start, end - start)
        for key, rise in rises.items():
            self._totals[key] += rise
        if last and self._grid.start < end <= self._grid.end + 1:
            self._sample(end - 1)

    def _rises(self, start: int, lines: Iterable[Line]) -> dict[Key, int]:
        rises = {key: change for key, change in self._changes(lines).items() if key not in self._courses}
        for key, own in self._courses.items():
            rises[key] = own.rises.get(start, 0)
            if own.taken is not None and own.taken[0] == start:
                labels = (self._dataset.name, self._columns[key[0]].name)
                series = self._families.series(metrics.CORRECTIONS, labels)
                correction = (key[0] + len(self._columns), series)
                self._learn(correction, metrics.CORRECTIONS, labels, self._columns[key[0]].unit)
                rises[correction] = rises.get(correction, 0) + own.taken[1]
        return {key: rise for key, rise in rises.items() if rise}

    def _changes(self, lines: Iterable[Line]) -> dict[Key, int]:
        changes: dict[Key, int] = {}
        for _, listed, values in lines:
            labels: Labels = tuple(listed)
            if self._largest is not None and labels not in self._largest:
                labels = (OTHER,) * len(labels)
            if labels not in self._series:
                self._series[labels] = tuple(self._new_series(labels))
            for key, value in zip(enumerate(self._series[labels]), values, strict=True):
                if value:
                    changes[key] = changes.get(key, 0) + value
        return changes

    def _new_series(self, labels: Labels) -> Iterator[str]:
        row = (labels, (0,) * len(self._columns))
        table = SeriesTable([row], self._dataset.group_by, self._dataset.name, lambda: None)
        for index, column in enumerate(self._columns):
            [(values, _)] = table.samples(index, column)
            series = self._families.series(column.metric, values)
            self._learn((index, series), column.metric, values, column.unit)
            self._increases.learn((index, series), column, values)
            yield series

    def _learn(self, key: Key, metric: Metric, labels: Labels, unit: int) -> None:
        """Note what the live series began with, if that is known; one that was not there began at 0."""
        if self._first:
            self._began[key] = round(self._first(metric).get(labels, 0) * unit)

    def _sample(self, timestamp: int, rises: Mapping[Key, int] | None = None, passed: int = 0, width: int = 1) -> None:
        """Write all counters, `passed` of `width` seconds into a bucket with these rises."""
        for key, total in self._totals.items():
            rise = rises.get(key) if rises else None
            self._write(key, total + rise * passed // width if rise else total, timestamp)
        self._increases.write(timestamp)

    def _write(self, key: Key, total: int, timestamp: int) -> None:
        joint, shown = self._joint, total if self._ceiling is None else min(total, self._ceiling.get(key, 0))
        if joint and self._first:
            total = self._began.get(key, 0) if timestamp == joint.time else shown
        self._increases.note(key, total)
        if joint is None or timestamp <= joint.time - MARGIN:
            corrects, place = divmod(key[0], len(self._columns))
            column = self._columns[place]
            value = shown if column.unit == 1 else shown / column.unit
            self._families.write(metrics.CORRECTIONS if corrects else column.metric, key[1], value, timestamp)


def _months(slots: Iterator[Slot]) -> Iterator[tuple[int, Iterator[Slot]]]:
    """The buckets by month."""
    return groupby(slots, key=lambda slot: month_start(slot[0]))


_RECORDED_INCREASES: Mapping[str, tuple[tuple[Metric, ...], Mapping[str, str]]] = {
    metrics.INPUT_TOKENS.name: (metrics.RECORDED["tokens"], {"direction": "input"}),
    metrics.INPUT_CACHED_TOKENS.name: (metrics.RECORDED["tokens"], {"direction": "cached"}),
    metrics.OUTPUT_TOKENS.name: (metrics.RECORDED["tokens"], {"direction": "output"}),
    metrics.REQUESTS.name: (metrics.RECORDED["requests"], {}),
    metrics.ESTIMATED_COST.name: (metrics.RECORDED["cost"], {}),
}
"""The recorded series that a counter adds to, and their labels that it does not have."""


class Increases:
    """What counters rose by from sample to sample, summed as the rules of the bundle record it of live counters."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._recorded: dict[Key, list[tuple[Metric, str, int]]] = {}
        self._last: dict[Key, int] = {}
        self._sums: dict[tuple[Metric, str, int], int] = {}

    def learn(self, key: Key, column: Column, values: tuple[str, ...]) -> None:
        """Learn which recorded series a counter with these label values adds to."""
        if column.metric.name in _RECORDED_INCREASES:
            levels, more = _RECORDED_INCREASES[column.metric.name]
            labels = {**dict(zip(column.metric.labels, values, strict=True)), **more}
            self._recorded[key] = [
                (metric, self._families.series(metric, tuple(labels[name] for name in metric.labels)), column.unit)
                for metric in levels
            ]

    def note(self, key: Key, total: int) -> None:
        """A counter's value at the time that the next `write` names; its first one is no increase."""
        if key in self._recorded:
            if key in self._last:
                for target in self._recorded[key]:
                    self._sums[target] = self._sums.get(target, 0) + max(0, total - self._last[key])
            self._last[key] = total

    def write(self, timestamp: int) -> None:
        """Write what has been noted.

        A second early: a range that ends with the sample has it and the next one does not, whichever ends count.
        """
        for (metric, series, unit), total in self._sums.items():
            self._families.write(metric, series, total / unit, timestamp - 1)
        self._sums.clear()


Sums = dict[Labels, Decimal]


class CostGauges:
    """Writes the costs. Days are known whole; within one they rise evenly.

    Args:
        group_by: dimensions, in the order of the rows' labels.
        limit: series that keep their labels.
        as_of: the API's time when the last day was read; that day's costs are those until then.
    """

    def __init__(self, group_by: tuple[str, ...], limit: int, families: Families, grid: Grid, as_of: float) -> None:
        self._group_by = group_by
        self._limit = limit
        self._families = families
        self._grid = grid
        self._as_of = int(as_of)
        self._month: Sums = {}
        self._yesterday: Sums = {}
        self._previous = self._running = _ZERO

    def write(self, days: Iterable[Slot]) -> None:
        """Write everything, day by day; the first month is only read for the month before."""
        for start, end, lines in days:
            if start == month_start(start):
                self._previous, self._running = self._running, _ZERO
                self._month = dict.fromkeys(self._month, _ZERO)
            month, today = dict(self._month), Sums()
            for _, listed, usd in lines:
                labels: Labels = tuple(listed)
                month[labels] = month.get(labels, _ZERO) + Decimal(usd)
                today[labels] = today.get(labels, _ZERO) + Decimal(usd)
            self._samples(start, end, month, today)
            self._month, self._yesterday = month, today
            self._running += sum(today.values(), _ZERO)

    def _samples(self, start: int, end: int, month: Sums, today: Sums) -> None:
        """Write the samples of a day; `month` is the month so far at its end."""
        timestamps = self._grid.times(start, end - 1)
        if not timestamps:
            return
        until = min(end, max(start + 1, self._as_of))
        low, high = self._by_series(self._month, month), self._by_series(month, month)
        days = {
            name: by_project(sums, month, self._group_by, self._limit)
            for name, sums in (("today", today), ("yesterday", self._yesterday))
        }
        for timestamp in timestamps:
            share = Decimal(min(timestamp - start, until - start)) / (until - start)
            for series, usd in high.items():
                before = low.get(series, _ZERO)
                so_far = float(before + (usd - before) * share)
                self._families.write(metrics.COSTS_MONTH, series, so_far, timestamp)
            for window, projects in days.items():
                for project, usd in projects.items():
                    series = self._families.series(metrics.COSTS_DAY, (window, project))
                    so_far = float(usd * share if window == "today" else usd)
                    self._families.write(metrics.COSTS_DAY, series, so_far, timestamp)
            series = self._families.series(metrics.COSTS_PREVIOUS_MONTH, ())
            self._families.write(metrics.COSTS_PREVIOUS_MONTH, series, float(self._previous), timestamp)

    def _by_series(self, sums: Sums, month: Sums) -> dict[str, Decimal]:
        """Sums by series, those beyond the limit under `other`; `month` decides which."""
        named = largest(month, self._limit)
        by_series: dict[str, Decimal] = {}
        for labels, usd in sums.items():
            own = labels if labels in named else (OTHER,) * len(labels)
            by_name = dict(zip(self._group_by, own, strict=True))
            values = tuple(by_name.get(name, "") for name in metrics.COSTS_MONTH.labels)
            series = self._families.series(metrics.COSTS_MONTH, values)
            by_series[series] = by_series.get(series, _ZERO) + usd
        return by_series

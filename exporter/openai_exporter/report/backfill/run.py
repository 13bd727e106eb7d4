# SPDX-License-Identifier: Apache-2.0
"""An import from its request to its file: read what is missing, then write counters and gauges over time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.metrics import usage as metrics
from openai_exporter.report.backfill.families import CostGauges, Families, Grid, Growth
from openai_exporter.report.backfill.fetch import (
    WIDTHS,
    Journal,
    Line,
    Request,
    Step,
    fetch,
    last_moment,
    steps,
    writable,
)
from openai_exporter.report.source import Source
from openai_exporter.usage.budgets import pinned
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.counters import UNSETTLED, CounterDataset, SeriesTable
from openai_exporter.usage.ledger import OTHER, Labels, Rows, accumulate
from openai_exporter.usage.service import budgets_of
from openai_exporter.usage.window import day_start, month_start, next_month_start

# Series that a bucket takes something back from: how their counters rise without ever falling. Pure.


@dataclass(frozen=True, slots=True)
class Course:
    """A counter's way through a month.

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


# Counters of one usage endpoint over time: what `/usage` would have shown. Memory grows with the series only.
# A counter is known at the end of each bucket; between two of them it is drawn as rising evenly, as the API
# tells no more. It begins at 0 with the month, and its whole month is shown in the month's last second.
# What the API takes back is left out where it was counted, or is in the corrections.

Key = tuple[int, str]
"""Column (beyond the last one: the corrections of a column), and the series as its lines begin."""


class Counters:
    """Writes the counters of one endpoint.

    Args:
        flow: the live dataset, which is not read: its labels, columns and series limit are those of `/usage`.
        live_from: Unix seconds; up to then growth is written, too.
    """

    def __init__(self, flow: CounterDataset, families: Families, grid: Grid, live_from: float) -> None:
        self._columns = flow.operation.columns
        self._flow = flow
        self._families = families
        self._grid = grid
        self._growth = Growth(families, live_from)
        self._totals: dict[Key, int] = {}
        self._places: dict[Labels, tuple[str, ...]] = {}
        self._kept: set[Labels] | None = None
        self._changed: dict[Key, Course] = {}

    def write(self, journal: Journal, steps: Iterable[Step]) -> None:
        """Write everything, month by month."""
        steps = tuple(steps)
        largest, fallen = self._survey(journal, steps)
        courses = self._courses(journal, steps, largest, fallen)
        for month, slots in _months(journal, steps):
            self._roll(month)
            self._kept = largest.get(month)
            self._changed = courses.get(month, {})
            for start, end, lines in slots:
                self._slot(start, end, lines)

    def _survey(self, journal: Journal, steps: tuple[Step, ...]) -> tuple[dict[int, set[Labels]], set[int]]:
        """The series that keep their labels in months that have more than the limit; months with negative rows."""
        found: dict[int, set[Labels]] = {}
        fallen: set[int] = set()
        before: Rows = {}
        for month, slots in _months(journal, steps):
            rows: Rows = {}
            early: Rows = {}
            first: dict[Labels, int] = {}
            for start, _, lines in slots:
                for _, listed, given in lines:
                    labels, values = tuple(listed), tuple(given)
                    accumulate(rows, labels, values)
                    first.setdefault(labels, day_start(start))
                    if start < next_month_start(month) - UNSETTLED:
                        accumulate(early, labels, values)
                    if min(values) < 0:
                        fallen.add(month)
            if self._folded(rows, before, first):
                found[month] = set(rows)
            before = early
        return found, fallen

    def _folded(self, rows: Rows, before: Rows, first: dict[Labels, int]) -> bool:
        """Fold what has no room, as the live page does; whether there was any."""
        limit = self._flow.limit
        limit.restart()
        if limit.tight((rows,), ()):
            limit.preferred = limit.largest(before)
        limit.apply((rows,), (), first)
        return limit.dropped > 0

    def _courses(
        self, journal: Journal, steps: tuple[Step, ...], largest: dict[int, set[Labels]], fallen: set[int]
    ) -> dict[int, dict[Key, Course]]:
        """How the series go that have a negative bucket; there are few, if any."""
        found: dict[int, dict[Key, Course]] = {}
        for month, slots in _months(journal, steps):
            if month in fallen:
                self._kept = largest.get(month)
                changes: dict[Key, dict[int, int]] = {}
                for start, _, lines in slots:
                    for key, change in self._changes(lines).items():
                        changes.setdefault(key, {})[start] = change
                negative = {key: each for key, each in changes.items() if min(each.values()) < 0}
                found[month] = {key: course(each) for key, each in negative.items()}
        return found

    def _roll(self, month: int) -> None:
        """What was in use shows 0; the rest is forgotten."""
        self._totals = {key: 0 for key, value in self._totals.items() if value}
        if self._grid.start <= month <= self._grid.end:
            self._sample(month)

    def _slot(self, start: int, end: int, lines: Iterable[Line]) -> None:
        rises = self._rises(start, lines)
        for key in rises:
            if key not in self._totals:
                self._totals[key] = 0
                if start >= self._grid.start:
                    self._one(key, 0, start)
        last = month_start(end) == end
        for moment in self._grid.after(start, end - 2 if last else end):  # its last second comes below
            self._between(rises, moment - start, end - start, moment)
        for key, rise in rises.items():
            self._totals[key] += rise
        if last and self._grid.start < end <= self._grid.end + 1:
            self._sample(end - 1)

    def _rises(self, start: int, lines: Iterable[Line]) -> dict[Key, int]:
        found = {key: change for key, change in self._changes(lines).items() if key not in self._changed}
        for key, way in self._changed.items():
            found[key] = way.rises.get(start, 0)
            if way.taken is not None and way.taken[0] == start:
                correction = self._correction(key[0])
                found[correction] = found.get(correction, 0) + way.taken[1]
        return {key: rise for key, rise in found.items() if rise}

    def _correction(self, column: int) -> Key:
        values = (self._flow.name, self._columns[column].name)
        return column + len(self._columns), self._families.series(metrics.CORRECTIONS, values)

    def _changes(self, lines: Iterable[Line]) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for _, listed, values in lines:
            labels: Labels = tuple(listed)
            if self._kept is not None and labels not in self._kept:
                labels = (OTHER,) * len(labels)
            places = self._places.get(labels)
            if places is None:
                places = self._places[labels] = tuple(self._series(labels))
            for column, (series, value) in enumerate(zip(places, values, strict=True)):
                if value:
                    key = (column, series)
                    found[key] = found.get(key, 0) + value
        return found

    def _series(self, labels: Labels) -> Iterator[str]:
        flow = self._flow
        row = (labels, (0,) * len(self._columns))
        table = SeriesTable([row], flow.group_by, flow.name, lambda: None)
        for index, column in enumerate(self._columns):
            [(values, _)] = table.samples(index, column)
            series = self._families.series(column.metric, values)
            self._growth.place((index, series), column, values)
            yield series

    def _between(self, rises: dict[Key, int], passed: int, width: int, moment: int) -> None:
        for key, total in self._totals.items():
            rise = rises.get(key)
            self._one(key, total + rise * passed // width if rise else total, moment)
        self._growth.write(moment)

    def _sample(self, moment: int) -> None:
        for key, total in self._totals.items():
            self._one(key, total, moment)
        self._growth.write(moment)

    def _one(self, key: Key, total: int, moment: int) -> None:
        self._growth.note(key, total)
        corrects, place = divmod(key[0], len(self._columns))
        column = self._columns[place]
        value = total if column.unit == 1 else total / column.unit
        self._families.write(metrics.CORRECTIONS if corrects else column.metric, key[1], value, moment)


def _slots(journal: Journal, steps: tuple[Step, ...]) -> Iterator[tuple[int, int, Iterable[Line]]]:
    """Start, end and rows of all buckets, also of those without usage, in the order of time."""
    for step in steps:
        width = WIDTHS[step.part.width]
        moment = step.part.start
        for start, lines in journal.buckets(step.name):
            yield from ((at, at + width, ()) for at in range(moment, start, width))
            yield start, start + width, lines
            moment = start + width
        yield from ((at, at + width, ()) for at in range(moment, step.end, width))


def _months(
    journal: Journal, steps: tuple[Step, ...]
) -> Iterator[tuple[int, Iterator[tuple[int, int, Iterable[Line]]]]]:
    """The buckets by month."""
    return groupby(_slots(journal, steps), key=lambda slot: month_start(slot[0]))


# An import from its request to its file: read what is missing, then write. Prints nothing.


@dataclass(frozen=True, slots=True)
class Import:
    """An import that has been planned.

    Attributes:
        resumed: whether there was a journal to go on with.
        end: time of the last sample.
        steps: all its queries.
        missing: those that have not been made.
    """

    request: Request
    organization: Organization
    journal: Journal
    resumed: bool
    end: int
    steps: tuple[Step, ...]

    @property
    def missing(self) -> int:
        """How many queries have not been made."""
        return sum(not self.journal.has(step.name) for step in self.steps)


def planned(
    organization: Organization, request: Request, journal: Journal, now: float, *, resume: bool
) -> Import:
    """Open the journal and plan the queries.

    Args:
        now: the API's time.

    Raises:
        StartError: the journal cannot be used, or the output not be written.
    """
    resumed = journal.begin(request, now, resume=resume)
    end = last_moment(request, journal.as_of)
    return Import(request, organization, journal, resumed, end, steps(organization, request, end))


def read(found: Import, source: Source, done: Callable[[Step], None]) -> None:
    """Make the queries that have not been made.

    Raises:
        UpstreamError, CallsSpentError: what was read stays in the journal.
    """
    fetch(found.organization, source, found.journal, found.steps, done)


def write(found: Import, config: Config, source: Source, done: Callable[[str], None]) -> int:
    """Write the output from the journal and remove that; how many samples it has.

    Raises:
        StartError: the output cannot be written.
    """
    journal = found.journal
    with writable(journal.output):
        families = Families(journal.folder, found.request.labels)
        try:
            for name in dict.fromkeys(step.dataset for step in found.steps):
                _write_dataset(name, found, config, source, families)
                done(name)
            families.assemble(journal.output)
        except OSError:
            families.discard()
            raise
    journal.remove()
    return families.samples


def _write_dataset(name: str, found: Import, config: Config, source: Source, families: Families) -> None:
    request, organization, journal = found.request, found.organization, found.journal
    live_from = found.end if request.live_from is None else request.live_from
    own = tuple(step for step in found.steps if step.dataset == name)
    if name == COSTS:
        assert organization.costs is not None
        by, limit = organization.costs.group_by, organization.series_limit
        grid = Grid(request.start, found.end, request.step)
        CostGauges(by, limit, families, grid, journal.as_of).write(journal, own)
    else:
        flow = CounterDataset(name, organization, source.context, pinned(budgets_of(config, organization)))
        # A sample more where the live series begin: growth goes up to there and not only to the step before.
        grid = Grid(request.start, found.end, request.step, int(live_from))
        Counters(flow, families, grid, live_from).write(journal, own)

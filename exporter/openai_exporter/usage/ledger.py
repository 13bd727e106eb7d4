# SPDX-License-Identifier: Apache-2.0
"""The ledger of one usage endpoint: readings in, counters that never fall within a month out. No input, no output.

A counter is the sum of its buckets since the first of the month. What is final is kept as one sum per
series; what may still change is replaced as a whole by each reading, and the difference moves the figures:
upwards the counter, downwards the corrections. So at any time, for each field, counter - corrections is
what the API says. Usage of the month before that arrives after that month's end is not added to the new
month, whose counters begin at 0; the costs of the month before are still read.
All times are those of the API's clock, in Unix seconds; days and months are those of UTC.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import add, sub

HOUR = 3600
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """One query of time buckets.

    Attributes:
        start: start of the first bucket.
        end: end of the last bucket; None reads up to now.
        width: `1m`, `1h` or `1d`.
        limit: buckets per page, the most that the API gives (official description of `limit`).
    """

    start: int
    end: int | None
    width: str
    limit: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What one refresh of usage reads.

    Attributes:
        month: start of the month that the figures belong to.
        start: everything known from here on is replaced.
        closes: buckets that begin before this hour are final and are kept as one sum.
        hours: the running hours, read first.
        days: whole days before them; None when there are none to read.
    """

    month: int
    start: int
    closes: int
    hours: Range
    days: Range | None


def hour_start(now: float) -> int:
    """The start of the hour that `now` is in."""
    return int(now // HOUR) * HOUR


def day_start(now: float) -> int:
    """The start of the UTC day that `now` is in."""
    return int(now // DAY) * DAY


def month_start(now: float) -> int:
    """The start of the UTC month that `now` is in."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp())


def next_month_start(now: float) -> int:
    """The start of the UTC month after the one that `now` is in."""
    return month_start(month_start(now) + 31 * DAY)


def previous_month_start(now: float) -> int:
    """The start of the UTC month before the one that `now` is in."""
    return month_start(month_start(now) - 1)


def whole_month(now: float, settle: float) -> Plan:
    """Read the month so far: days whose figures are final by the day, the rest by the hour."""
    month = month_start(now)
    closes = max(month, hour_start(now - settle))
    first = max(month, day_start(closes))
    days = Range(month, first, "1d", 31) if first > month else None
    return Plan(month, month, closes, Range(first, None, "1h", 168), days)


def since(closed_until: int, now: float, settle: float) -> Plan:
    """Read the hours that were not final at the last reading, however long ago that was."""
    closes = max(closed_until, hour_start(now - settle))
    return Plan(month_start(now), closed_until, closes, Range(closed_until, None, "1h", 168), None)


Labels = tuple[str, ...]
Values = tuple[int, ...]
Row = tuple[Labels, Values]
Rows = dict[Labels, Values]

OTHER = "other"
_TIGHT = 0.25
"""Share of the limit above which it is worth a call to know the month before."""


class SeriesLimit:
    """The bound on the series of one endpoint: which keep their labels; the rest is summed under `other`.

    A decision holds until `restart`. An exporter that restarts without any memory must decide the same, or
    counters would seem to fall. So room goes by what does not change any more: first to the largest of the month
    before, then to the others by the day on which they appeared.

    Attributes:
        limit: series that may keep their labels.
        preferred: those that were the largest in the month before, for which room is kept; None when not looked up.

    Args:
        weight: how large a row is.
        pinned: label values (ids) whose series keep their labels first.
    """

    def __init__(self, limit: int, weight: Callable[[Values], int], pinned: Collection[str] = ()) -> None:
        self.limit = limit
        self.preferred: frozenset[Labels] | None = None
        self._weight = weight
        self._pinned = frozenset(pinned)
        self._dropped: set[int] = set()

    @property
    def dropped(self) -> int:
        """How many series are summed under `other`."""
        return len(self._dropped)

    def restart(self) -> None:
        """Begin a new month."""
        self._dropped.clear()
        self.preferred = None

    def tight(self, parts: Iterable[Rows], known: Collection[Labels]) -> bool:
        """Whether there are so many series that `preferred` is to be looked up."""
        count = len({labels for rows in parts for labels in rows}.union(known))
        return count > self.limit * _TIGHT or self.dropped > 0

    def largest(self, rows: Rows) -> frozenset[Labels]:
        """The rows that are to keep their labels when there are more than the limit."""
        ranked = sorted(rows, key=lambda labels: (self._pinned.isdisjoint(labels), -self._weight(rows[labels]), labels))
        return frozenset(ranked[: self.limit])

    def apply(
        self, parts: Iterable[Rows], known: Collection[Labels], first: Mapping[Labels, int] | None = None
    ) -> None:
        """Move the rows of series that have no room into `other`, in place; `known` have room already.

        Args:
            first: the day on which each series appeared.
        """
        parts = tuple(parts)
        new = {labels for rows in parts for labels in rows if labels not in known}
        reserved = sum(labels not in known and labels not in new for labels in self.preferred or ())
        taken = sum(not _is_other(labels) for labels in known) + reserved
        room = max(0, self.limit - taken)
        if len(new) <= room:
            return
        ranked = sorted(new, key=lambda labels: self._rank(labels, parts, first or {}))
        for labels in ranked[room:]:
            self._drop(labels, parts)

    def _rank(
        self, labels: Labels, parts: tuple[Rows, ...], first: Mapping[Labels, int]
    ) -> tuple[bool, bool, int, int, Labels]:
        preferred = self.preferred or frozenset()
        # Without a month before there is nothing better than the sizes so far, which change.
        size = 0 if preferred else sum(self._weight(rows[labels]) for rows in parts if labels in rows)
        return self._pinned.isdisjoint(labels), labels not in preferred, first.get(labels, 0), -size, labels

    def _drop(self, labels: Labels, parts: tuple[Rows, ...]) -> None:
        other = (OTHER,) * len(labels)
        if not _is_other(labels):
            self._dropped.add(hash(labels))
        for rows in parts:
            values = rows.pop(labels, None)
            if values is not None:
                accumulate(rows, other, values)


def _is_other(labels: Labels) -> bool:
    return all(label == OTHER for label in labels)


def accumulate(rows: Rows, labels: Labels, values: Values) -> None:
    """Add to one row, making it when it is not there."""
    known = rows.get(labels)
    rows[labels] = values if known is None else tuple(map(add, known, values))


class Reading:
    """The rows read so far, summed into four: final or not, of days before today or of today.

    Nothing of it counts until a ledger takes it over.

    Attributes:
        month: start of the month that it belongs to.
        start: everything known from here on is to be replaced.
        closes: buckets that begin before this are final.
        today: start of the running day.
        buckets: how many buckets were added.
        newest: start of the newest bucket with usage.
        first: the first day with usage of each series, as far as it was read.
        settled, open: rows that are final and rows that may change; each is (before today, today).
    """

    def __init__(self, plan: Plan, now: float) -> None:
        self.month = plan.month
        self.start = plan.start
        self.closes = plan.closes
        self.today = day_start(now)
        self.buckets = 0
        self.newest: int | None = None
        self.first: dict[Labels, int] = {}
        self.settled: tuple[Rows, Rows] = ({}, {})
        self.open: tuple[Rows, Rows] = ({}, {})
        self._end = next_month_start(plan.month)

    def add(self, start: int, rows: Iterable[Row]) -> None:
        """Add a bucket. What lies outside the plan is left out."""
        self.buckets += 1
        inside = self.start <= start < self._end
        sums = (self.settled if start < self.closes else self.open)[start >= self.today]
        day, first = day_start(start), self.first
        for labels, values in rows:
            if inside and any(values):
                accumulate(sums, labels, values)
                if first.setdefault(labels, day) > day:
                    first[labels] = day
                if self.newest is None or start > self.newest:
                    self.newest = start

    def parts(self) -> tuple[Rows, ...]:
        """All rows, in pieces that are to be summed."""
        return (*self.settled, *self.open)


@dataclass(frozen=True, slots=True)
class PersistedUsage:
    """The figures of one usage endpoint as they survive a restart.

    Attributes:
        group_by, columns: what labels and values are; persisted figures of another shape are of no use.
        month: start of the month.
        totals: counters by labels.
        reported: what the API said, by labels.
        fresh: series that nobody has seen as 0 yet.
        closing: what the month before was when its counters ended, by column that the API gives; None if unknown.
    """

    operation: str
    group_by: tuple[str, ...]
    columns: tuple[str, ...]
    month: int
    corrections: tuple[int, ...]
    totals: Rows
    reported: Rows
    fresh: frozenset[Labels] = frozenset()
    closing: Values | None = None


class VanishedError(ValueError):
    """A reading without a single bucket, where buckets with usage are known: not to be believed."""


class Ledger:
    """The figures of one endpoint and month.

    Attributes:
        month: start of the month, 0 before the first reading.
        totals: the counters, by series.
        corrections: what the API took back, by field.
        newest: start of the newest bucket with usage; None when there was none.
        fresh: series that are new, and are exposed as 0 until that has been seen.
        complete: whether the whole month was read, and not only restored.
    """

    def __init__(self, width: int, limit: SeriesLimit) -> None:
        self.month = 0
        self.totals: Rows = {}
        self.corrections: list[int] = [0] * width
        self.newest: int | None = None
        self._zero: Values = (0,) * width
        self._limit = limit
        self._closed_until = 0
        self._today = 0
        self.complete = False
        self._settled: tuple[Rows, Rows] = ({}, {})
        self._open: tuple[Rows, Rows] = ({}, {})
        self.fresh: set[Labels] = set()

    def plan(self, now: float, settle: float, *, audit: bool) -> Plan:
        """What to read next; `audit` asks for the whole month."""
        now = self._not_back(now)
        if audit or not self.complete or month_start(now) != self.month or now < self._closed_until:
            return whole_month(now, settle)
        return since(self._closed_until, now, settle)

    def begin(self, plan: Plan, now: float) -> Reading:
        """An empty reading for a plan."""
        return Reading(plan, self._not_back(now))

    def commit(self, reading: Reading, *, seen: bool, preferred: frozenset[Labels] | None = None) -> None:
        """Take over a reading.

        Args:
            reading: a complete one.
            seen: whether the figures as they were have been exposed since the last commit.
            preferred: the largest series of the month before, if that was looked up just now.

        Raises:
            VanishedError: the reading has no bucket at all, but figures for its time are known.
        """
        rolled = reading.month != self.month
        whole = rolled or reading.start == reading.month
        old = () if rolled else (*self._settled, *self._open) if whole else self._open
        if not reading.buckets and any(old):
            raise VanishedError("the answer has no buckets where it had some before")
        first = not self.month
        if rolled:
            self._roll(reading.month, preferred)
        if preferred is not None:
            self._limit.preferred = preferred
        known = set(self.totals)
        self._limit.apply(reading.parts(), self.totals, reading.first)
        self._move(old, reading.parts())
        self._store(reading, whole)
        shown_before = set() if seen else self.fresh
        self.fresh = set() if first else (set(self.totals) - known) | shown_before
        if rolled and not first:
            self.fresh = set(self.totals)

    def counters(self) -> Iterator[Row]:
        """Each series with what is to be exposed: 0 once for one that is new, then its counter."""
        for labels, values in self.totals.items():
            yield labels, self._zero if labels in self.fresh else values

    def reported(self) -> Rows:
        """What the API says, by series."""
        return merged((*self._settled, *self._open))

    def today(self) -> Rows:
        """What the API says of the running day, by series."""
        return merged((self._settled[1], self._open[1]))

    def covers(self, period: str, now: float) -> bool:
        """Whether the whole `day` or `month` that runs now has been read, as far as it has gone."""
        return self.complete and (day_start(now) <= self._today if period == "day" else month_start(now) <= self.month)

    def restore(self, persisted: PersistedUsage) -> None:
        """Take over persisted figures; the next reading is of the whole month and is compared with them."""
        self.month = persisted.month
        self.totals = persisted.totals
        self.corrections = list(persisted.corrections)
        self.fresh = set(persisted.fresh)
        self._settled = (persisted.reported, {})

    def _not_back(self, now: float) -> float:
        """The servers' clocks differ a little; do not go back to a month that has just ended."""
        return float(self.month) if 0 < self.month - now <= DAY else now

    def in_use(self) -> list[Labels]:
        """Series that have counted anything."""
        return [labels for labels, values in self.totals.items() if any(values)]

    def _roll(self, month: int, preferred: frozenset[Labels] | None) -> None:
        """Begin a month: series that were in use show 0, all others are forgotten."""
        shown = [labels for labels in self.in_use() if preferred is None or labels in preferred]
        self.totals = dict.fromkeys(shown, self._zero)
        self.corrections = [0] * len(self._zero)
        self.month = month
        self._today = 0
        self._settled, self._open = ({}, {}), ({}, {})
        self._limit.restart()

    def _move(self, old: tuple[Rows, ...], new: tuple[Rows, ...]) -> None:
        """Move the counters and corrections by the difference of two readings."""
        for labels in dict.fromkeys(labels for rows in (*old, *new) for labels in rows):
            before, after = self._sum(old, labels), self._sum(new, labels)
            if before == after and labels in self.totals:
                continue
            change = tuple(map(sub, after, before))
            rise = change if min(change) >= 0 else tuple(max(0, value) for value in change)
            accumulate(self.totals, labels, rise)
            if change != rise:
                fall = map(sub, rise, change)
                self.corrections = [sum(pair) for pair in zip(self.corrections, fall, strict=True)]

    def _sum(self, parts: tuple[Rows, ...], labels: Labels) -> Values:
        values = [rows[labels] for rows in parts if labels in rows]
        if len(values) == 1:
            return values[0]
        return tuple(map(sum, zip(*values, strict=True))) if values else self._zero

    def _store(self, reading: Reading, whole: bool) -> None:
        if whole:
            self._settled = reading.settled
        else:
            if reading.today > self._today:
                self._settled = (merged(self._settled), {})
            for settled, more in zip(self._settled, reading.settled, strict=True):
                for labels, values in more.items():
                    accumulate(settled, labels, values)
        self._open = reading.open
        self._today = reading.today
        self._closed_until = reading.closes
        self.complete = True
        if reading.newest is not None:
            self.newest = reading.newest if whole else max(reading.newest, self.newest or 0)


def merged(parts: Iterable[Rows]) -> Rows:
    """The sum of several sets of rows."""
    total: Rows = {}
    for rows in parts:
        for labels, values in rows.items():
            accumulate(total, labels, values)
    return total

# SPDX-License-Identifier: Apache-2.0
"""The ledger of one usage endpoint: readings in, counters that never fall within a month out. No input, no output.

A counter is the sum of its buckets since the first of the month. Each reading replaces the buckets that it covers,
and the difference of a bucket moves the figures of its series: a fall leaves the counter where it is and is owed by
that bucket; a rise pays back what the bucket owes, and the rest of it moves the counter. So a counter is the sum of
the highest figures of its buckets, the corrections are the sum of what is owed, and counter - corrections is what
the API says. Buckets are hours until their day is read as one, which then owes what they owed.
Usage of the month before that arrives after that month's end is not added to the new month, whose counters begin
at 0; the costs of the month before are still read.
All times are those of the API's clock, in Unix seconds; days and months are those of UTC.
"""

import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from operator import add, neg, sub

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
        closes: buckets that begin before this hour are settled, and are read again by audits only.
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


def covers(period: str, read: float, now: float) -> bool:
    """Whether what was read at one time is of the `day` or `month` that runs now."""
    start = day_start if period == "day" else month_start
    return start(now) <= start(read)


def whole_month(now: float, finalize_after: float) -> Plan:
    """Read the month so far: days whose figures are final by the day, the rest by the hour."""
    month = month_start(now)
    closes = max(month, hour_start(now - finalize_after))
    first = max(month, day_start(closes))
    days = Range(month, first, "1d", 31) if first > month else None
    return Plan(month, month, closes, Range(first, None, "1h", 168), days)


def since(closed_until: int, now: float, finalize_after: float) -> Plan:
    """Read the hours that were not final at the last reading, however long ago that was."""
    closes = max(closed_until, hour_start(now - finalize_after))
    return Plan(month_start(now), closed_until, closes, Range(closed_until, None, "1h", 168), None)


Labels = tuple[str, ...]
Values = tuple[int, ...]
Row = tuple[Labels, Values]
Rows = dict[Labels, Values]
Packed = tuple[bytes, ...]
Span = tuple[int, int]
"""Start and end of a bucket."""

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
        self.weight = weight
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

    def tight(self, series: Iterable[Labels], known: Iterable[Labels]) -> bool:
        """Whether there are so many series that `preferred` is to be looked up."""
        count = len(set(series).union(known))
        return count > self.limit * _TIGHT or self.dropped > 0

    def largest(self, rows: Rows) -> frozenset[Labels]:
        """The rows that are to keep their labels when there are more than the limit."""
        ranked = sorted(rows, key=lambda labels: (self._pinned.isdisjoint(labels), -self.weight(rows[labels]), labels))
        return frozenset(ranked[: self.limit])

    def fold(self, rows: Rows, known: Collection[Labels], first: Mapping[Labels, int]) -> list[Labels]:
        """Move the rows of series that have no room into `other`; returns these. `known` have room already.

        Args:
            first: the day on which each series appeared.
        """
        new = {labels for labels in rows if labels not in known}
        reserved = sum(labels not in known and labels not in new for labels in self.preferred or ())
        taken = sum(not _is_other(labels) for labels in known) + reserved
        room = max(0, self.limit - taken)
        if len(new) <= room:
            return []
        ranked = sorted(new, key=lambda labels: self._rank(labels, rows, first))
        for labels in ranked[room:]:
            if not _is_other(labels):
                self._dropped.add(hash(labels))
            accumulate(rows, (OTHER,) * len(labels), rows.pop(labels))
        return ranked[room:]

    def _rank(self, labels: Labels, rows: Rows, first: Mapping[Labels, int]) -> tuple[bool, bool, int, int, Labels]:
        preferred = self.preferred or frozenset()
        # Without a month before there is nothing better than the sizes so far, which change.
        size = 0 if preferred else self.weight(rows[labels])
        return self._pinned.isdisjoint(labels), labels not in preferred, first.get(labels, 0), -size, labels


def _is_other(labels: Labels) -> bool:
    return all(label == OTHER for label in labels)


def accumulate(rows: Rows, labels: Labels, values: Values) -> None:
    """Add to one row, making it when it is not there."""
    known = rows.get(labels)
    rows[labels] = values if known is None else tuple(map(add, known, values))


_CHUNK = 1000
"""Rows in one piece: a longer call would hold up other threads."""


def _packed(rows: Sequence[Values]) -> bytes:
    """Rows in a twentieth of their memory: column by column, and bytes of equal weight together. Equal stays equal."""
    figures = list(chain.from_iterable(zip(*rows, strict=True)))
    try:
        plain = struct.pack(f"<{len(figures)}q", *figures)
    except struct.error:  # beyond 64 bits
        return json.dumps(figures).encode()
    return zlib.compress(b"".join(plain[place::8] for place in range(8)), 1)


def _unpacked(packed: bytes, width: int) -> Iterator[Values]:
    figures: Sequence[int]
    if packed[:1] == b"[":
        figures = json.loads(packed)
    else:
        planes = zlib.decompress(packed)
        count = len(planes) // 8
        plain = bytearray(len(planes))
        for place in range(8):
            plain[place::8] = planes[place * count : (place + 1) * count]
        figures = struct.unpack(f"<{count}q", plain)
    rows = len(figures) // width
    return zip(*(figures[at : at + rows] for at in range(0, len(figures), rows)), strict=True)


class Buckets:
    """What each series has in each bucket.

    Attributes:
        series: labels by place.
        places: of each series; folded ones have that of `other`.
        packed: the rows of each bucket with usage, by place; what is behind the last one is 0.
    """

    def __init__(self, width: int, series: Iterable[Labels] = (), packed: Mapping[Span, Packed] | None = None) -> None:
        self.series: list[Labels] = []
        self.packed: dict[Span, Packed] = dict(packed or {})
        self._zero: Values = (0,) * width
        self.places: dict[Labels, int] = {}
        self.extend(series)

    def extend(self, series: Iterable[Labels]) -> None:
        """Give a place to series that have none."""
        for labels in series:
            if labels not in self.places:
                self.places[labels] = len(self.series)
                self.series.append(labels)

    def empty(self) -> "Buckets":
        """No bucket yet, for the same series."""
        made = Buckets(len(self._zero))
        made.series, made.places = self.series.copy(), self.places.copy()
        return made

    def replace(self, span: Span, rows: Iterable[Row]) -> list[Values]:
        """Set a bucket; rows of equal labels are summed. Returns the sums by place."""
        figures: list[Values] = []
        places, zero = self.places, self._zero
        for labels, values in rows:
            place = places.get(labels)
            if place is None:
                if not any(values):
                    continue
                place = places[labels] = len(self.series)
                self.series.append(labels)
            if place >= len(figures):
                figures += [zero] * (place + 1 - len(figures))
            known = figures[place]
            figures[place] = values if known is zero else tuple(map(add, known, values))
        self.packed.pop(span, None)
        if any(map(any, figures)):
            self.packed[span] = tuple(_packed(figures[at : at + _CHUNK]) for at in range(0, len(figures), _CHUNK))
        return figures

    def rows(self, spans: Iterable[Span]) -> Rows:
        """The sum of some buckets."""
        found = [self.packed[span] for span in spans if span in self.packed]
        return self._rows(found[0]) if len(found) == 1 else merged(map(self._rows, found))

    def fold(self, dropped: Collection[Labels]) -> None:
        """Sum some series under `other`, also in buckets that are set later."""
        if not dropped:
            return
        old = {span: self._rows(packed) for span, packed in self.packed.items()}
        other = (OTHER,) * len(next(iter(dropped)))
        gone = (self.places.keys() - set(self.series)).union(dropped) - {other}
        kept = [labels for labels in self.series if labels not in gone]
        self.series, self.places = [], {}
        self.extend([*kept, other])
        self.places |= dict.fromkeys(gone, self.places[other])
        for span, rows in old.items():
            self.replace(span, rows.items())

    def _rows(self, packed: Packed) -> Rows:
        figures = chain.from_iterable(_unpacked(piece, len(self._zero)) for piece in packed)
        return {labels: values for labels, values in zip(self.series, figures, strict=False) if any(values)}


def changes(old: Buckets, new: Buckets, start: int, days_end: int = 0) -> Iterator[tuple[Span, Rows, Rows]]:
    """The buckets that differ from `start` on, with their rows before and after.

    Where one side has a day and the other its hours, or before `days_end`, days are compared.
    """
    spans = {span for span in old.packed if span[0] >= start} | new.packed.keys()
    wide = {span for span in spans if span[1] - span[0] > HOUR}
    groups: dict[Span, list[Span]] = {}
    for span in sorted(spans):
        month, day = _month(span[0]), _day(span[0])
        whole = month if month in wide else day if day in wide or span[0] < days_end else span
        groups.setdefault(whole, []).append(span)
    aligned = old.series == new.series[: len(old.series)]
    for whole, parts in groups.items():
        if not aligned or any(old.packed.get(span) != new.packed.get(span) for span in parts):
            yield whole, old.rows(parts), new.rows(parts)


def _day(start: int) -> Span:
    return day_start(start), day_start(start) + DAY


def _month(start: int) -> Span:
    return month_start(start), next_month_start(start)


class Reading:
    """The buckets read so far. Nothing of it counts until a ledger takes it over.

    Attributes:
        month: start of the month that it belongs to.
        start: everything known from here on is to be replaced.
        closes: buckets that begin before this are settled.
        days_end: end of what is read by the day.
        today: start of the running day.
        count: how many buckets were added.
        newest: start of the newest bucket with usage.
        buckets: those with usage.
    """

    def __init__(self, plan: Plan, now: float, known: Buckets) -> None:
        self.month = plan.month
        self.start = plan.start
        self.closes = plan.closes
        self.days_end = plan.days.end or 0 if plan.days else 0
        self.today = day_start(now)
        self.count = 0
        self.newest: int | None = None
        self.buckets = known.empty()
        self._known = len(known.series)
        self._sums: list[Values] = []
        self._first: list[int] = []
        self._added: set[int] = set()
        self._hours, self._end = plan.hours.start, next_month_start(plan.month)

    def add(self, start: int, rows: Iterable[Row], width: int = HOUR) -> None:
        """Add a bucket of the plan's hours or days, once. What lies outside the plan is left out."""
        self.count += 1
        first, end = (self._hours, self._end) if width == HOUR else (self.start, self.days_end)
        if first <= start < end and start not in self._added:
            self._added.add(start)
            self._note(start, self.buckets.replace((start, start + width), rows))

    def _note(self, start: int, figures: list[Values]) -> None:
        if any(map(any, figures)) and (self.newest is None or start > self.newest):
            self.newest = start
        day, sums, first = day_start(start), self._sums, self._first
        for place, values in enumerate(figures[self._known :]):
            if place == len(sums):
                sums.append(values)
                first.append(day)
            elif any(values):
                sums[place] = tuple(map(add, sums[place], values))
                first[place] = min(first[place], day)

    @property
    def whole(self) -> bool:
        """Whether it is of the whole month."""
        return self.start == self.month

    @property
    def new(self) -> Rows:
        """The sums of series that are not known yet."""
        return dict(zip(self.buckets.series[self._known :], self._sums, strict=True))

    @property
    def first(self) -> dict[Labels, int]:
        """The first day with usage of each of these, as far as it was read."""
        return dict(zip(self.buckets.series[self._known :], self._first, strict=True))


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
        closed_until: buckets that begin before this are settled; 0 where no buckets were persisted.
        buckets: rows of each bucket, in the order of `totals`.
        owed: what each series of a bucket owes.
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
    closed_until: int = 0
    buckets: Mapping[Span, Packed] = field(default_factory=dict)
    owed: Mapping[Span, Rows] = field(default_factory=dict)


_NOTHING: Rows = {}
_NO_BUCKET: Span = (0, 0)
"""Owes what nothing can pay back."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a reading lacks of settled usage that is known, or has under other labels in hours that may still change.

    Attributes:
        known: how much that was, by the weight of series.
        by_series: what is missing, by series.
        settled: whether it is of settled usage.
    """

    known: int
    by_series: Mapping[Labels, int]
    settled: bool

    @property
    def lost(self) -> int:
        """How much is missing."""
        return sum(self.by_series.values())

    @property
    def ratio(self) -> float:
        """The share that is missing."""
        return self.lost / self.known if self.known > 0 else float(self.lost > 0)


class VanishedError(ValueError):
    """A reading without a single bucket, where buckets with usage are known: not to be believed."""


class Ledger:
    """The figures of one endpoint and month.

    Attributes:
        month: start of the month, 0 before the first reading.
        totals: the counters, by series.
        corrections: what the API took back and has not given again, by field.
        newest: start of the newest bucket with usage; None when there was none.
        fresh: series that are new, and are exposed as 0 until that has been seen.
        complete: whether the whole month was read, and not only restored.
        closed_until: buckets that begin before this are settled.
        buckets: what was read, by bucket.
        owed: by how much each series of a bucket is below the highest that it was; only what fell.
        loss: what the last reading of the whole month lacks, while that is not believed.
    """

    def __init__(self, width: int, limit: SeriesLimit) -> None:
        self.month = 0
        self.totals: Rows = {}
        self.corrections: list[int] = [0] * width
        self.newest: int | None = None
        self.fresh: set[Labels] = set()
        self.complete = False
        self.closed_until = 0
        self.buckets = Buckets(width)
        self.owed: dict[Span, Rows] = {}
        self.loss: Loss | None = None
        self._doubted: Reading | None = None
        self._zero: Values = (0,) * width
        self._limit = limit
        self._today = 0
        self._of_today: Rows | None = None

    def plan(self, now: float, finalize_after: float, *, audit: bool) -> Plan:
        """What to read next; `audit` asks for the whole month."""
        now = self._not_back(now)
        if audit or month_start(now) != self.month or not self.month <= self.closed_until <= now:
            return whole_month(now, finalize_after)
        return since(self.closed_until, now, finalize_after)

    def begin(self, plan: Plan, now: float) -> Reading:
        """An empty reading for a plan."""
        known = self.buckets if plan.month == self.month else Buckets(len(self._zero))
        return Reading(plan, self._not_back(now), known)

    def doubt(self, reading: Reading, limit: float) -> Loss | None:
        """What a reading lacks, when that is too much to be believed at once.

        Usage of hours that may still change is doubted only when it is another series': what falls there is owed.

        Args:
            reading: a complete one.
            limit: the share that may be missing, or be another series', without the audit before having said the same.
        """
        if not reading.count:
            return None
        audit = reading.whole
        loss = self._loss(self.buckets, reading.buckets, reading) if reading.month == self.month else None
        doubted = loss is not None and loss.ratio > limit and not (audit and self._agrees(reading, limit))
        if audit:
            self._doubted = reading if doubted else None
        if doubted or not self._doubted:
            self.loss = loss if doubted else None
        return loss if doubted else None

    def commit(self, reading: Reading, *, seen: bool, preferred: frozenset[Labels] | None = None) -> None:
        """Take over a reading.

        Args:
            reading: a complete one.
            seen: whether the figures as they were have been exposed since the last commit.
            preferred: the largest series of the month before, if that was looked up just now.

        Raises:
            VanishedError: the reading has no bucket at all, but figures for its time are known.
        """
        rolled, first = reading.month != self.month, not self.month
        if not (reading.count or rolled) and any(start >= reading.start for start, _ in self.buckets.packed):
            raise VanishedError("the answer has no buckets where it had some before")
        if rolled:
            self._roll(reading.month, preferred)
        if preferred is not None:
            self._limit.preferred = preferred
        known, new, unknown = self.totals, reading.buckets, reading.new
        new.fold(self._limit.fold(unknown, known, reading.first))
        new.extend(known)
        self.totals = {labels: self.totals.get(labels, self._zero) for labels in new.series}
        if rolled:
            # As sums of the month, so that what is below 0 takes from the rest of its series.
            for labels, values in unknown.items():
                self._move(_month(reading.month), labels, values)
        else:
            self._pass_on(reading.days_end)
            for span, before, after in changes(self.buckets, new, reading.start, reading.days_end):
                for labels in before | after:
                    was, now = before.get(labels, self._zero), after.get(labels, self._zero)
                    if was != now:
                        self._move(span, labels, tuple(map(sub, now, was)))
        self._store(reading)
        shown_before = set() if seen else self.fresh
        self.fresh = set() if first else (self.totals.keys() - known.keys()) | shown_before
        if rolled and not first:
            self.fresh = set(self.totals)

    def counters(self) -> Iterator[Row]:
        """Each series with what is to be exposed: 0 once for one that is new, then its counter."""
        for labels, values in self.totals.items():
            yield labels, self._zero if labels in self.fresh else values

    def reported(self) -> Rows:
        """What the API says, by series."""
        rows = self.totals.copy()
        for debts in self.owed.values():
            for labels, debt in debts.items():
                rows[labels] = tuple(map(sub, rows[labels], debt))
        return {labels: values for labels, values in rows.items() if any(values)}

    def today(self) -> Rows:
        """What the API says of the running day, by series."""
        if self._of_today is None:
            self._of_today = self.buckets.rows(span for span in self.buckets.packed if span[0] >= self._today)
        return self._of_today

    def covers(self, period: str, now: float) -> bool:
        """Whether the whole `day` or `month` that runs now has been read, as far as it has gone."""
        return self.complete and covers(period, self._today if period == "day" else self.month, now)

    def restore(self, persisted: PersistedUsage) -> None:
        """Take over persisted figures, with which the next reading is compared."""
        self.month = persisted.month
        self.totals = persisted.totals
        self.corrections = list(persisted.corrections)
        self.fresh = set(persisted.fresh)
        self.closed_until = persisted.closed_until
        self.buckets = Buckets(len(self._zero), persisted.totals, persisted.buckets)
        self.owed = dict(persisted.owed)
        self.newest = max((start for start, _ in persisted.buckets), default=None)
        if not persisted.closed_until:
            # Of the whole month only, as an earlier program wrote it: which buckets owe what is not known.
            self.buckets.replace(_month(self.month), persisted.reported.items())
            rest = ((labels, persisted.reported.get(labels, self._zero)) for labels in self.totals)
            debts = {labels: tuple(map(sub, self.totals[labels], values)) for labels, values in rest}
            self.owed = {_NO_BUCKET: {labels: debt for labels, debt in debts.items() if any(debt)}}

    def _not_back(self, now: float) -> float:
        """The servers' clocks differ a little; do not go back to a month that has just ended."""
        return float(self.month) if 0 < self.month - now <= DAY else now

    def in_use(self) -> list[Labels]:
        """Series that have counted anything."""
        return [labels for labels, values in self.totals.items() if any(values)]

    def _roll(self, month: int, preferred: frozenset[Labels] | None) -> None:
        """Begin a month: series that were in use show 0, all others are forgotten, and nothing is owed any more."""
        shown = [labels for labels in self.in_use() if preferred is None or labels in preferred]
        self.totals = dict.fromkeys(shown, self._zero)
        self.corrections = [0] * len(self._zero)
        self.month = month
        self._today, self._of_today = 0, None
        self.buckets, self.owed = Buckets(len(self._zero)), {}
        self._limit.restart()

    def _loss(self, old: Buckets, new: Buckets, reading: Reading) -> Loss:
        """What is missing of settled usage, or has moved in the hours that a reading has besides: the larger share."""
        weigh, zero, start = self._limit.weight, self._zero, reading.start
        closes = reading.closes if reading.whole else start
        missing, moved = Counter[Labels](), Counter[Labels]()
        for span, before, after in changes(old, new, start, reading.days_end):
            pairs = ((labels, values, after.get(labels, zero)) for labels, values in before.items())
            falls = ((labels, weigh(was) - weigh(now)) for labels, was, now in pairs if was != now)
            fallen = {labels: fall for labels, fall in falls if fall > 0}
            if span[0] < closes:
                missing.update(fallen)
            elif fallen:
                lost = sum(fallen.values())
                risen = sum(map(weigh, after.values())) - sum(map(weigh, before.values())) + lost
                moved.update({labels: fall * min(lost, risen) // lost for labels, fall in fallen.items()})
        losses = [
            Loss(sum(map(weigh, old.rows(spans).values())) if by_series else 0, +by_series, by_series is missing)
            for by_series, spans in (
                (missing, [span for span in old.packed if span[0] < closes]),
                (moved, [span for span in old.packed if span[0] >= closes]),
            )
        ]
        return max(losses, key=lambda loss: loss.ratio)

    def _agrees(self, reading: Reading, limit: float) -> bool:
        """Whether the audit before, which was not believed, said the same of what is settled."""
        doubted = self._doubted
        if doubted is None or doubted.month != reading.month:
            return False
        pairs = ((doubted.buckets, reading.buckets), (reading.buckets, doubted.buckets))
        return all(self._loss(old, new, doubted).ratio <= limit for old, new in pairs)

    def _pass_on(self, days_end: int) -> None:
        """What hours owe is owed by their day once that is read as one."""
        for span in [span for span in self.owed if span[1] - span[0] == HOUR and span[0] < days_end]:
            day = self.owed.setdefault(_day(span[0]), {})
            for labels, debt in self.owed.pop(span).items():
                accumulate(day, labels, debt)

    def _move(self, span: Span, labels: Labels, change: Values) -> None:
        """Move counter, debt and corrections by a change of a series in a bucket."""
        if self._of_today is not None and span[0] >= self._today:
            accumulate(self._of_today, labels, change)
        clamped = rise = change if min(change) >= 0 else tuple([max(0, value) for value in change])
        for lender in (span, _day(span[0])) if self.owed else ():
            debt = self.owed[lender].get(labels) if lender in self.owed else None
            if debt is not None and any(rise):
                paid = tuple(map(min, debt, rise))
                self._owe(lender, labels, tuple(map(neg, paid)))
                rise = tuple(map(sub, rise, paid))
        if any(rise):
            accumulate(self.totals, labels, rise)
        if clamped is not change:
            self._owe(span, labels, tuple(map(sub, clamped, change)))

    def _owe(self, span: Span, labels: Labels, more: Values) -> None:
        debts = self.owed.setdefault(span, {})
        accumulate(debts, labels, more)
        if not any(debts[labels]):
            del debts[labels]
        if not debts:
            del self.owed[span]
        self.corrections = list(map(add, self.corrections, more))

    def _store(self, reading: Reading) -> None:
        kept = {span: packed for span, packed in self.buckets.packed.items() if span[0] < reading.start}
        self.buckets = reading.buckets
        self.buckets.packed |= kept
        if reading.today != self._today:
            self._today, self._of_today = reading.today, None
        self.closed_until = reading.closes
        self.complete = True
        if reading.newest is not None:
            self.newest = reading.newest if reading.whole else max(reading.newest, self.newest or 0)


def merged(parts: Iterable[Rows]) -> Rows:
    """The sum of several sets of rows."""
    total: Rows = {}
    for rows in parts:
        for labels, values in rows.items():
            accumulate(total, labels, values)
    return total

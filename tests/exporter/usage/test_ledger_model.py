# SPDX-License-Identifier: Apache-2.0
"""The ledger against a plain sum of the highest figure of each bucket, whatever the API says."""

from collections.abc import Callable

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openai_exporter.usage.ledger import (
    DAY,
    HOUR,
    Labels,
    Ledger,
    PersistedUsage,
    Plan,
    Rows,
    SeriesLimit,
    Values,
    VanishedError,
    accumulate,
    day_start,
    hour_start,
    merged,
    month_start,
)

WIDTH = 2
SETTLE = 6 * HOUR
START = 1793484000 - 9 * HOUR  # 2026-10-31T13:00Z: the month ends within a few steps
LABELS: list[Labels] = [("p1", "m1"), ("p1", "m2"), ("p2", "m1"), ("p3", "m3")]

labels_ = st.sampled_from(LABELS)
hours_ = st.one_of(st.floats(0.1, 3), st.floats(3, 40))
figures_ = st.tuples(st.integers(0, 50), st.integers(0, 1000))


def total(rows: Rows) -> Values:
    return tuple(map(sum, zip(*rows.values(), strict=True))) if rows else (0,) * WIDTH


class World:
    """The API's own figures, by hour, and a clock."""

    def __init__(self) -> None:
        self.now = float(START)
        self.hours: dict[int, Rows] = {}

    def rows(self, start: int, end: float) -> Rows:
        return merged(rows for hour, rows in self.hours.items() if start <= hour < end)

    def month(self) -> Rows:
        return self.rows(month_start(self.now), self.now + 1)

    def says(self, plan: Plan, lie: "Lie") -> list[tuple[int, int, Rows]]:
        """Start, width and rows of the buckets of an answer."""
        hours = range(plan.hours.start, hour_start(self.now) + 1, HOUR)
        days = range(plan.days.start, plan.days.end or 0, DAY) if plan.days else range(0)
        asked = [(hour, HOUR) for hour in hours] + [(day, DAY) for day in days]
        return [answer for start, width in asked for answer in lie(start, width, self.rows(start, start + width))]


Lie = Callable[[int, int, Rows], list[tuple[int, int, Rows]]]
"""From a bucket as it is to what the answer has of it."""


def truth(start: int, width: int, rows: Rows) -> list[tuple[int, int, Rows]]:
    return [(start, width, rows)]


def twice(start: int, width: int, rows: Rows) -> list[tuple[int, int, Rows]]:
    return truth(start, width, rows) * 2


def nothing(start: int, width: int, rows: Rows) -> list[tuple[int, int, Rows]]:
    return truth(start, width, {})


def without(share: int) -> Lie:
    """Some buckets are not there."""
    return lambda start, width, rows: truth(start, width, rows) if start // HOUR % 10 >= share else []


def less(share: int, width: int) -> Lie:
    """Hours, or days, that have not all of it yet."""

    def lie(start: int, wide: int, rows: Rows) -> list[tuple[int, int, Rows]]:
        part = {labels: tuple(value * share // 10 for value in values) for labels, values in rows.items()}
        return truth(start, wide, part if wide == width else rows)

    return lie


def nameless(place: int) -> Lie:
    """One label is null."""

    def lie(start: int, width: int, rows: Rows) -> list[tuple[int, int, Rows]]:
        moved: Rows = {}
        for labels, values in rows.items():
            accumulate(moved, (*labels[:place], "", *labels[place + 1 :]), values)
        return truth(start, width, moved)

    return lie


lies_ = st.one_of(
    st.sampled_from([truth, twice, nothing]),
    st.builds(without, st.integers(1, 10)),
    st.builds(less, st.integers(0, 9), st.sampled_from([HOUR, DAY])),
    st.builds(nameless, st.integers(0, 1)),
)


class Sums:
    """The highest and the last figure that was read, by bucket and series."""

    def __init__(self) -> None:
        self.month = 0
        self.highest: dict[tuple[int, int], Rows] = {}
        self.last: dict[tuple[int, int], Rows] = {}

    def take(self, plan: Plan, answer: list[tuple[int, int, Rows]]) -> None:
        if plan.month != self.month:
            self.__init__()  # type: ignore[misc]
            self.month = plan.month
        for known in (self.highest, self.last):
            for start, width in list(known):
                if plan.days and width == HOUR and start < (plan.days.end or 0):
                    hour = known.pop((start, width))
                    day = (day_start(start), DAY)
                    known[day] = merged((known.get(day, {}), hour))
        said = {(start, width): rows for start, width, rows in answer}
        for bucket in [*said, *(known for known in self.last if known[0] >= plan.start)]:
            self.last[bucket] = said.get(bucket, {})
            highest = self.highest.setdefault(bucket, {})
            for labels, values in self.last[bucket].items():
                highest[labels] = tuple(map(max, highest.get(labels, (0,) * WIDTH), values))

    def today(self, now: float) -> Rows:
        return merged(rows for (start, _), rows in self.last.items() if start >= day_start(now))


def used(rows: Rows) -> Rows:
    return {labels: values for labels, values in rows.items() if any(values)}


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.shown: Rows = {}
        self.exposed: set[Labels] = set()
        self.running = False
        self.restarted = False
        self.the_exporter_restarts()

    @rule(labels=labels_, figures=figures_, ago=st.integers(0, SETTLE - HOUR))
    def usage_arrives_now_or_late(self, labels: Labels, figures: Values, ago: int) -> None:
        rows = self.world.hours.setdefault(hour_start(self.world.now - ago), {})
        accumulate(rows, labels, figures)

    @rule(ago=st.integers(0, SETTLE - HOUR), labels=labels_, other=labels_)
    def usage_moves_to_another_series(self, ago: int, labels: Labels, other: Labels) -> None:
        rows = self.world.hours.get(hour_start(self.world.now - ago), {})
        if labels in rows and labels != other:
            accumulate(rows, other, rows.pop(labels))

    @rule(ago=st.integers(0, SETTLE - HOUR), share=st.integers(0, 9))
    def a_recent_hour_is_revised_downwards(self, ago: int, share: int) -> None:
        rows = self.world.hours.get(hour_start(self.world.now - ago), {})
        for labels, values in rows.items():
            rows[labels] = tuple(value * share // 10 for value in values)

    @rule(days=st.integers(1, 20), share=st.integers(0, 15), labels=labels_)
    def a_final_day_is_revised(self, days: int, share: int, labels: Labels) -> None:
        day = day_start(self.world.now - days * DAY)
        for hour, rows in self.world.hours.items():
            if day <= hour < day + DAY and labels in rows:
                rows[labels] = tuple(value * share // 10 for value in rows[labels])

    @rule(hours=hours_)
    def time_passes(self, hours: float) -> None:
        self.world.now += hours * HOUR

    @rule(seconds=st.floats(0.1, 5))
    def the_clock_steps_back_a_little(self, seconds: float) -> None:
        back = self.world.now - seconds
        if hour_start(back) == hour_start(self.world.now):
            self.world.now = back

    @rule(steps=st.lists(st.tuples(labels_, figures_, hours_, st.booleans(), lies_), min_size=1, max_size=12))
    def usage_and_readings_take_turns(self, steps: list[tuple[Labels, Values, float, bool, Lie]]) -> None:
        for labels, figures, hours, seen, lie in steps:
            self.usage_arrives_now_or_late(labels, figures, 0)
            self.a_reading_succeeds(audit=False, seen=seen, lie=lie)
            self.time_passes(hours)

    @rule(seen=st.booleans(), audit=st.booleans())
    def the_truth_is_read(self, seen: bool, audit: bool) -> None:
        self.a_reading_succeeds(audit=audit, seen=seen, lie=truth)
        if audit:
            sums = tuple(map(int.__sub__, total(self.ledger.totals), self.ledger.corrections))
            assert total(self.world.month()) == sums
            assert used(self.world.month()) == used(self.ledger.reported())

    @rule(audit=st.booleans(), seen=st.booleans(), lie=lies_)
    def a_reading_succeeds(self, audit: bool, seen: bool, lie: Lie) -> None:
        plan = self.ledger.plan(self.world.now, SETTLE, audit=audit)
        reading = self.ledger.begin(plan, self.world.now)
        answer = self.world.says(plan, lie)
        for start, width, rows in answer:
            reading.add(start, rows.items(), width)
        rolled = plan.month != self.ledger.month
        before = dict(self.ledger.totals)
        try:
            self.ledger.commit(reading, seen=seen and not self.restarted)
        except VanishedError:
            assert not answer
            return
        self.exposed |= self.shown.keys() if seen and not self.restarted else set()
        self.sums.take(plan, answer)
        if not rolled:
            assert all(self.ledger.totals[labels] >= before[labels] for labels in before)
        self.check_figures()
        self.check_shown(rolled)
        self.restarted = False

    def check_figures(self) -> None:
        """A counter is the sum of the highest that its buckets were: a fall counts once, and hides nothing else."""
        assert used(merged(self.sums.highest.values())) == used(self.ledger.totals)
        assert used(merged(self.sums.last.values())) == used(self.ledger.reported())
        assert used(self.sums.today(self.world.now)) == used(self.ledger.today())
        owed = total(merged(self.ledger.owed.values()))
        assert list(owed) == self.ledger.corrections
        assert all(value > 0 for debts in self.ledger.owed.values() for debt in debts.values() for value in [max(debt)])

    def check_shown(self, rolled: bool) -> None:
        shown = dict(self.ledger.counters())
        if not self.running:
            assert shown == self.ledger.totals
        elif rolled:
            assert all(not any(values) for values in shown.values())
            self.exposed = set()
        else:
            new = shown.keys() - self.exposed
            assert all(not any(shown[labels]) for labels in new)
            assert all(shown[labels] >= self.shown[labels] for labels in self.shown)
            assert all(shown[labels] == self.ledger.totals[labels] for labels in self.exposed & shown.keys())
        self.exposed |= set() if self.running else shown.keys()
        self.shown, self.running = shown, True

    @rule(audit=st.booleans(), buckets=st.integers(0, 5))
    def a_reading_fails_half_way(self, audit: bool, buckets: int) -> None:
        plan = self.ledger.plan(self.world.now, SETTLE, audit=audit)
        reading = self.ledger.begin(plan, self.world.now)
        for start, width, rows in self.world.says(plan, truth)[:buckets]:
            reading.add(start, rows.items(), width)

    @rule()
    def the_exporter_restarts(self) -> None:
        self.ledger, self.sums = Ledger(WIDTH, SeriesLimit(1000, sum)), Sums()
        self.running, self.shown, self.exposed = False, {}, set()

    @rule()
    def the_exporter_restarts_with_storage(self) -> None:
        old, self.ledger = self.ledger, Ledger(WIDTH, SeriesLimit(1000, sum))
        if old.month:
            corrections, fresh = tuple(old.corrections), frozenset(old.fresh)
            usage = PersistedUsage(
                "x", ("a", "b"), ("c", "d"), old.month, corrections, old.totals, old.reported(), fresh,
                None, old.closed_until, old.buckets.packed, old.owed,
            )  # fmt: skip
            self.ledger.restore(usage)
        self.restarted = True

    @invariant()
    def counters_are_never_negative(self) -> None:
        assert all(value >= 0 for values in self.ledger.totals.values() for value in values)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)

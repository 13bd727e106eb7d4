# SPDX-License-Identifier: Apache-2.0
"""The ledger against a reference sum, whatever the API does between two readings."""

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
    Reading,
    Rows,
    SeriesLimit,
    Values,
    accumulate,
    day_start,
    hour_start,
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
    """The API's own books, by hour, and a clock."""

    def __init__(self) -> None:
        self.now = float(START)
        self.hours: dict[int, Rows] = {}

    def rows(self, start: int, end: float) -> Rows:
        found: Rows = {}
        for hour, rows in self.hours.items():
            if start <= hour < end:
                for labels, values in rows.items():
                    accumulate(found, labels, values)
        return found

    def month(self) -> Rows:
        return self.rows(month_start(self.now), self.now + 1)

    def fill(self, reading: Reading, plan: Plan, failing: Callable[[], bool]) -> bool:
        """Read as the API answers; False when a page fails on the way."""
        hours = range(plan.hours.start, hour_start(self.now) + 1, HOUR)
        days = range(plan.days.start, plan.days.end or 0, DAY) if plan.days else range(0)
        for start, width in [(hour, HOUR) for hour in hours] + [(day, DAY) for day in days]:
            if failing():
                return False
            reading.add(start, self.rows(start, start + width).items())
        return True


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ledger = self.fresh()
        self.shown: Rows = {}
        self.exposed: set[Labels] = set()
        self.running = False
        self.revised = False
        self.restarted = False

    def fresh(self) -> Ledger:
        return Ledger(WIDTH, SeriesLimit(1000, sum))

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
                self.revised = True

    @rule(hours=hours_)
    def time_passes(self, hours: float) -> None:
        self.world.now += hours * HOUR

    @rule(seconds=st.floats(0.1, 5))
    def the_clock_steps_back_a_little(self, seconds: float) -> None:
        back = self.world.now - seconds
        if hour_start(back) == hour_start(self.world.now):
            self.world.now = back

    @rule(steps=st.lists(st.tuples(labels_, figures_, hours_, st.booleans()), min_size=1, max_size=12))
    def usage_and_readings_take_turns(self, steps: list[tuple[Labels, Values, float, bool]]) -> None:
        for labels, figures, hours, seen in steps:
            self.usage_arrives_now_or_late(labels, figures, 0)
            self.a_reading_succeeds(audit=False, seen=seen)
            self.time_passes(hours)

    @rule(audit=st.booleans(), seen=st.booleans())
    def a_reading_succeeds(self, audit: bool, seen: bool) -> None:
        plan = self.ledger.plan(self.world.now, SETTLE, audit=audit)
        reading = self.ledger.begin(plan, self.world.now)
        assert self.world.fill(reading, plan, lambda: False)
        rolled = plan.month != self.ledger.month
        self.exposed |= self.shown.keys() if seen and not self.restarted else set()
        before, corrected = dict(self.ledger.totals), list(self.ledger.corrections)
        self.ledger.commit(reading, seen=seen and not self.restarted)
        if plan.start == plan.month:
            self.revised = False
        if not rolled:
            assert all(self.ledger.totals[labels] >= before[labels] for labels in before)
            assert all(map(int.__ge__, self.ledger.corrections, corrected))
        self.check_books()
        self.check_shown(rolled)
        self.restarted = False

    def check_books(self) -> None:
        counters, corrections = total(self.ledger.totals), self.ledger.corrections
        if not self.revised:
            books = tuple(map(int.__sub__, counters, corrections))
            assert total(self.world.month()) == books
            assert {k: v for k, v in self.world.month().items() if any(v)} == {
                k: v for k, v in self.ledger.reported().items() if any(v)
            }
            today = self.world.rows(day_start(self.world.now), self.world.now + 1)
            assert total(today) == total(self.ledger.today())

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

    @rule(audit=st.booleans(), pages=st.integers(0, 5))
    def a_reading_fails_half_way(self, audit: bool, pages: int) -> None:
        plan = self.ledger.plan(self.world.now, SETTLE, audit=audit)
        reading = self.ledger.begin(plan, self.world.now)
        left = iter(range(pages))
        self.world.fill(reading, plan, lambda: next(left, None) is None)

    @rule()
    def the_exporter_restarts(self) -> None:
        self.ledger, self.running, self.shown, self.exposed = self.fresh(), False, {}, set()

    @rule()
    def the_exporter_restarts_with_storage(self) -> None:
        old, self.ledger = self.ledger, self.fresh()
        if old.month:
            corrections, fresh = tuple(old.corrections), frozenset(old.fresh)
            usage = PersistedUsage(
                "x", ("a", "b"), ("c", "d"), old.month, corrections, old.totals, old.reported(), fresh
            )
            self.ledger.restore(usage)
        self.restarted = True

    @invariant()
    def counters_are_never_negative(self) -> None:
        assert all(value >= 0 for values in self.ledger.totals.values() for value in values)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)

# SPDX-License-Identifier: Apache-2.0
"""Which buckets are read when."""

from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from openai_exporter.usage.window import (
    DAY,
    HOUR,
    Plan,
    day_start,
    hour_start,
    month_start,
    next_month_start,
    previous_month_start,
    since,
    whole_month,
)

SETTLE = 6 * HOUR


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


MONTHS = [
    ("2026-11-21T09:30:00", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-11-01T00:00:00", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-11-30T23:59:59", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-12-31T12:00:00", "2026-11-01", "2026-12-01", "2027-01-01"),
    ("2027-01-31T12:00:00", "2026-12-01", "2027-01-01", "2027-02-01"),
    ("2028-02-29T12:00:00", "2028-01-01", "2028-02-01", "2028-03-01"),
    ("2028-03-01T00:00:00", "2028-02-01", "2028-03-01", "2028-04-01"),
]


@pytest.mark.parametrize(("now", "before", "this", "after"), MONTHS, ids=[row[0] for row in MONTHS])
def test_months_are_those_of_the_calendar(now: str, before: str, this: str, after: str) -> None:
    found = (previous_month_start(at(now)), month_start(at(now)), next_month_start(at(now)))
    assert (at(before), at(this), at(after)) == found


WHOLE = [
    # now, first hour that is read by the hour, days that are read by the day, first hour that may change
    ("2026-11-21T09:30:00", "2026-11-21", 20, "2026-11-21T03:00"),
    ("2026-11-21T05:59:59", "2026-11-20", 19, "2026-11-20T23:00"),
    ("2026-11-21T06:00:00", "2026-11-21", 20, "2026-11-21T00:00"),
    ("2026-11-01T00:00:00", "2026-11-01", 0, "2026-11-01T00:00"),
    ("2026-11-01T05:00:00", "2026-11-01", 0, "2026-11-01T00:00"),
    ("2026-11-01T09:00:00", "2026-11-01", 0, "2026-11-01T03:00"),
    ("2026-11-02T09:00:00", "2026-11-02", 1, "2026-11-02T03:00"),
    ("2026-10-31T23:59:59", "2026-10-31", 30, "2026-10-31T17:00"),
]


@pytest.mark.parametrize(("now", "hours", "days", "closes"), WHOLE, ids=[row[0] for row in WHOLE])
def test_a_month_is_read_by_days_that_are_final_and_by_hours(now: str, hours: str, days: int, closes: str) -> None:
    plan = whole_month(at(now), SETTLE)
    assert plan.start == plan.month == month_start(at(now))
    assert at(hours) == plan.hours.start
    assert plan.hours.end is None
    assert at(closes) == plan.closes
    read = 0 if plan.days is None else ((plan.days.end or 0) - plan.days.start) // DAY
    assert days == read


def test_the_next_reading_begins_where_figures_were_not_final() -> None:
    closed, now = at("2026-11-21T03:00:00"), at("2026-11-21T10:10:00")
    plan = since(closed, now, SETTLE)
    assert (closed, closed, at("2026-11-21T04:00")) == (plan.start, plan.hours.start, plan.closes)
    assert plan.days is None


def test_an_outage_is_read_again_from_its_beginning() -> None:
    closed, now = at("2026-11-19T03:00:00"), at("2026-11-21T10:10:00")
    plan = since(closed, now, SETTLE)
    assert (closed, at("2026-11-21T04:00")) == (plan.start, plan.closes)


@given(now=st.integers(1_600_000_000, 2_500_000_000), settle=st.integers(1, 20 * DAY))
def test_a_plan_covers_the_month_once_and_without_a_gap(now: int, settle: int) -> None:
    plan: Plan = whole_month(now, settle)
    assert plan.month <= plan.hours.start <= plan.closes <= max(plan.month, now)
    assert plan.closes % HOUR == 0
    assert plan.hours.start % DAY == 0
    if plan.days is None:
        assert plan.hours.start == plan.month
    else:
        assert (plan.month, plan.hours.start) == (plan.days.start, plan.days.end)
        assert plan.hours.start <= now - settle


@given(now=st.floats(0, 4e9))
def test_hours_and_days_begin_at_or_before_now(now: float) -> None:
    assert 0 <= now - hour_start(now) < HOUR
    assert 0 <= now - day_start(now) < DAY

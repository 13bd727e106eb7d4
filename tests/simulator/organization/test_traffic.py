# SPDX-License-Identifier: Apache-2.0
"""The rising function behind all seeded usage, and sizes of requests: sums over ranges and over classes of rows."""

import pytest
from hypothesis import given, strategies as st

from openai_simulator.organization.operations import COMPLETION_PARTS
from openai_simulator.organization.seed import DAY, FOUNDED
from openai_simulator.organization.traffic import ALL_ROWS, PATTERNS, PERIOD, SHAPES, ActivityPattern, size_table

LATEST = FOUNDED + 5 * 365 * DAY
MOMENTS = st.floats(FOUNDED - DAY, LATEST)
ACTIVITY = {name: ActivityPattern(3, name, 0) for name in PATTERNS}


@given(name=st.sampled_from(sorted(PATTERNS)), first=MOMENTS, second=MOMENTS)
def test_activity_never_falls(name: str, first: float, second: float) -> None:
    early, late = sorted((first, second))
    assert ACTIVITY[name].at(early) <= ACTIVITY[name].at(late)


@given(name=st.sampled_from(sorted(PATTERNS)), hour=st.integers(0, 5 * 365 * 24))
def test_the_end_of_an_hour_is_the_start_of_the_next(name: str, hour: int) -> None:
    end = FOUNDED + hour * 3600
    activity = ACTIVITY[name]
    assert activity.at(end - 0.001) == pytest.approx(activity.at(end), abs=1e-5)
    assert activity.at(end - 0.001) <= activity.at(end)


def test_nothing_happens_before_the_founding() -> None:
    assert ACTIVITY["steady"].at(FOUNDED - 1) == 0


def test_the_past_does_not_depend_on_what_was_asked_before() -> None:
    moment = FOUNDED + 400 * DAY + 12_345.6
    asked = ActivityPattern(3, "office", 1)
    asked.at(LATEST)
    assert ActivityPattern(3, "office", 1).at(moment) == asked.at(moment)


def test_office_days_are_busy_and_its_nights_and_weekends_are_not() -> None:
    monday = FOUNDED + 1000 * DAY - (1000 + 6) % 7 * DAY
    activity = ACTIVITY["office"]
    noon, night = (activity.at(monday + h * 3600 + 3600) - activity.at(monday + h * 3600) for h in (11, 3))
    week = [activity.at(monday + day * DAY + DAY) - activity.at(monday + day * DAY) for day in range(7)]
    assert noon > 10 * night
    assert min(week[:5]) > max(week[5:])


def test_activity_grows_over_the_years() -> None:
    activity = ACTIVITY["steady"]
    first, fourth = (activity.at(FOUNDED + n * 365 * DAY) for n in (1, 4))
    third = activity.at(FOUNDED + 3 * 365 * DAY)
    assert fourth - third > 1.5 * first


TABLE = size_table(5, "agent", COMPLETION_PARTS, SHAPES["agent"], 0)
NUMBERS = st.integers(0, 10_000)
MASKS = st.integers(0, ALL_ROWS)


@given(numbers=st.lists(NUMBERS, min_size=3, max_size=3), mask=MASKS)
def test_parts_of_a_range_add_up_to_the_whole(numbers: list[int], mask: int) -> None:
    first, middle, last = sorted(numbers)
    halves = (TABLE.between(first, middle, mask), TABLE.between(middle, last, mask))
    assert TABLE.between(first, last, mask) == [a + b for a, b in zip(*halves, strict=True)]


@given(first=NUMBERS, count=st.integers(0, 300), mask=MASKS)
def test_rows_in_and_outside_of_a_mask_add_up_to_all(first: int, count: int, mask: int) -> None:
    inside = TABLE.between(first, first + count, mask)
    outside = TABLE.between(first, first + count, ALL_ROWS & ~mask)
    assert TABLE.between(first, first + count) == [a + b for a, b in zip(inside, outside, strict=True)]


@given(first=NUMBERS, count=st.integers(0, 300))
def test_a_range_is_the_sum_of_its_requests(first: int, count: int) -> None:
    single = [TABLE.between(number, number + 1) for number in range(first, first + count)]
    expected = [sum(column) for column in zip(*single, strict=True)] if single else [0] * len(COMPLETION_PARTS)
    assert expected == TABLE.between(first, first + count)


def test_every_request_counts_one_and_has_some_text() -> None:
    for number in range(PERIOD):
        requests, text, *_ = TABLE.between(number, number + 1)
        assert requests == 1
        assert text >= 1


def test_the_same_seed_makes_the_same_table() -> None:
    again = size_table(5, "agent", COMPLETION_PARTS, SHAPES["agent"], 0)
    other = size_table(6, "agent", COMPLETION_PARTS, SHAPES["agent"], 0)
    assert again.between(0, PERIOD) == TABLE.between(0, PERIOD)
    assert other.between(0, PERIOD) != TABLE.between(0, PERIOD)

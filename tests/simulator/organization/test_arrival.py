# SPDX-License-Identifier: Apache-2.0
"""Sizes of requests: sums over ranges and over classes of rows."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_simulator.organization.arrival import ALL_ROWS, PERIOD, Lateness, View, size_table, truth
from openai_simulator.organization.operations import COMPLETION_PARTS
from openai_simulator.organization.streams import AGENT

# When figures become visible.

NOW = 1795251600.0
USAGE = Lateness.of_usage(600)
COSTS = Lateness.of_costs(600)


def seen(view: View, start: float, end: float) -> float:
    """Share of [start, end) that is seen."""
    total = sum(mask.bit_count() * (high - low) for mask, low, high in view.ranges(start, end))
    return total / (PERIOD * (end - start))


def moments(ranges: Iterable[tuple[int, float, float]]) -> list[float]:
    return [moment for _, low, high in ranges for moment in (low, high)]


@pytest.mark.parametrize(
    ("lateness", "age", "least", "most"),
    [
        (USAGE, 60, 0.0, 0.0),
        (USAGE, 300, 0.3, 0.9),
        (USAGE, 700, 0.9, 0.99),
        (USAGE, 2 * 3600, 0.95, 0.999),
        (USAGE, 4 * 3600 + 120, 1.0, 1.0),
        (COSTS, 1800, 0.0, 0.0),
        (COSTS, 3 * 3600, 0.3, 0.9),
        (COSTS, 24 * 3600, 0.9, 0.999),
        (COSTS, 44 * 3600 + 120, 1.0, 1.0),
    ],
    ids=lambda value: None if isinstance(value, Lateness) else str(value),
)
def test_a_minute_fills_with_its_age(lateness: Lateness, age: float, least: float, most: float) -> None:
    assert least <= seen(lateness.view(NOW), NOW - age, NOW - age + 60) <= most


@given(start=st.integers(0, 40_000), width=st.integers(1, 90_000), later=st.integers(0, 90_000))
def test_what_was_seen_stays_seen(start: int, width: int, later: int) -> None:
    begin, end = NOW - start, NOW - start + width
    assert seen(USAGE.view(NOW), begin, end) <= seen(USAGE.view(NOW + later), begin, end)


@given(start=st.integers(0, 40_000), width=st.integers(1, 90_000))
def test_ranges_are_in_order_and_do_not_overlap(start: int, width: int) -> None:
    edges = moments(USAGE.view(NOW, 0.5).ranges(NOW - start, NOW - start + width))
    assert edges == sorted(edges)


def test_nothing_of_the_future_is_seen() -> None:
    assert list(USAGE.view(NOW).ranges(NOW, NOW + 60)) == []
    assert list(truth(NOW).ranges(NOW, NOW + 60)) == []


def test_the_truth_is_all_of_the_past() -> None:
    assert list(truth(NOW).ranges(NOW - 60, NOW + 60)) == [(ALL_ROWS, NOW - 60, NOW)]


def test_without_lateness_everything_is_seen_at_once() -> None:
    assert seen(Lateness.of_usage(0).view(NOW), NOW - 60, NOW) == 1


def test_a_downward_revision_takes_its_share_of_closed_hours_only() -> None:
    view = Lateness.of_usage(0).view(NOW + 1800, 0.75)
    assert seen(view, NOW - 7200, NOW) == 0.75
    assert seen(view, NOW, NOW + 1800) == 1


def test_views_within_one_step_are_the_same() -> None:
    assert USAGE.view(NOW + 1).stamp == USAGE.view(NOW + 9).stamp
    assert USAGE.view(NOW + 1).stamp != USAGE.view(NOW + 11).stamp


# Sizes of requests: sums over ranges and over classes of rows.

TABLE = size_table(5, "agent", COMPLETION_PARTS, AGENT, 0)
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
    expected = (
        [sum(column) for column in zip(*single, strict=True)] if single else [0] * len(COMPLETION_PARTS)
    )
    assert expected == TABLE.between(first, first + count)


def test_every_request_counts_one_and_has_some_text() -> None:
    for number in range(PERIOD):
        requests, text, *_ = TABLE.between(number, number + 1)
        assert requests == 1
        assert text >= 1


def test_the_same_seed_makes_the_same_table() -> None:
    again = size_table(5, "agent", COMPLETION_PARTS, AGENT, 0)
    other = size_table(6, "agent", COMPLETION_PARTS, AGENT, 0)
    assert again.between(0, PERIOD) == TABLE.between(0, PERIOD)
    assert other.between(0, PERIOD) != TABLE.between(0, PERIOD)

# SPDX-License-Identifier: Apache-2.0
"""Sizes of requests: sums over ranges and over classes of rows."""

from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.simulator.organization.operations import COMPLETION_PARTS
from openai_exporter.simulator.organization.purposes import AGENT
from openai_exporter.simulator.organization.sizetable import ALL_ROWS, PERIOD, size_table

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

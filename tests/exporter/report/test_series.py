# SPDX-License-Identifier: Apache-2.0
"""The times of samples, and counters over buckets that take something back."""

from itertools import accumulate

from hypothesis import given, strategies as st

from openai_exporter.report.series import Grid, course

CHANGES = st.lists(st.integers(-50, 100), min_size=1, max_size=30)


@given(CHANGES)
def test_a_counter_never_falls_and_ends_with_the_true_sum(changes: list[int]) -> None:
    found = course(dict(enumerate(changes)))

    assert all(rise >= 0 for rise in found.rises.values())
    taken = found.taken[1] if found.taken else 0
    assert sum(changes) == sum(found.rises.values()) - taken
    assert taken >= 0


@given(CHANGES)
def test_a_counter_is_never_more_than_what_was_used(changes: list[int]) -> None:
    found = course(dict(enumerate(changes)))

    for used, counted in zip(accumulate(changes), accumulate(found.rises.values()), strict=True):
        assert counted <= max(0, used)


def test_what_is_taken_back_is_left_out_where_it_was_counted() -> None:
    assert {1: 4, 2: 0, 3: 3} == course({1: 10, 2: -6, 3: 3}).rises
    assert (2, 1) == course({1: 5, 2: -6}).taken


@given(
    st.integers(0, 500),
    st.integers(1, 3000),
    st.sampled_from([1, 7, 60, 300]),
    st.integers(1, 400),
    st.none() | st.integers(0, 4000),
)
def test_buckets_side_by_side_give_each_time_once(
    start: int, length: int, step: int, width: int, also: int | None
) -> None:
    grid = Grid(start, start + length, step, also)
    edges = range(0, start + length + width, width)
    found = [moment for low in edges for moment in grid.times(low + 1, low + width)]
    during = [moment for low in edges for moment in grid.times(low, low + width - 1)]

    expected = sorted({*(at for at in range(0, grid.end + 1, step) if at >= start), grid.end})
    if also is not None and start <= also <= grid.end:
        expected = sorted({*expected, also})
    assert [at for at in expected if at > 0] == found
    assert expected == during


def test_the_end_is_a_time_of_its_own() -> None:
    grid = Grid(0, 5400, 3600)

    assert [3600, 5400] == grid.times(1, 7200)
    assert [] == grid.times(7201, 9000)

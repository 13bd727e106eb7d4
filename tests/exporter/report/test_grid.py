# SPDX-License-Identifier: Apache-2.0
"""The times of samples."""

from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.report.backfill.families import Grid


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
    found = [moment for low in edges for moment in grid.after(low, low + width)]
    during = [moment for low in edges for moment in grid.from_on(low, low + width)]

    expected = sorted({*(at for at in range(0, grid.end + 1, step) if at >= start), grid.end})
    if also is not None and start <= also <= grid.end:
        expected = sorted({*expected, also})
    assert [at for at in expected if at > 0] == found
    assert expected == during


def test_the_end_is_a_time_of_its_own() -> None:
    grid = Grid(0, 5400, 3600)

    assert [3600, 5400] == list(grid.after(0, 7200))
    assert [] == list(grid.after(7200, 9000))

# SPDX-License-Identifier: Apache-2.0
"""Counters over buckets that take something back."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.report.backfill.run import course

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

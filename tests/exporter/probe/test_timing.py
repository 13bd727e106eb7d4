# SPDX-License-Identifier: Apache-2.0
"""Timing of a stream from the arrival of its events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.model import StreamTiming, Tokens
from openai_exporter.probe.timing import stream_timing


def test_without_a_visible_token_there_is_only_the_first_event() -> None:
    assert StreamTiming(first_event=0.2) == stream_timing(0.2, [], Tokens(output=5, reasoning=5))


def test_one_token_has_no_gaps() -> None:
    assert StreamTiming(0.2, 0.5, arrivals=1) == stream_timing(0.2, [0.5], None)


def test_gaps_and_rate() -> None:
    found = stream_timing(0.2, [0.5, 0.6, 0.9], Tokens(output=41, reasoning=20))
    assert (0.2, 0.5) == (found.first_event, found.first_token)
    assert found.gaps_mean == pytest.approx(0.2)
    assert found.gaps_max == pytest.approx(0.3)
    assert found.tokens_per_second == pytest.approx(20 / 0.4)


def test_without_usage_each_event_counts_as_a_token() -> None:
    assert stream_timing(0.0, [1.0, 2.0, 3.0], None).tokens_per_second == pytest.approx(1.0)


def test_tokens_that_arrived_at_once_have_no_gaps_and_no_rate() -> None:
    found = stream_timing(0.0, [1.0, 1.0, 1.0], Tokens(output=3))
    assert StreamTiming(0.0, 1.0, arrivals=1) == found


def test_tokens_that_came_together_share_the_gap_before_them() -> None:
    found = stream_timing(0.0, [1.0, 1.0, 1.5, 1.5, 1.5], Tokens(output=5))
    assert found.gaps_mean == pytest.approx(0.5 / 4)
    assert found.gaps_max == pytest.approx(0.5)
    assert found.arrivals == 2
    assert found.tokens_per_second == pytest.approx(4 / 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.integers(0, 100))
def test_the_longest_gap_is_no_shorter_than_the_mean_and_no_longer_than_all(
    times: list[float], output: int
) -> None:
    found = stream_timing(times[0], times, Tokens(output=output))
    assert found.arrivals == len(set(times))
    if found.gaps_mean is None or found.gaps_max is None:
        assert found == StreamTiming(times[0], times[0], arrivals=1)
        return
    assert 0 <= found.gaps_mean <= found.gaps_max + 1e-9 <= times[-1] - times[0] + 2e-9
    assert found.tokens_per_second is None or found.tokens_per_second > 0

# SPDX-License-Identifier: Apache-2.0
"""When a probe leaves the API alone, and for how long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.model import RateLimit
from openai_exporter.probe.backoff import LIMIT_BASE, QUOTA_CAP, RETRY_AFTER_CAP, wait_after
from openai_exporter.probe.outcomes import OUTCOMES, BackOff

from .results import result


def longest(low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("strikes", "expected"), [(0, 5.0), (1, 10.0), (2, 20.0), (5, 160.0), (6, 300.0), (99, 300.0)]
)
def test_a_rate_limit_waits_twice_as_long_each_time_up_to_its_cap(strikes: int, expected: float) -> None:
    assert expected == wait_after(result(outcome="rate_limited"), strikes, longest)


@pytest.mark.parametrize(("strikes", "expected"), [(0, 60.0), (1, 120.0), (6, 3600.0), (99, 3600.0)])
def test_a_used_up_quota_waits_longer(strikes: int, expected: float) -> None:
    assert expected == wait_after(result(outcome="quota_exhausted", retry_after=1.0), strikes, longest)


def test_what_the_api_asks_for_goes_first_but_not_over_the_cap() -> None:
    assert wait_after(result(outcome="rate_limited_tokens", retry_after=7.0), 3, longest) == 7.0
    assert wait_after(result(outcome="slow_down", retry_after=86_400.0), 0, longest) == RETRY_AFTER_CAP


@pytest.mark.parametrize("outcome", [name for name, fact in OUTCOMES.items() if fact.backoff is BackOff.NONE])
def test_other_outcomes_cause_no_wait(outcome: str) -> None:
    assert wait_after(result(outcome=outcome, retry_after=30.0), 3, longest) == 0.0


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (RateLimit("requests", 100, 1, 12.0), 12.0),
        (RateLimit("requests", 100, 0, 3600.0), 60.0),
        (RateLimit("tokens", 100_000, 1_999, 12.0), 12.0),
        (RateLimit("tokens", 100_000, 2_000, 12.0), 0.0),
        (RateLimit("requests", 100, 0, None), 5.0),
        (RateLimit("requests", 100, 1, None), 0.0),
        (RateLimit("requests", 100, 0, 0.0), 0.0),
        (RateLimit("requests", None, 0, 12.0), 12.0),
        (RateLimit("requests", None, 0, 86_400.0), 60.0),
        (RateLimit("requests", None, 0, None), 5.0),
        (RateLimit("requests", None, 1, 12.0), 0.0),
        (RateLimit("requests", 0, 0, 12.0), 12.0),
        (RateLimit("requests", 100, None, 12.0), 0.0),
    ],
)
def test_a_limit_that_is_nearly_reached_is_left_to_others(limit: RateLimit, expected: float) -> None:
    assert expected == wait_after(result(rate_limits=(limit,)), 0, longest)


@given(
    st.sampled_from(sorted(OUTCOMES)),
    st.integers(0, 10_000),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1),
)
def test_no_wait_is_negative_or_over_the_longest_cap(
    outcome: str, strikes: int, retry_after: float | None, share: float
) -> None:
    def draw(low: float, high: float) -> float:
        return low + share * (high - low)

    more: dict[str, Any] = {"outcome": outcome, "retry_after": retry_after}
    assert 0.0 <= wait_after(result(**more), strikes, draw) <= QUOTA_CAP


def test_a_retry_after_of_zero_is_no_promise() -> None:
    assert wait_after(result(outcome="rate_limited", retry_after=0.0), 2, longest) == LIMIT_BASE * 4

# SPDX-License-Identifier: Apache-2.0
"""What is remembered of probes: waits, recent results, and spend per module and UTC day."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from openai_exporter.model import ModelCard, ProbeAnswer, RateLimit
from openai_exporter.probe.judge import OUTCOMES, BackOff
from openai_exporter.probe.state import DAY, LIMIT_BASE, QUOTA_CAP, RETRY_AFTER_CAP, History, Spend, wait_after, weight
from tests.exporter.probe.results import result

# The ring of results, and the second one for failures.

GOOD = ProbeAnswer(result())
BAD = ProbeAnswer(result("server_error"))


def numbers(history: History) -> list[int]:
    return [entry.id for entry in history.recent()]


def test_the_newest_come_first_and_the_oldest_go() -> None:
    history = History(3)
    for _ in range(5):
        history.add(GOOD)
    assert numbers(history) == [5, 4, 3]
    assert history.get(2) is None


def test_failures_that_left_the_ring_are_kept_in_their_own() -> None:
    history = History(2)
    for answer in (BAD, BAD, BAD, GOOD, GOOD):
        history.add(answer)
    assert numbers(history) == [5, 4, 3, 2]
    found = history.get(3)
    assert found is not None
    assert found.answer is BAD


def test_resizing_keeps_the_newest() -> None:
    history = History(4)
    for answer in (BAD, GOOD, BAD, GOOD):
        history.add(answer)
    history.resize(2)
    assert numbers(history) == [4, 3, 1]
    history.resize(3)
    history.add(GOOD)
    assert numbers(history) == [5, 4, 3, 1]


def test_large_results_are_kept_up_to_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = ProbeAnswer(replace(result("server_error"), reply="x" * 5000))
    monkeypatch.setattr("openai_exporter.probe.state.MAX_BYTES", 3 * weight(large.result))
    history = History(100)
    for _ in range(10):
        history.add(large)
    assert numbers(history) == [10, 9, 8, 7, 6, 5], "three recent ones, and three failures kept longer"
    history.add(GOOD)
    assert numbers(history) == [11, 10, 9, 8, 7, 6]


def test_the_newest_result_is_kept_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai_exporter.probe.state.MAX_BYTES", 1)
    history = History(100)
    for _ in range(3):
        history.add(GOOD)
    assert numbers(history) == [3]


def test_what_a_result_weighs_grows_with_all_that_a_server_can_make_long() -> None:
    bare = weight(result())
    card = ModelCard("m", "openai", 0, None)
    for more in ({"reply": "x" * 1000}, {"request": "x" * 1000}, {"log": ("x" * 1000,)}, {"models": (card,) * 4}):
        assert weight(replace(result(), **more)) >= bare + 1000


# Spend per module and UTC day.


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_spend_adds_up_per_module_and_starts_over_at_midnight_utc() -> None:
    clock = Clock(20_000 * DAY + DAY - 1)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    spend.add("other", Decimal(5))
    assert spend.today()[1] == {"chat": Decimal("0.3"), "other": Decimal(5)}
    clock.now += 1
    assert spend.today()[1] == {}


def test_a_restart_goes_on_from_the_same_day_only() -> None:
    clock = Clock(20_000 * DAY)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.25"))
    day, sums = spend.today()
    restarted = Spend(clock)
    restarted.restore(day, sums)
    assert restarted.today()[1] == {"chat": Decimal("0.25")}
    clock.now += DAY
    tomorrow = Spend(clock)
    tomorrow.restore(day, sums)
    assert tomorrow.today()[1] == {}


def test_a_limit_is_reached_when_it_is_met_exactly() -> None:
    spend = Spend(Clock(0))
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    assert not spend.allows("chat", 0.3, None)
    assert spend.allows("chat", 0.31, None)
    assert spend.allows("chat", None, Decimal(5))
    assert spend.allows("other", 0.3, None)
    assert not spend.allows("other", 0.0, None)


def test_a_call_fits_that_leaves_a_limit_whole_with_those_in_flight() -> None:
    spend = Spend(Clock(0))
    assert spend.allows("chat", 0.3, Decimal(5)), "the first of a day shows what a call really costs"
    spend.add("chat", Decimal("0.1"))
    assert spend.allows("chat", 0.3, Decimal("0.2"))
    spend.reserved["chat"] += Decimal("0.1")
    assert not spend.allows("chat", 0.3, Decimal("0.2"))
    assert spend.allows("chat", 0.3, Decimal("0.1"))


# When a probe leaves the API alone, and for how long.


def longest(low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(("strikes", "expected"), [(0, 5.0), (1, 10.0), (2, 20.0), (5, 160.0), (6, 300.0), (99, 300.0)])
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


@given(st.sampled_from(sorted(OUTCOMES)), st.integers(0, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_no_wait_is_negative_or_over_the_longest_cap(
    outcome: str, strikes: int, retry_after: float | None, share: float
) -> None:
    def draw(low: float, high: float) -> float:
        return low + share * (high - low)

    more: dict[str, Any] = {"outcome": outcome, "retry_after": retry_after}
    assert 0.0 <= wait_after(result(**more), strikes, draw) <= QUOTA_CAP


def test_a_retry_after_of_zero_is_no_promise() -> None:
    assert wait_after(result(outcome="rate_limited", retry_after=0.0), 2, longest) == LIMIT_BASE * 4

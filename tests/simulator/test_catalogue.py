# SPDX-License-Identifier: Apache-2.0
"""The simulated clock, the models and when they exist, and rate limits."""

import time

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, strategies as st

from openai_simulator.catalogue import (
    MODELS,
    Bucket,
    Catalogue,
    RateLimits,
    SimClock,
    azure_headers,
    go_duration,
    openai_headers,
    parse_time,
)
from openai_simulator.errors import ApiError
from tests.simulator.conformance import Facts

# The models: what exists when, and that each one has a price.


def catalogue(moment: str) -> Catalogue:
    return Catalogue(SimClock(parse_time(moment), 0))


def test_each_model_conforms_and_is_known_to_the_price_list(facts: Facts) -> None:
    for model in MODELS.values():
        assert facts.check("model", model.described()) == [], model.id
        usage = Usage(input_tokens=1_000, output_tokens=100)
        price = calc_price(usage, model.snapshot, provider_id="openai")
        assert price.total_price > 0 or model.kind not in ("chat", "embedding"), model.id


def test_each_snapshot_is_a_model_itself_with_the_same_end() -> None:
    for model in MODELS.values():
        snapshot = MODELS[model.snapshot]
        expected = (model.snapshot, model.shutdown_date)
        assert (snapshot.snapshot, snapshot.shutdown_date) == expected, model.id


def test_a_model_is_gone_from_its_shutdown_date() -> None:
    assert catalogue("2026-12-10T23:59:59Z").exists("gpt-5-mini")
    assert not catalogue("2026-12-11T00:00:00Z").exists("gpt-5-mini")
    with pytest.raises(ApiError) as caught:
        catalogue("2026-12-11").find("gpt-5-mini-2025-08-07")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_the_list_holds_what_exists_and_nothing_else() -> None:
    listed = {model.id for model in catalogue("2027-02-01").listed()}
    assert {"gpt-6-luna", "gpt-5.4-nano", "omni-moderation-latest"} <= listed
    assert not {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-5", "tts-1", "o3"} & listed


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ApiError, match="`text-embedding-3-small` is not a chat model") as caught:
        catalogue("2026-11-21").of_kind("text-embedding-3-small", "chat", "/v1/chat/completions")
    assert caught.value.status == 404


# The simulated clock against a real one that the test moves.


class Real:
    """A monotonic clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def real() -> Real:
    return Real()


def test_time_passes_at_the_chosen_speed(real: Real) -> None:
    clock = SimClock(1_000.0, 60.0, real)
    real.now += 2
    assert clock.now() == 1_120.0


def test_a_jump_keeps_the_speed(real: Real) -> None:
    clock = SimClock(1_000.0, 2.0, real)
    clock.set(5_000)
    clock.advance(-100)
    real.now += 1
    assert clock.now() == 4_902.0


def test_a_new_speed_does_not_move_the_present(real: Real) -> None:
    clock = SimClock(1_000.0, 10.0, real)
    real.now += 5
    clock.speed = 0
    real.now += 5
    assert (clock.now(), clock.speed) == (1_050.0, 0.0)


def test_without_a_start_it_is_now() -> None:
    assert SimClock().now() == pytest.approx(time.time(), abs=1)


@pytest.mark.parametrize("speed", [-1.0, float("inf"), float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(real: Real, speed: float) -> None:
    clock = SimClock(0, 1, real)
    with pytest.raises(ValueError, match="speed must be a finite number of at least 0"):
        clock.speed = speed
    with pytest.raises(ValueError, match="speed must be"):
        SimClock(0, speed, real)


# Token buckets with a clock in the test's hand, and Go durations.

MODEL = MODELS["gpt-4o-mini"]


DURATIONS = {
    0: "0s",
    0.0004: "0s",
    0.012: "12ms",
    0.905: "905ms",
    1: "1s",
    8.64: "8.64s",
    10: "10s",
    90: "1m30s",
    360: "6m0s",
    16215: "4h30m15s",
    86256.648: "23h57m36.648s",
    3600: "1h0m0s",
}


def test_durations_look_like_those_of_go() -> None:
    assert {seconds: go_duration(seconds) for seconds in DURATIONS} == DURATIONS


def test_a_request_is_counted_in_all_three_buckets() -> None:
    limits = RateLimits(Real())
    limits.limit(MODEL.id, 500, 10_000)
    headers = dict(openai_headers(limits.take("key", MODEL, 250)))
    assert headers == {
        b"x-ratelimit-limit-requests": b"500",
        b"x-ratelimit-remaining-requests": b"499",
        b"x-ratelimit-reset-requests": b"120ms",
        b"x-ratelimit-limit-tokens": b"10000",
        b"x-ratelimit-remaining-tokens": b"9750",
        b"x-ratelimit-reset-tokens": b"1.5s",
        b"x-ratelimit-limit-project-tokens": b"8000",
        b"x-ratelimit-remaining-project-tokens": b"7750",
        b"x-ratelimit-reset-project-tokens": b"1.875s",
    }


def test_azure_counts_in_whole_seconds_and_knows_no_project() -> None:
    limits = RateLimits(Real())
    limits.limit(MODEL.id, 60, 10_000)
    headers = dict(azure_headers(limits.take("key", MODEL, 250)))
    assert headers[b"x-ratelimit-reset-requests"] == b"1"
    assert headers[b"x-ratelimit-reset-tokens"] == b"2"
    assert len(headers) == 6


def test_exceeding_requests_is_refused_until_the_bucket_refills() -> None:
    real = Real()
    limits = RateLimits(real)
    limits.limit(MODEL.id, 2, 10_000)
    limits.take("key", MODEL, 1)
    limits.take("key", MODEL, 1)
    with pytest.raises(ApiError) as caught:
        limits.take("key", MODEL, 1)
    assert (caught.value.status, caught.value.type) == (429, "requests")
    assert (caught.value.code, caught.value.headers) == ("rate_limit_exceeded", {"retry-after": "30"})
    limits.take("another key", MODEL, 1)
    real.now += 30
    assert limits.take("key", MODEL, 1).requests.remaining == 0


def test_exceeding_tokens_is_refused_and_still_counts_as_a_request() -> None:
    limits = RateLimits(Real())
    limits.limit(MODEL.id, 100, 1_000)
    with pytest.raises(ApiError) as caught:
        limits.take("key", MODEL, 1_001)
    assert (caught.value.type, caught.value.code) == ("tokens", "rate_limit_exceeded")
    assert limits.buckets("key", MODEL).requests.remaining == 99
    assert limits.buckets("key", MODEL).tokens.remaining == 1_000


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=40), st.integers(1, 100))
def test_a_bucket_never_leaves_its_bounds(takes: list[tuple[float, int]], limit: int) -> None:
    bucket, now = Bucket(limit, 0), 0.0
    for passed, amount in takes:
        now += passed
        before = bucket.remaining
        taken = bucket.take(amount, now)
        assert 0 <= bucket.remaining <= limit
        assert 0 <= bucket.until_full <= 60
        assert taken or amount > before

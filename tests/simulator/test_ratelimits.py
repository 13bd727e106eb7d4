# SPDX-License-Identifier: Apache-2.0
"""Token buckets with a clock in the test's hand, and Go durations."""

import pytest
from hypothesis import given, strategies as st

from openai_simulator.catalogue import MODELS
from openai_simulator.errors import ApiError
from openai_simulator.ratelimits import Bucket, RateLimits, azure_headers, go_duration, openai_headers

MODEL = MODELS["gpt-4o-mini"]


class Real:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


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
    real.now = 30
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

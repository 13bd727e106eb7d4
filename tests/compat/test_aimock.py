# SPDX-License-Identifier: Apache-2.0
"""aimock keeps time and misbehaves on demand: what it was told to do is what the probe must find."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat.fixtures import FIRST_EVENT, PACE
from tests.compat.probing import Bench, headers_of, judged, outcome, rate_limits, running_bench
from tests.compat.servers import COMPAT, aimock

pytestmark = COMPAT
_MODULES: dict[str, dict[str, Any]] = {
    "chat": {"endpoint": "chat"},
    "stream": {"endpoint": "chat", "stream": True},
    "hasty_stream": {"endpoint": "chat", "stream": True, "timeout": "1s"},
    "picky": {"endpoint": "chat", "expect": {"text": "^ping"}},
    "vector": {"endpoint": "embeddings", "expect": {"vector_length": 3}},
    "longer_vector": {"endpoint": "embeddings", "expect": {"vector_length": 1536}},
}
_PROBES = [
    ("stream", "nonsense"), ("picky", "nonsense"), ("vector", "nonsense"), ("longer_vector", "nonsense"),
    ("chat", "limited"), ("chat", "garbled"), ("stream", "garbled"), ("chat", "dropped"),
    ("chat", "hung-up"), ("stream", "hung-up"), ("stream", "cut"), ("hasty_stream", "late"),
    ("hasty_stream", "slow"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    server = aimock(tmp_path_factory.mktemp("aimock"))
    server.start()
    try:
        with running_bench(server, _PROBES, _MODULES) as running:
            yield running
    finally:
        server.stop()


def test_first_event_first_token_and_gaps_are_as_long_as_the_server_waited(bench: Bench) -> None:
    """It waits before the first event, which is empty, and between any two; timers may be late, never early."""
    found = [bench.scrape("stream", "nonsense") for _ in range(3)]

    event = min(each["openai_probe_time_to_first_event_seconds"] for each in found)
    token = min(each["openai_probe_time_to_first_token_seconds"] for each in found)
    gap = min(each["openai_probe_inter_token_seconds_mean"] for each in found)
    assert FIRST_EVENT <= event < FIRST_EVENT + 0.02
    assert FIRST_EVENT + PACE <= token < FIRST_EVENT + PACE + 0.02
    assert PACE <= gap < PACE + 0.01


@pytest.mark.parametrize(
    ("module", "model", "expected"),
    [
        ("chat", "garbled", (200, "malformed", 1)),
        ("stream", "garbled", (200, "malformed", 1)),
        ("chat", "dropped", (500, "server_error", 1)),
        ("chat", "hung-up", (0, "connection_reset", 1)),
        ("stream", "hung-up", (0, "connection_reset", 1)),
        ("stream", "cut", (200, "truncated", 1)),
        ("hasty_stream", "late", (0, "timeout_headers", 1)),  # its headers wait for the first event
        ("hasty_stream", "slow", (200, "timeout_total", 1)),
        ("picky", "nonsense", (200, "content_mismatch", 0)),
        ("vector", "nonsense", (200, "success", 1)),
        ("longer_vector", "nonsense", (200, "content_mismatch", 0)),
    ],
)
def test_what_the_server_does_is_what_the_probe_names(
    module: str, model: str, expected: tuple[int, str, int], bench: Bench
) -> None:
    assert expected == judged(bench.scrape(module, model))


@pytest.mark.parametrize("model", ["late", "slow"])
def test_a_deadline_of_one_second_holds_although_the_server_goes_on(model: str, bench: Bench) -> None:
    begin = time.monotonic()
    samples = bench.scrape("hasty_stream", model)
    wall = time.monotonic() - begin

    assert 0.95 < samples["probe_duration_seconds"] < 1.05
    assert wall < 1.5


def test_a_rate_limit_is_read_and_obeyed(bench: Bench) -> None:
    """It sends every header, and asks to come back in 7 seconds."""
    first = bench.scrape("chat", "limited")
    second = bench.scrape("chat", "limited")

    assert ("rate_limited_requests", "rate_limited_requests") == (outcome(first), outcome(second))
    assert {
        'limit{limit_type="requests"}': 60,
        'limit{limit_type="tokens"}': 150_000,
        'remaining{limit_type="requests"}': 0,
        'remaining{limit_type="tokens"}': 0,
        'reset_seconds{limit_type="requests"}': 1,
        'reset_seconds{limit_type="tokens"}': 360,
    } == rate_limits(first)
    assert 6 < second["openai_probe_backoff_seconds"] <= 7.5
    assert second["openai_probe_cached_age_seconds"] > 0
    assert "openai_probe_availability_valid" not in second


def test_its_request_id_is_told(bench_of: Callable[[str], Bench]) -> None:
    _, document = bench_of("aimock").terminal("chat", "nonsense")

    assert headers_of(document)["x-request-id"] == document["request_id"]
    assert document["request_id"].startswith("req-")

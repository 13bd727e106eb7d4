# SPDX-License-Identifier: Apache-2.0
"""LiteLLM's proxy: its own errors, and what is left of an OpenAI API that stands behind it (a simulated one)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.compat.fixtures import UPSTREAM
from tests.compat.probing import Bench, check_success, headers_of, judged, rate_limits, running_bench
from tests.compat.servers import COMPAT, litellm

pytestmark = COMPAT
_QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0.1) as control:
        yield control


@pytest.fixture(scope="module")
def gateway(upstream: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """LiteLLM in front of the API, as companies run it."""
    server = litellm(tmp_path_factory.mktemp("gateway"), upstream.api_url)
    server.start()
    try:
        with running_bench(server, [*UPSTREAM.items(), ("chat", "gpt-0")]) as running:
            yield running
    finally:
        server.stop()


@pytest.fixture
def fault(upstream: SimulatorControl) -> Iterator[Callable[..., str]]:
    """Puts faults in force in the API behind the gateway; they end with the test."""
    yield upstream.fault
    upstream.clear()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mock-limited", (429, "rate_limited", 0)),
        ("mock-broken", (500, "server_error", 1)),
        ("mock-too-long", (400, "bad_request", 0)),
        ("unreachable", (500, "server_error", 1)),
    ],
)
def test_its_own_errors_are_named(model: str, expected: tuple[int, str, int], bench_of: Callable[[str], Bench]) -> None:
    assert expected == judged(bench_of("litellm").scrape("chat", model))


def test_its_error_in_an_event_is_quoted(bench_of: Callable[[str], Bench]) -> None:
    """Streamed /responses of a mocked reply: status 500 and `data: {"error": ...}`."""
    _, document = bench_of("litellm").terminal("responses_stream", "mock-chat")

    assert (500, "server_error") == (document["status_code"], document["outcome"])
    assert "Error processing stream start" in document["message"]


@pytest.mark.parametrize(("module", "model"), UPSTREAM.items(), ids=list(UPSTREAM))
def test_every_endpoint_succeeds_through_it(module: str, model: str, gateway: Bench) -> None:
    samples = gateway.scrape(module, model)

    check_success(samples, module.endswith("_stream"), wall=30)


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses", "responses_stream"])
def test_what_the_api_says_in_headers_survives_it(module: str, gateway: Bench) -> None:
    """Limits keep their names; the processing time comes as llm_provider-openai-processing-ms."""
    status, document = gateway.terminal(module, UPSTREAM[module])

    headers = headers_of(document)
    limits = {each["limit_type"]: (each["limit"], each["remaining"]) for each in document["rate_limits"]}
    assert status == 0
    assert {
        kind: (float(headers[f"x-ratelimit-limit-{kind}"]), float(headers[f"x-ratelimit-remaining-{kind}"]))
        for kind in ("requests", "tokens")
    } == limits
    assert float(headers["llm_provider-openai-processing-ms"]) / 1000 == document["server_processing"]
    assert document["server_processing"] < document["duration"]
    assert headers["x-litellm-call-id"] == document["request_id"]


def test_limits_of_the_api_behind_it_reach_the_page(gateway: Bench) -> None:
    limits = rate_limits(gateway.scrape("chat", UPSTREAM["chat"]))

    assert limits['limit{limit_type="requests"}'] == 30_000
    assert 0 < limits['remaining{limit_type="requests"}'] <= 30_000
    assert 0 < limits['remaining{limit_type="tokens"}'] <= limits['limit{limit_type="tokens"}']


def test_a_model_that_the_api_behind_it_does_not_know_is_named(gateway: Bench) -> None:
    assert (404, "model_not_found", 0) == judged(gateway.scrape("chat", "gpt-0"))


@pytest.mark.parametrize(
    ("module", "given", "expected"),
    [
        ("chat", {"kind": "status", "status": 503}, (503, "overloaded", 1)),
        ("chat", {"kind": "status", "status": 500}, (500, "server_error", 1)),
        ("chat", {"kind": "status", "status": 401}, (401, "auth", 0)),
        ("chat", {"kind": "html"}, (502, "server_error", 1)),
        ("chat", {"kind": "reset"}, (500, "server_error", 1)),
        ("chat_stream", {"kind": "stream_error"}, (200, "stream_error", 1)),
        ("chat_stream", {"kind": "truncate", "after_bytes": 9}, (500, "server_error", 1)),
        ("chat_stream", {"kind": "rate_limit", "limit": "tokens"}, (429, "rate_limited_tokens", 0)),
        ("chat", {"kind": "rate_limit", "limit": "requests"}, (429, "rate_limited_requests", 0)),
        ("chat", {"kind": "status", "status": 429, "code": "insufficient_quota", "message": _QUOTA},
         (429, "quota_exhausted", 0)),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else None,
)  # fmt: skip
def test_a_fault_of_the_api_behind_it_is_told_by_what_is_left_of_it(
    module: str, given: dict[str, Any], expected: tuple[int, str, int], gateway: Bench, fault: Callable[..., str]
) -> None:
    """It replaces every `error.code` by the status and most types by its own; the message survives."""
    fault(**given)

    _, document = gateway.terminal(module, UPSTREAM[module])

    assert expected == (document["status_code"], document["outcome"], document["valid"])

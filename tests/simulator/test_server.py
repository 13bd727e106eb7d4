# SPDX-License-Identifier: Apache-2.0
"""What is on every response, and what is not."""

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl, running_simulator

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Say: pong"}]}
RATE_LIMITS = {
    f"x-ratelimit-{what}-{kind}"
    for what in ("limit", "remaining", "reset")
    for kind in ("requests", "tokens", "project-tokens")
}


def test_an_answer_has_the_apis_headers_and_all_nine_rate_limits(api: httpx2.Client) -> None:
    headers = api.post(CHAT, json=ASKED).headers
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert int(headers["openai-processing-ms"]) >= 1
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-organization"]
    assert headers["openai-project"].startswith("proj_")
    assert set(headers) >= RATE_LIMITS
    for name in RATE_LIMITS:
        pattern = r"0s|\d+ms|(\d+h)?(\d+m)?\d+(\.\d+)?s" if "reset" in name else r"\d+"
        assert re.fullmatch(pattern, headers[name]), name


def test_models_have_no_rate_limits(api: httpx2.Client) -> None:
    assert not [name for name in api.get("/v1/models").headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/organization/costs", 403),
        ("GET", "/_simulator/state", 200),
        ("GET", "/_simulator/nothing", 404),
    ],
)
def test_every_response_says_that_it_is_simulated(api: httpx2.Client, method: str, path: str, status: int) -> None:
    reply = api.request(method, path)
    assert (reply.status_code, reply.headers["x-simulated"]) == (status, "true")
    assert "x-request-id" in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/v1/nothing", None, "Invalid URL (GET /v1/nothing)"),
        ("GET", CHAT, "method_not_supported", f"Not allowed to GET on {CHAT}."),
    ],
)
def test_wrong_paths_and_methods_get_the_apis_error(
    api: httpx2.Client, method: str, path: str, code: str | None, message: str
) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    assert api.request(method, path).json() == {"error": error}


def test_the_date_is_simulated_and_there_is_only_one(api: httpx2.Client, simulator: SimulatorControl) -> None:
    present = simulator.clock()
    try:
        simulator.clock(now="2027-03-01T12:00:00Z", speed=0)
        reply = api.get("/v1/models")
        assert reply.headers.get_list("date") == ["Mon, 01 Mar 2027 12:00:00 GMT"]
    finally:
        simulator.clock(now=present, speed=1)


def test_created_follows_the_simulated_clock(api: httpx2.Client, simulator: SimulatorControl) -> None:
    now = simulator.clock()
    reply = api.post(CHAT, json=ASKED)
    assert now - 1 <= reply.json()["created"] <= now + 30
    assert parsedate_to_datetime(reply.headers["date"]).timestamp() == pytest.approx(now, abs=30)


@pytest.fixture
def limited() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


def test_a_rate_limit_is_counted_down_and_then_refused(limited: SimulatorControl) -> None:
    limited.rate_limits("gpt-6-luna", requests=2, tokens=1_000)
    headers = {"authorization": "Bearer sk-test"}
    with httpx2.Client(base_url=limited.base_url, headers=headers, trust_env=False) as api:
        replies = [api.post(CHAT, json=ASKED) for _ in range(3)]
    left = [reply.headers["x-ratelimit-remaining-requests"] for reply in replies]
    assert ([reply.status_code for reply in replies], left) == ([200, 200, 429], ["1", "0", "0"])
    assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 25 <= int(replies[2].headers["retry-after"]) <= 30
    assert replies[2].headers["x-ratelimit-limit-requests"] == "2"

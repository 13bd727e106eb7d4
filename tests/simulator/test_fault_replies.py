# SPDX-License-Identifier: Apache-2.0
"""Replies that a fault gives instead of the real one: errors, HTML, nothing."""

import itertools
import json
from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts
from tests.simulator.sse import events

# Replies with broken, mistyped or padded bodies, as a client on a real socket sees them.

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about buckets"}]}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


def chat(api: httpx2.Client, **more: Any) -> httpx2.Response:
    return api.post(CHAT, json={**ASKED, **more})


def test_malformed_json_is_complete_but_broken(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("malformed_json", CHAT)
    reply = chat(api)
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_malformed_json_in_a_stream_starts_with_the_second_event(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("malformed_json", CHAT)
    first, second, *_, done = events(api.post(CHAT, json=STREAMED).text)
    assert first.json["object"] == "chat.completion.chunk"
    with pytest.raises(json.JSONDecodeError):
        _ = second.json
    assert done.data == "[DONE]"


def test_wrong_types_violate_the_description_everywhere(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    simulator.fault("wrong_types", CHAT)
    assert len(facts.check("chat_completion", chat(api).json())) >= 6
    chunk = events(api.post(CHAT, json=STREAMED).text)[0].json
    assert chunk["choices"] == "unexpected"


def test_wrong_types_can_be_limited_to_members(api: httpx2.Client, simulator: SimulatorControl, facts: Facts) -> None:
    simulator.fault("wrong_types", CHAT, fields=["prompt_tokens", "finish_reason"])
    reply = chat(api).json()
    assert facts.check("chat_completion", reply) == [
        "chat_completion.choices[0].finish_reason: expected "
        "stop|length|tool_calls|content_filter|function_call, got 17",
        f'chat_completion.usage.prompt_tokens: expected integer>=0, got {{"unexpected": {7 + 3}}}',
    ]


@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["plain", "stream"])
def test_a_huge_body_means_the_same(api: httpx2.Client, simulator: SimulatorControl, body: dict[str, Any]) -> None:
    plain = api.post(CHAT, json=body)
    simulator.fault("huge", CHAT, bytes=300_000)
    reply = api.post(CHAT, json=body)
    assert len(plain.content) + 300_000 <= len(reply.content) < len(plain.content) + 400_000
    if body is ASKED:
        assert reply.json()["usage"] == plain.json()["usage"]
    else:
        assert events(reply.text)[-1].data == "[DONE]"


# Replies that a fault gives instead of the real one: errors, HTML, nothing.


STATUSES: list[tuple[dict[str, Any], int, tuple[str, str | None]]] = [
    ({}, 500, ("server_error", None)),
    ({"status": 400}, 400, ("invalid_request_error", None)),
    ({"status": 401}, 401, ("invalid_request_error", "invalid_api_key")),
    ({"status": 403}, 403, ("request_forbidden", "unsupported_country_region_territory")),
    ({"status": 404}, 404, ("invalid_request_error", "model_not_found")),
    ({"status": 503}, 503, ("service_unavailable_error", "server_is_overloaded")),
    ({"status": 520}, 520, ("server_error", None)),
    ({"status": 429, "code": "slow_down"}, 429, ("rate_limit_error", "slow_down")),
    ({"status": 404, "code": None, "type": "odd"}, 404, ("odd", None)),
]


def test_a_status_comes_with_the_documented_error(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    for parameters, status, expected in STATUSES:
        simulator.fault("status", CHAT, **parameters)
        reply = chat(api)
        assert facts.check("error_reply", reply.json()) == [], parameters
        assert (reply.status_code, reply.headers["x-simulated"]) == (status, "true"), parameters
        error = reply.json()["error"]
        assert (error["type"], error["code"]) == expected, parameters
        assert api.get("/v1/models").status_code == 200
        simulator.clear()


def test_a_status_may_bring_its_own_headers_and_message(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("status", CHAT, status=503, retry_after=2.5, message="gone", headers={"X-Should-Retry": "false"})
    reply = chat(api)
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("3", "false")
    assert reply.json()["error"]["message"] == "gone"


def test_a_used_up_quota_is_told_by_its_code(api: httpx2.Client, simulator: SimulatorControl) -> None:
    for code in (
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
    ):
        simulator.fault("insufficient_quota", CHAT, code=code)
        reply = chat(api)
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["code"]) == (429, "insufficient_quota", code)
        assert "retry-after" not in reply.headers, code
        simulator.clear()


def test_a_rate_limit_says_when_to_come_back_and_what_is_used_up(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    for code, limit in itertools.product(("rate_limit_exceeded", "slow_down"), ("requests", "tokens")):
        simulator.fault("rate_limit", CHAT, code=code, limit=limit, retry_after=7)
        reply = chat(api)
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["code"]) == (429, "rate_limit_error", code), limit
        left = reply.headers[f"x-ratelimit-remaining-{limit}"]
        assert (reply.headers["retry-after"], left) == ("7", "0"), (code, limit)
        simulator.clear()


def test_a_rate_limit_may_come_without_retry_after(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("rate_limit", CHAT, retry_after=None)
    assert "retry-after" not in chat(api).headers


def test_html_comes_from_the_edge(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("html", CHAT, status=520)
    reply = chat(api)
    assert reply.status_code == 520
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.text.startswith("<!DOCTYPE html>")
    assert "cf-ray" in reply.headers
    assert not [name for name in reply.headers if name.startswith(("openai-", "x-request-id"))]
    assert reply.headers["x-simulated"] == "true"


@pytest.mark.parametrize(
    ("content", "body"), [("nothing", b""), ("object", b"{}"), ("array", b"[]"), ("null", b"null")]
)
def test_an_empty_reply_is_a_success_without_content(
    api: httpx2.Client, simulator: SimulatorControl, content: str, body: bytes
) -> None:
    simulator.fault("empty", CHAT, content=content)
    reply = chat(api)
    assert (reply.status_code, reply.content) == (200, body)

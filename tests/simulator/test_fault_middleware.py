# SPDX-License-Identifier: Apache-2.0
"""Faults on a real socket: which requests they strike, replies that they cut, change or replace."""

import itertools
import json
import socket
import time
from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts
from tests.simulator.sse import events

# Replies that hang, are reset, cut or dripped, as a client on a real socket sees them.

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about buckets"}]}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


def chat(api: httpx2.Client, **more: Any) -> httpx2.Response:
    return api.post(CHAT, json={**ASKED, **more})


def raw(simulator: SimulatorControl, body: dict[str, Any], path: str = CHAT, wait: float = 3.0) -> bytes:
    """All bytes of a reply, read from a bare socket until it ends; raises ConnectionResetError."""
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


def until_silence(connection: socket.socket) -> bytes:
    """All that arrives until the connection's timeout; it must not end before."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except TimeoutError:
        return received
    raise AssertionError("the connection ended")


def finished(simulator: SimulatorControl, since: float) -> dict[str, Any]:
    """The one request that ended since then, waiting for it."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        entries = simulator.journal_since(since)
        if entries:
            return entries[0]
    raise AssertionError("no request ended in 3 s")


def test_a_hang_says_nothing_until_the_client_leaves(simulator: SimulatorControl) -> None:
    simulator.fault("hang", CHAT)
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        raw(simulator, ASKED, wait=0.3)
    entry = finished(simulator, before)
    assert (entry["status"], entry["first_byte"]) == (None, None)


def test_a_hang_may_end(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("hang", CHAT, hold_seconds=0.1)
    reply = chat(api)
    assert (reply.status_code, reply.elapsed.total_seconds() >= 0.1) == (200, True)
    simulator.clear()
    simulator.fault("hang", CHAT, hold_seconds=0.1, when="mid_body", after_bytes=20)
    assert chat(api).json()["object"] == "chat.completion"


@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["plain", "stream"])
def test_a_hang_mid_body_gives_a_part_and_then_nothing(simulator: SimulatorControl, body: dict[str, Any]) -> None:
    simulator.fault("hang", CHAT, when="mid_body", after_bytes=100)
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    data = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n"
    with socket.create_connection((host, int(port)), timeout=0.5) as connection:
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        received = until_silence(connection)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert 100 <= len(received.partition(b"\r\n\r\n")[2]) <= 120


def test_a_reset_is_a_reset(simulator: SimulatorControl) -> None:
    simulator.fault("reset", CHAT)
    with pytest.raises(ConnectionResetError):
        raw(simulator, ASKED)


@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["plain", "stream"])
def test_a_reset_mid_body_comes_after_a_part(
    api: httpx2.Client, simulator: SimulatorControl, body: dict[str, Any]
) -> None:
    simulator.fault("reset", CHAT, when="mid_body")
    with api.stream("POST", CHAT, json=body) as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx2.ReadError):
            reply.read()
    with pytest.raises(ConnectionResetError):
        raw(simulator, body)


def test_a_truncated_plain_body_is_half_of_what_was_promised(simulator: SimulatorControl) -> None:
    simulator.fault("truncate", CHAT)
    head, _, body = raw(simulator, ASKED).partition(b"\r\n\r\n")
    promised = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    assert len(body) == int(promised.split(b":")[1]) // 2


def test_a_truncated_stream_has_three_pieces_and_no_end(simulator: SimulatorControl) -> None:
    simulator.fault("truncate", CHAT)
    body = raw(simulator, STREAMED).partition(b"\r\n\r\n")[2]
    assert body.count(b"data: {") == 3
    assert b"[DONE]" not in body
    assert not body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("after", [0, 1, 137])
def test_a_cut_is_exact_to_the_byte(simulator: SimulatorControl, after: int) -> None:
    simulator.fault("truncate", CHAT, after_bytes=after)
    head, _, body = raw(simulator, ASKED).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == after


def test_a_drip_gives_bytes_one_after_the_other(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("drip", CHAT, interval_seconds=0.01, bytes=40)
    reply = chat(api)
    pieces = -(-len(reply.content) // 40)
    entry = simulator.journal(reply.headers["x-request-id"])
    assert reply.json()["object"] == "chat.completion"
    assert entry["done"] - entry["first_byte"] >= (pieces - 1) * 0.01


def test_a_drip_of_headers_starts_with_the_status_line(simulator: SimulatorControl) -> None:
    simulator.fault("drip", CHAT, interval_seconds=0.05, bytes=3, part="headers")
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    data = json.dumps(ASKED).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n"
    with socket.create_connection((host, int(port)), timeout=3) as connection:
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        pieces = [connection.recv(100) for _ in range(5)]
    assert pieces == [b"HTT", b"P/1", b".1 ", b"200", b" OK"]


def test_a_dripped_stream_is_complete_and_the_connection_goes_on(simulator: SimulatorControl) -> None:
    simulator.fault("drip", CHAT, interval_seconds=0.001, bytes=500)
    with httpx2.Client(
        base_url=simulator.base_url, headers={"authorization": "Bearer sk-test"}, trust_env=False
    ) as client:
        for _ in range(2):
            assert events(client.post(CHAT, json=STREAMED).text)[-1].data == "[DONE]"


# Which requests a fault strikes, delays and missing headers, on a real socket.

OTHER = {"model": "text-embedding-3-small", "input": "ping"}


def test_latency_delays_the_reply_and_is_part_of_the_processing(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.5)
    before = time.monotonic()
    reply = chat(api)
    entry = simulator.journal(reply.headers["x-request-id"])
    assert 0.5 <= entry["first_byte"] - before < 3
    # The wait begins at the head of the request, processing at its last byte, which may come later.
    assert 100 <= int(reply.headers["openai-processing-ms"]) < 3000
    assert entry["faults"] == ["latency"]


def test_latency_of_the_network_is_not_processing(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.5, in_processing=False)
    reply = chat(api)
    assert reply.elapsed.total_seconds() >= 0.5
    assert int(reply.headers["openai-processing-ms"]) < 450


def test_first_token_latency_holds_back_the_first_token_only(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("first_token_latency", CHAT, delay_seconds=0.5)
    reply = api.post(CHAT, json=STREAMED)
    entry = simulator.journal(reply.headers["x-request-id"])
    assert entry["first_byte"] - entry["received"] < 0.45
    assert 0.5 <= entry["first_token"] - entry["received"] < 3


def test_headers_can_be_missing_by_name_or_all(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("missing_headers", CHAT, names=["X-Request-Id", "x-ratelimit-reset-tokens"])
    names = set(chat(api).headers)
    assert not names & {"x-request-id", "x-ratelimit-reset-tokens"}
    assert {"x-ratelimit-limit-tokens", "openai-processing-ms"} <= names
    simulator.clear()
    simulator.fault("missing_headers", CHAT)
    reply = chat(api)
    assert set(reply.headers) == {"content-length", "content-type", "date", "x-simulated"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/organization/projects", "/status/api/v2/summary.json"])
def test_an_outage_takes_in_everything(api: httpx2.Client, simulator: SimulatorControl, path: str) -> None:
    simulator.fault("outage")
    reply = api.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "server_is_overloaded")
    simulator.clear()
    simulator.fault("outage", mode="reset")
    with pytest.raises(httpx2.NetworkError):
        api.get(path)
    simulator.clear()
    simulator.fault("outage", mode="hang")
    with pytest.raises(httpx2.ReadTimeout):
        api.get(path, timeout=0.2)
    assert simulator.state()["faults"][0]["mode"] == "hang"


def test_organization_and_status_page_are_struck_as_well(api: httpx2.Client, simulator: SimulatorControl) -> None:
    for path, key in (("/v1/organization/projects", "sk-admin-test"), ("/status/api/v2/components.json", "sk-test")):
        headers = {"authorization": f"Bearer {key}"}
        good = api.get(path, headers=headers)
        assert good.status_code == 200
        for kind in ("html", "malformed_json", "empty", "wrong_types", "rate_limit", "status"):
            simulator.fault(kind, path)
            struck = api.get(path, headers=headers)
            assert (struck.status_code, struck.content) != (200, good.content), (kind, path)
            simulator.clear()


def test_a_fault_for_one_model_leaves_the_others_alone(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("status", "/v1", model="text-embedding-3-small")
    assert chat(api).status_code == 200
    assert api.post("/v1/embeddings", json=OTHER).status_code == 500
    assert api.post("/v1/embeddings", json={**OTHER, "model": "text-embedding-3-large"}).status_code == 200


def test_a_fault_for_one_model_finds_it_in_forms_and_deployments(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("status", "*", model="gpt-transcribe")
    simulator.fault("status", "*", model="gpt-4o-mini")
    form, sound = {"model": "gpt-transcribe"}, {"file": ("a.wav", b"RIFF")}
    assert api.post("/v1/audio/transcriptions", data=form, files=sound).status_code == 500
    path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"
    assert api.post(path, json={"messages": ASKED["messages"]}).status_code == 500


def test_faults_combine(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.1)
    simulator.fault("status", CHAT, status=418)
    simulator.fault("missing_headers", CHAT, names=["x-request-id"])
    reply = chat(api)
    assert (reply.status_code, reply.elapsed.total_seconds() >= 0.1) == (418, True)
    assert "x-request-id" not in reply.headers


def test_a_fault_without_luck_does_not_strike(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("status", CHAT, probability=0)
    assert chat(api).status_code == 200


# Replies with broken, mistyped or padded bodies, as a client on a real socket sees them.


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

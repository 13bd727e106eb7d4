# SPDX-License-Identifier: Apache-2.0
"""Which requests a fault strikes, delays and missing headers, on a real socket."""

import json
import socket
import time
from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
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


def test_a_hang_says_nothing_until_the_client_leaves(
    simulator: SimulatorControl,
) -> None:
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
    for path, key in (
        ("/v1/organization/projects", "sk-admin-test"),
        ("/status/api/v2/components.json", "sk-test"),
    ):
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

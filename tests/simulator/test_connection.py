# SPDX-License-Identifier: Apache-2.0
"""The connection: fine timers, small replies, no hidden delays; and the journal, true to what a client sees."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest

from openai_simulator.connection import Entry, Journal, fine_loop
from openai_simulator.testing import SimulatorControl, SimulatorError, running_simulator

# The connection level: fine timers, one packet for small replies, no hidden delays.


def test_timers_are_exact_to_well_under_a_millisecond() -> None:
    async def lateness(wait: float) -> float:
        start = time.monotonic()
        await asyncio.sleep(wait)
        return time.monotonic() - start - wait

    with asyncio.Runner(loop_factory=fine_loop) as runner:
        # The best of many: asyncio's own loop rounds each of these waits up to a whole millisecond.
        late = min(runner.run(lateness(0.0003)) for _ in range(50))
    assert 0 <= late < 0.0006


def exchange(connection: socket.socket, path: str) -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-x\r\n\r\n".encode())
    return connection.recv(65_536)


@pytest.fixture
def connection(simulator: SimulatorControl) -> socket.socket:
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_head_and_body_arrive_together_on_a_connection_that_stays_open(connection: socket.socket) -> None:
    with connection:
        for _ in range(3):
            before = time.monotonic()
            head, _, body = exchange(connection, "/v1/models/gpt-6-luna").partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert json.loads(body)["id"] == "gpt-6-luna"
            # Nagle's algorithm with delayed acknowledgements would cost 40 ms a piece.
            assert time.monotonic() - before < 0.03


def test_expect_continue_is_answered_before_the_body(connection: socket.socket) -> None:
    body = json.dumps({"model": "text-embedding-3-small", "input": "ping", "dimensions": 2}).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-x\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connection:
        connection.sendall(head.encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_a_request_that_is_none_is_refused(connection: socket.socket) -> None:
    with connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 Bad Request")


# The journal: bounded, and true to what a client on the same host sees.

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about buckets"}]}


def entry(number: int) -> Entry:
    return Entry(f"req_{number}", CHAT, None, 200, (), number, number, None, (), float(number))


def test_only_the_last_requests_are_kept_but_all_are_counted() -> None:
    journal = Journal(kept=3)
    for number in range(5):
        journal.record(entry(number), "POST")
    assert [journal.find(f"req_{number}") is not None for number in range(5)] == [False, False, True, True, True]
    assert [found.request_id for found in journal.since(3)] == ["req_3", "req_4"]
    assert journal.summary() == [{"method": "POST", "path": CHAT, "status": 200, "count": 5}]


@pytest.fixture(scope="module")
def paced() -> Iterator[SimulatorControl]:
    with running_simulator(jitter=0) as control:
        yield control


@pytest.fixture
def client(paced: SimulatorControl) -> Iterator[httpx2.Client]:
    headers = {"authorization": "Bearer sk-test"}
    with httpx2.Client(base_url=paced.base_url, headers=headers, trust_env=False) as api:
        yield api


def test_a_streams_stamps_lie_between_those_of_its_client(client: httpx2.Client, paced: SimulatorControl) -> None:
    before = time.monotonic()
    seen = []
    with client.stream("POST", CHAT, json={**ASKED, "stream": True}) as reply:
        opened = time.monotonic()
        for line in reply.iter_lines():
            if '"content"' in line and '"role"' not in line:
                seen.append(time.monotonic())
    after = time.monotonic()
    stamps = paced.journal(reply.headers["x-request-id"])
    assert before <= stamps["received"] <= stamps["first_byte"] <= opened
    assert stamps["first_token"] == stamps["tokens"][0] >= stamps["first_byte"]
    assert len(seen) == len(stamps["tokens"])
    assert all(written <= read for written, read in zip(stamps["tokens"], seen, strict=True))
    assert stamps["tokens"][-1] <= stamps["done"] <= after


def test_the_waits_are_those_of_the_models_profile(client: httpx2.Client, paced: SimulatorControl) -> None:
    client.get("/v1/models")
    lateness, gaps = [], []
    for _ in range(5):
        reply = client.post(CHAT, json={**ASKED, "stream": True})
        stamps = paced.journal(reply.headers["x-request-id"])
        lateness.append(stamps["first_token"] - stamps["received"] - 0.12)
        gaps.append((stamps["tokens"][-1] - stamps["tokens"][0]) / (len(stamps["tokens"]) - 1))
    # A busy machine makes some late, and none early.
    assert min(gaps) == pytest.approx(0.004, abs=0.0005)
    assert 0 <= min(lateness) < 0.005


def test_a_plain_reply_waits_for_all_its_tokens(client: httpx2.Client, paced: SimulatorControl) -> None:
    reply = client.post(CHAT, json=ASKED)
    stamps = paced.journal(reply.headers["x-request-id"])
    due = 0.12 + 0.004 * (reply.json()["usage"]["completion_tokens"] - 1)
    assert 0 <= stamps["first_byte"] - stamps["received"] - due < 0.03
    assert (stamps["first_token"], stamps["tokens"], stamps["status"]) == (None, [], 200)
    assert (stamps["path"], stamps["model"], stamps["faults"]) == (CHAT, "gpt-4o-mini", [])


def test_an_unknown_request_is_told(paced: SimulatorControl) -> None:
    with pytest.raises(SimulatorError, match="No finished request 'req_x' among the last 20000"):
        paced.journal("req_x")


def test_the_control_endpoints_leave_no_trace(paced: SimulatorControl) -> None:
    paced.state()
    assert not [found for found in paced.journal_since() if found["path"].startswith("/_simulator")]

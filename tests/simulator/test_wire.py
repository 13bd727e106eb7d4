# SPDX-License-Identifier: Apache-2.0
"""The connection level: fine timers, one packet for small replies, no hidden delays."""

import asyncio
import json
import socket
import time

import pytest

from openai_simulator.testing import SimulatorControl
from openai_simulator.wire import fine_loop


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

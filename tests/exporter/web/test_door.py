# SPDX-License-Identifier: Apache-2.0
"""Connections are let in one per pass of the event loop, health checks first."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from openai_exporter.client.turns import Turns
from openai_exporter.web import door
from openai_exporter.web.door import Door

SCRAPE, HEALTH = b"GET /probe?target=a HTTP/1.1\r\n\r\n", b"GET /-/healthy HTTP/1.1\r\n\r\n"
URGENT = (b"GET /-/", b"HEAD /-/")


class Listed(asyncio.Protocol):
    """Notes in which pass each connection came in, and what it said first."""

    def __init__(self, seen: list[bytes], arrivals: list[float], arrived: float) -> None:
        self._seen = seen
        arrivals.append(arrived)

    def data_received(self, data: bytes) -> None:
        self._seen.append(data)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as made:
        yield made


def connect(stack: contextlib.ExitStack, listening: socket.socket, first: bytes) -> socket.socket:
    client = stack.enter_context(socket.create_connection(listening.getsockname(), timeout=30))
    client.sendall(first)
    return client


async def until(seen: list[bytes], count: int) -> None:
    async with asyncio.timeout(30):
        while len(seen) < count:
            await asyncio.sleep(0)


async def test_a_health_check_behind_many_scrapes_is_let_in_first(listening: socket.socket) -> None:
    seen: list[bytes] = []
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connect(stack, listening, SCRAPE)
        connect(stack, listening, HEALTH)
        opened = Door(listening, lambda at: Listed(seen, [], at), URGENT, Turns())
        await until(seen, 21)
        opened.close()
    assert seen == [HEALTH] + [SCRAPE] * 20


async def test_scrapes_that_come_together_are_let_in_one_per_pass_but_count_from_their_arrival(
    listening: socket.socket,
) -> None:
    seen: list[bytes] = []
    arrivals: list[float] = []
    entered: list[int] = []
    passes = 0

    def made(arrived: float) -> Listed:
        entered.append(passes)
        return Listed(seen, arrivals, arrived)

    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connect(stack, listening, SCRAPE)
        began = asyncio.get_running_loop().time()
        opened = Door(listening, made, URGENT, Turns())
        while len(seen) < 10:
            passes += 1
            await asyncio.sleep(0)
        opened.close()
    assert len(set(entered)) == 10
    assert arrivals == sorted(arrivals)
    assert began <= arrivals[0]


async def test_a_client_that_says_nothing_is_let_in_too(listening: socket.socket) -> None:
    arrivals: list[float] = []
    with contextlib.ExitStack() as stack:
        connect(stack, listening, b"")
        opened = Door(listening, lambda at: Listed([], arrivals, at), URGENT, Turns())
        async with asyncio.timeout(30):
            while not arrivals:
                await asyncio.sleep(0)
        opened.close()


async def test_closing_drops_what_waits(listening: socket.socket) -> None:
    class Stuck(Turns):
        def call(self, piece: object) -> None:
            calls.append(piece)

    calls: list[object] = []
    with contextlib.ExitStack() as stack:
        client = connect(stack, listening, SCRAPE)
        opened = Door(listening, lambda at: Listed([], [], at), URGENT, Stuck())
        async with asyncio.timeout(30):
            while not calls:
                await asyncio.sleep(0)
        opened.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""


async def test_without_file_descriptors_it_pauses_and_goes_on(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        """A listening socket whose first accept fails."""

        failed = False

        def __init__(self, inner: socket.socket) -> None:
            self._inner = inner

        def fileno(self) -> int:
            return self._inner.fileno()

        def setblocking(self, flag: bool) -> None:
            self._inner.setblocking(flag)

        def accept(self) -> tuple[socket.socket, object]:
            if not self.failed:
                self.failed = True
                raise OSError(errno.EMFILE, "Too many open files")
            return self._inner.accept()

    monkeypatch.setattr(door, "RETRY_SECONDS", 0.0)
    seen: list[bytes] = []
    exhausted = Exhausted(listening)
    with contextlib.ExitStack() as stack:
        connect(stack, listening, SCRAPE)
        opened = Door(exhausted, lambda at: Listed(seen, [], at), URGENT, Turns())  # type: ignore[arg-type]
        await until(seen, 1)
        opened.close()
    assert exhausted.failed

# SPDX-License-Identifier: Apache-2.0
"""A long page over a real socket: whole, in pieces, and never in the way of another request."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from openai_exporter.exposition import EncodedPage, Family
from openai_exporter.metrics import usage
from openai_exporter.web.answers import PIECE, Pieces, exposition, text
from openai_exporter.web.protocol import factory
from tests.exporter.web.exporters import poll, request

_REST = ("",) * (len(usage.REQUESTS.labels) - 2)
LONG = EncodedPage(
    [
        Family(
            usage.REQUESTS,
            [(("completions", f"proj_{number}", *_REST), number) for number in range(40_000)],
        )
    ]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    long = scope["path"] == "/long"
    answer = await exposition(Request(scope, receive), LONG) if long else text("short")
    await answer(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http: Any = factory(lambda: None, tuple)
        server = uvicorn.Server(uvicorn.Config(app, http=http, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        poll(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def test_a_long_page_arrives_whole(port: int) -> None:
    answer = request(port, "/long")
    assert LONG.body() == answer.body
    assert str(len(LONG.body())) == answer.headers["content-length"]
    assert len(answer.body) > 4 * PIECE


def test_it_arrives_whole_in_every_format(port: int) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
    answer = request(port, "/long", headers=headers)
    assert LONG.body(openmetrics=True) == gzip.decompress(answer.body)


def test_head_names_its_length_and_sends_nothing(port: int) -> None:
    answer = request(port, "/long", "HEAD")
    assert b"" == answer.body
    assert str(len(LONG.body())) == answer.headers["content-length"]


def test_clients_that_do_not_read_on_hold_up_nobody(port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port)) as one,
        socket.create_connection(("127.0.0.1", port)) as other,
    ):
        for each in (one, other):
            each.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
        assert b"short\n" == request(port, "/short").body
        assert LONG.body() == request(port, "/long").body


async def test_pieces_are_views_of_the_page_and_wait_for_the_client() -> None:
    body = LONG.body()
    sent: list[Message] = []
    room = asyncio.Semaphore(2)  # the head, and one piece

    async def send(message: Message) -> None:
        await room.acquire()
        sent.append(message)

    answer = asyncio.create_task(Pieces(body)({"type": "http"}, lambda: asyncio.Future(), send))
    for _ in range(20):
        await asyncio.sleep(0)
    assert 2 == len(sent)
    assert not answer.done()
    for _ in range(len(body) // PIECE):
        room.release()
    await answer
    pieces = [message["body"] for message in sent[1:]]
    assert body == b"".join(pieces)
    assert all(piece.obj is body and len(piece) <= PIECE for piece in pieces)
    assert [True] * (len(pieces) - 1) + [False] == [message["more_body"] for message in sent[1:]]

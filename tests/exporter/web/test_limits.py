# SPDX-License-Identifier: Apache-2.0
"""The token bucket and the password cache."""

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from openai_exporter.exposition import EncodedPage, Family, Instruments
from openai_exporter.metrics import usage
from openai_exporter.web.limits import (
    ARRIVED,
    HEADER,
    PIECE,
    Bucket,
    Gate,
    Passwords,
    Pieces,
    exposition,
    factory,
    scrape_limit,
    text,
    time_left,
)
from openai_exporter.web.webconfig import RateLimit
from tests.exporter.web.exporters import poll, request

# A long page over a real socket: whole, in pieces, and never in the way of another request.

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


# What is left of a scrape's time.


@pytest.mark.parametrize(
    ("announced", "limit"), [("10", 9.5), ("0.5", None), ("0.2", None), ("1e1", 9.5)], ids=str
)
def test_the_announced_timeout_less_the_offset(announced: str, limit: float | None) -> None:
    assert scrape_limit({HEADER: announced}, 0.5) == limit


@pytest.mark.parametrize("announced", ["", "ten", "-1", "0", "inf", "nan"])
def test_what_is_no_number_of_seconds_is_refused(announced: str) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds above zero"):
        scrape_limit({HEADER: announced}, 0.5)


def test_time_spent_waiting_for_a_turn_is_taken_off() -> None:
    arrived = time.monotonic() - 4
    left = time_left({ARRIVED: arrived}, {HEADER: "10"}, 0.5)
    assert left is not None
    assert 5.0 < left <= 5.5


def test_a_request_that_waited_too_long_has_no_time_left() -> None:
    assert time_left({ARRIVED: time.monotonic() - 20}, {HEADER: "10"}, 0.5) == 0.0


def test_without_an_announced_timeout_waiting_takes_nothing_off() -> None:
    assert time_left({ARRIVED: time.monotonic() - 4}, {}, 0.5) is None


# Scrapes begin one per pass of the event loop; everything else at once.


class Noting:
    """An application that notes in which pass of the loop it was called."""

    def __init__(self) -> None:
        self.passes = 0
        self.called: dict[str, list[int]] = {"/probe": [], "/-/healthy": []}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called[scope["path"]].append(self.passes)
        await text("ok")(scope, receive, send)


def scope(path: str) -> Scope:
    return {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
    }  # fmt: skip


async def _nothing(*_: object) -> None:
    """Neither receives nor sends."""


async def test_scrapes_that_come_together_begin_one_per_pass_and_health_does_not_wait() -> None:
    app = Noting()
    gate = Gate(app, instruments=Instruments(process=False), max_requests=50, limited=["/probe"])
    paths = ["/probe"] * 20 + ["/-/healthy"]
    tasks = [asyncio.create_task(gate(scope(path), _nothing, _nothing)) for path in paths]  # type: ignore[arg-type]
    while not all(task.done() for task in tasks):
        app.passes += 1
        await asyncio.sleep(0)
    assert len(set(app.called["/probe"])) == 20
    assert app.called["/-/healthy"] == [1]


async def test_a_scrape_that_waits_for_its_turn_counts_and_is_ended() -> None:
    app, answered = Noting(), []

    async def send(message: object) -> None:
        answered.append(message)

    gate = Gate(app, instruments=Instruments(process=False), max_requests=1, limited=["/probe"])
    waiting = asyncio.create_task(gate(scope("/probe"), _nothing, send))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert gate.waiting == 1
    gate.stop()
    await waiting
    assert app.called["/probe"] == []
    assert answered[0]["status"] == 503  # type: ignore[index]


# The token bucket and the password cache.


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_limit_lets_everything_through() -> None:
    bucket = Bucket()
    assert all(bucket.allows(None) for _ in range(1000))
    assert all(bucket.allows(RateLimit(interval=0.0, burst=0)) for _ in range(1000))


def test_a_bucket_fills_one_token_per_interval() -> None:
    clock = Clock()
    bucket, limit = Bucket(clock), RateLimit(interval=2.0, burst=2)
    assert [True, True, False] == [bucket.allows(limit) for _ in range(3)]
    clock.now += 2.0
    assert [True, False] == [bucket.allows(limit) for _ in range(2)]


def test_a_changed_limit_starts_full() -> None:
    clock = Clock()
    bucket = Bucket(clock)
    assert [True, False] == [bucket.allows(RateLimit(interval=9.0, burst=1)) for _ in range(2)]
    assert bucket.allows(RateLimit(interval=9.0, burst=2))


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 3), st.integers(1, 5))
def test_no_more_pass_than_burst_and_time_allow(pauses: list[float], interval: float, burst: int) -> None:
    clock = Clock()
    bucket, limit = Bucket(clock), RateLimit(interval=interval, burst=burst)
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += bucket.allows(limit)
    assert passed <= burst + sum(pauses) / interval + 1e-6


async def test_passwords_are_checked_once_and_remembered() -> None:
    import bcrypt

    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}
    passwords = Passwords()
    assert await passwords.right(users, "alice", b"right")
    assert not await passwords.right(users, "alice", b"wrong")
    assert not await passwords.right(users, "bob", b"right")
    assert await passwords.right(users, "alice", b"right")


async def test_many_wrong_guesses_do_not_fill_memory() -> None:
    import bcrypt

    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}
    passwords: Any = Passwords()
    for guess in range(300):
        assert not await passwords.right(users, "alice", str(guess).encode())
    assert len(passwords._results) <= 256


@pytest.mark.parametrize("stored", ["$2b$04$tooshort", "", "$2b$99$" + "x" * 53])
async def test_a_hash_that_is_none_lets_nobody_in(stored: str) -> None:
    assert not await Passwords().right({"alice": stored}, "alice", b"right")

# SPDX-License-Identifier: Apache-2.0
"""What every request passes first: the rate limit, the passwords, the end of the process."""

import asyncio
import base64
import errno
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_exporter.exposition import Instruments
from openai_exporter.web import limits
from openai_exporter.web.limits import Bucket, HttpProtocol, Limits, Passwords
from openai_exporter.web.webconfig import RateLimit, WebFile


def _scope() -> Scope:
    named = {"type": "http", "method": "GET", "path": "/probe", "raw_path": b"/probe", "query_string": b""}
    return {**named, "headers": [], "state": {"gone": lambda: False}}


def _limits(app: ASGIApp) -> Limits:
    return Limits(app, WebFile(None), Instruments(process=False), max_requests=1, scraped=["/probe"])


async def _receive() -> Message:
    return {"type": "http.request"}


async def test_a_scrape_that_hangs_counts_and_is_ended() -> None:
    sent: list[Message] = []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        sent.append(message)

    made = _limits(hang)
    waiting = asyncio.create_task(made(_scope(), _receive, send))
    await asyncio.sleep(0)
    assert made.waiting == 1
    made.stop()
    await waiting
    assert sent[0]["status"] == 503
    assert made.waiting == 0


async def test_a_client_that_does_not_read_its_answer_keeps_nobody_out() -> None:
    read, answered = asyncio.Event(), []

    async def send_unread(message: Message) -> None:
        await read.wait()

    async def send(message: Message) -> None:
        answered.append(message.get("status"))

    made = _limits(PlainTextResponse("x"))
    deaf = asyncio.create_task(made(_scope(), _receive, send_unread))
    await asyncio.sleep(0)
    assert made.waiting == 0
    await made(_scope(), _receive, send)
    assert answered[0] == 200
    read.set()
    await deaf


async def test_a_wrong_password_that_waits_to_be_checked_takes_no_slot(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{limits.FAKE_HASH}'}}")
    made = Limits(PlainTextResponse("x"), WebFile(file), Instruments(process=False), max_requests=1, scraped=["/probe"])
    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    def guess(number: int) -> Scope:
        password = base64.b64encode(b"alice:%d" % number)
        return {**_scope(), "headers": [(b"authorization", b"Basic " + password)], "client": ("192.0.2.1", 1)}

    guesses = [asyncio.create_task(made(guess(number), _receive, send)) for number in range(3)]
    await asyncio.sleep(0)
    assert made.waiting == 0
    await asyncio.gather(*guesses)
    assert statuses.count(401) == 3


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


async def test_wrong_guesses_fill_no_memory_and_push_out_no_right_password(monkeypatch: pytest.MonkeyPatch) -> None:
    import bcrypt

    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}
    passwords: Any = Passwords()
    assert await passwords.right(users, "alice", b"right")
    for guess in range(300):
        assert not await passwords.right(users, "alice", str(guess).encode())
    for user in ("", "bob", "Alice"):
        assert not await passwords.right(users, user, b"right")
    assert len(passwords._wrong) <= 256
    monkeypatch.setattr(limits, "_matches", lambda *_: pytest.fail("it was checked again"))
    assert await passwords.right(users, "alice", b"right")


async def test_guesses_of_one_client_do_not_make_another_wait_for_all_of_them() -> None:
    import bcrypt

    users, passwords = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}, Passwords()
    guesses = [asyncio.create_task(passwords.right(users, "alice", b"%d" % n, "192.0.2.1")) for n in range(50)]
    await asyncio.sleep(0)
    assert await passwords.right(users, "alice", b"right", "192.0.2.2")
    assert sum(guess.done() for guess in guesses) < 5
    assert not any(await asyncio.gather(*guesses))


async def test_a_password_of_a_client_that_hung_up_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_matches", lambda *_: pytest.fail("it was checked"))
    assert not await Passwords().right({"alice": limits.FAKE_HASH}, "alice", b"x", gone=lambda: True)


async def test_a_changed_hash_ends_the_old_password() -> None:
    import bcrypt

    one, two = (bcrypt.hashpw(word, bcrypt.gensalt(4)).decode() for word in (b"one", b"two"))
    passwords = Passwords()
    assert await passwords.right({"alice": one}, "alice", b"one")
    assert not await passwords.right({"alice": two}, "alice", b"one")
    assert not await passwords.right({}, "alice", b"one")
    assert await passwords.right({"alice": two}, "alice", b"two")


@pytest.mark.parametrize("stored", ["$2b$04$tooshort", "", "$2b$99$" + "x" * 53])
async def test_a_hash_that_is_none_lets_nobody_in(stored: str) -> None:
    assert not await Passwords().right({"alice": stored}, "alice", b"right")


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        (b"\x01", False),
        (b"\x08", True),
        (b"\x07", True),
        (b"\x00", False),
        (OSError(errno.EBADF, "closed"), True),
        (OSError(errno.ENOPROTOOPT, "a kernel without this option"), False),
    ],
    ids=["established", "it closed", "it reset", "not told", "we closed", "no such option"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_client_is_gone_only_when_the_kernel_says_so(said: bytes | OSError, gone: bool) -> None:
    aborted: list[bool] = []

    def getsockopt(*_: int) -> bytes:
        if isinstance(said, OSError):
            raise said
        return said

    transport = SimpleNamespace(
        get_extra_info=lambda _: SimpleNamespace(getsockopt=getsockopt), abort=lambda: aborted.append(True)
    )
    connection: Any = HttpProtocol.__new__(HttpProtocol)
    connection.transport = connection.socket_transport = transport
    assert connection.gone() == gone
    assert bool(aborted) == (gone and isinstance(said, bytes))

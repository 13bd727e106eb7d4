# SPDX-License-Identifier: Apache-2.0
"""What every request passes first: the rate limit, the passwords, the end of the process."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, strategies as st
from starlette.types import Message, Receive, Scope, Send

from openai_exporter.exposition import Instruments
from openai_exporter.web.limits import Bucket, Limits, Passwords
from openai_exporter.web.webconfig import RateLimit, WebFile


async def test_a_scrape_that_hangs_counts_and_is_ended() -> None:
    sent: list[Message] = []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/probe",
        "raw_path": b"/probe",
        "query_string": b"",
        "headers": [],
    }
    limits = Limits(hang, WebFile(None), Instruments(process=False), max_requests=1, scraped=["/probe"])
    waiting = asyncio.create_task(limits(scope, receive, send))
    await asyncio.sleep(0)
    assert limits.waiting == 1
    limits.stop()
    await waiting
    assert sent[0]["status"] == 503
    assert limits.waiting == 0


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

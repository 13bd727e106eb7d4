# SPDX-License-Identifier: Apache-2.0
"""Calls end in time whatever the server does, over the right way, on a connection that is kept."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Callable

import pytest

from openai_exporter.client.session import Network
from openai_exporter.errors import UpstreamError
from tests.exporter.attempts import at_best
from tests.exporter.client.exchanges import until

from .calling import TIMEOUT, client, failure, get
from .conftest import Certificates
from .rawserver import Turn, answer, chunked, raw_server


async def test_the_connection_is_kept_for_the_next_call() -> None:
    async def respond(turn: Turn) -> None:
        await turn.send(answer(json.dumps({"turn": turn.number})))

    async with raw_server(respond) as server:
        made = client(server.url)
        assert [1, 2, 3] == [(await get(made)).body["turn"] for _ in range(3)]
        made.close()
        assert 1 == server.connections


async def test_a_connection_that_was_closed_meanwhile_is_replaced_without_a_failure() -> None:
    async def respond(turn: Turn) -> None:
        if (turn.connection, turn.number) == (1, 2):
            turn.close()
        else:
            await turn.send(answer(json.dumps({"on": turn.connection})))

    async with raw_server(respond) as server:
        made = client(server.url)
        assert [1, 2] == [(await get(made)).body["on"] for _ in range(2)]
        made.close()


@pytest.mark.parametrize("encoding", ["gzip", "chunked"])
async def test_compressed_and_chunked_answers_are_read(encoding: str) -> None:
    body = json.dumps({"text": "x" * 100_000}).encode()

    async def respond(turn: Turn) -> None:
        if encoding == "gzip":
            await turn.send(answer(gzip.compress(body), more="Content-Encoding: gzip\r\n"))
        else:
            await turn.send(chunked(body[:50_000], body[50_000:], kind="application/json"))

    async with raw_server(respond) as server:
        made = client(server.url)
        assert 100_000 == len(str((await get(made)).body["text"]))
        made.close()


async def silence(turn: Turn) -> None:
    await asyncio.sleep(30)


async def drip_body(turn: Turn) -> None:
    await turn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await turn.drip(b" " * 1000, 1, 0.05)


async def drip_head(turn: Turn) -> None:
    await turn.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000, 1, 0.05)


async def endless_chunks(turn: Turn) -> None:
    await turn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await turn.drip(b"1\r\n \r\n" * 200, 6, 0.05)


@pytest.mark.parametrize("reply", [silence, drip_head, drip_body, endless_chunks], ids=lambda f: f.__name__)
async def test_the_deadline_is_a_total_one(reply: Callable[[Turn], object]) -> None:
    async def attempt() -> tuple[UpstreamError, float]:
        start = time.monotonic()
        return await failure(reply, TIMEOUT), time.monotonic() - start

    found, passed = await at_best(attempt, lambda tried: tried[1] < TIMEOUT + 0.25)
    assert "timeout" == found.reason
    assert TIMEOUT <= passed < TIMEOUT + 0.25
    assert "did not answer completely within 0.5 s" in str(found)


@pytest.mark.parametrize("when", ["at once", "in the head", "in the body"])
async def test_a_reset_is_a_reset(when: str) -> None:
    async def respond(turn: Turn) -> None:
        if when == "in the head":
            await turn.send("HTTP/1.1 200 OK\r\nX: ")
        if when == "in the body":
            await turn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            await asyncio.sleep(0.05)
        turn.reset()

    assert "connection_reset" == (await failure(respond)).reason


async def test_a_body_that_ends_too_early_is_truncated() -> None:
    async def respond(turn: Turn) -> None:
        await turn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        turn.close()

    assert "truncated" == (await failure(respond)).reason


async def test_what_is_no_http_is_named() -> None:
    async def respond(turn: Turn) -> None:
        await turn.send("220 mail.example.com ESMTP\r\n")
        turn.close()

    assert (await failure(respond)).reason in ("connection_reset", "malformed")


async def test_a_refused_connection_is_named_with_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = client(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(UpstreamError) as found:
        await get(made)
    assert "connect" == found.value.reason
    assert f"no connection to 127.0.0.1:{port}: connection refused" == str(found.value)


async def test_an_unknown_name_is_named() -> None:
    made = client("http://openai.invalid/v1", 5)
    with pytest.raises(UpstreamError) as found:
        await get(made)
    assert ("dns", "the name of openai.invalid could not be resolved") == (found.value.reason, str(found.value))


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificates: Certificates) -> None:
    async with raw_server(lambda turn: turn.send(answer("{}")), certificates.server()) as server:
        made = client(server.url)
        with pytest.raises(UpstreamError) as found:
            await get(made)
        assert [] == server.requests
    assert "tls" == found.value.reason
    assert "certificate was not accepted" in str(found.value)


async def test_a_certificate_that_is_trusted_is_accepted(certificates: Certificates) -> None:
    async with raw_server(lambda turn: turn.send(answer('{"a": 1}')), certificates.server()) as server:
        made = client(server.url, network=Network(context=certificates.trusting))
        assert {"a": 1} == (await get(made)).body
        made.close()


async def test_a_proxy_is_used_but_not_for_what_is_excepted() -> None:
    async def respond(turn: Turn) -> None:
        await turn.send(answer('{"by": "proxy"}'))

    async with raw_server(respond) as proxy:
        network = Network({"http": proxy.url, "no": "127.0.0.1"})
        made = client("http://api.example.com/v1", network=network)
        assert {"by": "proxy"} == (await get(made)).body
        assert proxy.requests[0].startswith(b"GET http://api.example.com/v1/organization/costs")
        made.close()
        made = client("http://127.0.0.1:1/v1", network=network)
        with pytest.raises(UpstreamError):
            await get(made)
        assert 1 == len(proxy.requests)


async def test_proxies_of_the_environment_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def respond(turn: Turn) -> None:
        await turn.send(answer('{"a": 1}'))

    async with raw_server(respond) as server:
        made = client(server.url)
        assert {"a": 1} == (await get(made)).body
        made.close()


async def test_closing_ends_a_call_that_waits() -> None:
    async with raw_server(silence) as server:
        made = client(server.url, timeout=60)
        waiting = asyncio.create_task(get(made))
        await until(lambda: bool(server.requests))
        start = time.monotonic()
        made.close()
        with pytest.raises(UpstreamError):
            await waiting
    assert time.monotonic() - start < 15, "long before its deadline"

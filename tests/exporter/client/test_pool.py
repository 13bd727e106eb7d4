# SPDX-License-Identifier: Apache-2.0
"""Exchanges over real sockets: framing, reuse, stale connections, deadlines, bounds, broken answers."""

import asyncio
import gzip
import random
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from openai_exporter.client.connection import Connection, Reply
from openai_exporter.client.exchange import Exchange, Failure, FailureKind, Sent, Step, WireError
from openai_exporter.client.pool import Pool, Terms, Turns
from tests.exporter.attempts import at_best
from tests.exporter.client.conftest import Certificates
from tests.exporter.client.exchanges import broken, exchange, new_pool, until
from tests.exporter.client.rawserver import Answer, Turn, answer, chunk, chunked, raw_server

# One piece of computing per pass of the event loop.


async def test_two_pieces_never_run_in_the_same_pass() -> None:
    turns, passes, seen = Turns(), 0, []
    loop = asyncio.get_running_loop()

    def count() -> None:
        nonlocal passes
        passes += 1
        loop.call_soon(count)

    async def piece() -> None:
        await turns.turn()
        seen.append(passes)

    loop.call_soon(count)
    await asyncio.gather(*(piece() for _ in range(20)))
    assert len(set(seen)) == 20
    assert sorted(seen) == seen


async def test_a_waiter_that_was_cancelled_does_not_stop_the_others() -> None:
    turns = Turns()
    first = asyncio.create_task(turns.turn())
    second = asyncio.create_task(turns.turn())
    third = asyncio.create_task(turns.turn())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    await turns.turn()


# Exchanges over real sockets: framing, reuse, stale connections, deadlines, bounds, broken answers.

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def total(found: Exchange) -> float:
    phases = found.phases
    return phases.resolve + phases.connect + phases.tls + phases.processing + phases.transfer


def always(data: bytes) -> Answer:
    async def reply(turn: Turn) -> None:
        await turn.send(data)

    return reply


def then_close(data: bytes) -> Answer:
    async def reply(turn: Turn) -> None:
        await turn.send(data)
        turn.close()

    return reply


def then_reset(data: bytes) -> Answer:
    async def reply(turn: Turn) -> None:
        if data:
            await turn.send(data)
            await asyncio.sleep(0.02)  # let the bytes be read before the reset discards them
        turn.reset()

    return reply


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        pytest.param(always(answer("{}")), b"{}", id="content-length"),
        pytest.param(always(chunked(b"data: 1\n\n", b"data: 2\n\n")), b"data: 1\n\ndata: 2\n\n", id="chunked"),
        pytest.param(then_close(HEAD + b'\r\n{"a": 1}'), b'{"a": 1}', id="until the connection closes"),
        pytest.param(always(b"HTTP/1.1 100 Continue\r\n\r\n" + answer("{}")), b"{}", id="after an interim answer"),
        pytest.param(always(b"HTTP/1.1 204 No Content\r\n\r\n"), b"", id="no content"),
        pytest.param(
            always(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"00000001\r\nx\r\n" * 50_000 + b"0\r\n\r\n"),
            b"x" * 50_000,
            id="chunks of one byte",
        ),
    ],
)
async def test_a_whole_answer_is_read_whatever_its_framing(reply: Answer, body: bytes) -> None:
    async with raw_server(reply) as server:
        found = await exchange(new_pool(server.url), server.url)
    assert body == found.body
    assert found.status in (200, 204)
    assert found.failure is None


async def test_phases_add_up_to_the_duration() -> None:
    async def reply(turn: Turn) -> None:
        await asyncio.sleep(0.05)
        await turn.send(HEAD + b"Content-Length: 4\r\n\r\n12")
        await asyncio.sleep(0.03)
        await turn.send(b"34")

    async def attempt() -> Exchange:
        async with raw_server(reply) as server:
            return await exchange(new_pool(server.url), server.url)

    found = await at_best(attempt, lambda tried: tried.phases.processing < 0.1 and tried.phases.transfer < 0.08)
    phases = found.phases
    assert phases.connect > 0
    assert 0.05 <= phases.processing < 0.1
    assert 0.03 <= phases.transfer < 0.08
    assert total(found) == pytest.approx(found.duration)
    assert [2, 4] == [each.size for each in found.chunks]
    assert found.chunks[-1].at == pytest.approx(found.duration)


async def test_a_connection_is_used_again_and_its_phases_are_zero_then() -> None:
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        first = await exchange(pool, server.url)
        second = await exchange(pool, server.url)
    assert (False, True) == (first.reused, second.reused)
    assert second.phases.connect == 0
    assert first.address == second.address == f"127.0.0.1:{server.port}"
    assert server.connections == 1


async def test_fresh_opens_a_connection_each_time_and_keeps_none() -> None:
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        found = [await exchange(pool, server.url, fresh=True) for _ in range(3)]
        assert not any(each.reused for each in found)
        assert not (await exchange(pool, server.url)).reused
    assert server.connections == 4


STREAM = chunked(b"data: 1\n\n")
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(answer("{}", more="Connection: close\r\n"), id="the server says close"),
        pytest.param(answer("{}") + b"HTTP/1.1 200 OK\r\n", id="another answer begins"),
        pytest.param(answer("{}") + b"{}", id="bytes after the answer"),
        pytest.param(STREAM + b"data: 2\n\n", id="bytes after a stream"),
        pytest.param(STREAM + LATE, id="a 408 after a stream"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n{}", id="a 204 with a body"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", id="a 204 that announces a body"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n" + answer("1"), id="a 204 with an answer behind it"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}", id="a 304 with a body"),
    ],
)
async def test_a_connection_with_more_on_it_than_the_answer_is_not_used_again(first: bytes) -> None:
    """The next exchange gets its own answer."""

    async def reply(turn: Turn) -> None:
        await turn.send(first if turn.connection == 1 else answer('{"own": 1}'))

    async with raw_server(reply) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        found = await exchange(pool, server.url)
    assert (b'{"own": 1}', False, 0) == (found.body, found.reused, found.retries)


@pytest.mark.parametrize(
    "late",
    [pytest.param(LATE, id="a 408"), pytest.param(b"data: 2\n\n", id="bytes"), pytest.param(STREAM, id="an answer")],
)
async def test_what_comes_behind_a_finished_stream_ends_its_connection(late: bytes) -> None:
    finished = asyncio.Event()

    async def reply(turn: Turn) -> None:
        if turn.connection > 1:
            await turn.send(answer('{"own": 1}'))
            return
        await turn.send(STREAM)
        await finished.wait()
        await turn.send(late)

    async with raw_server(reply) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        finished.set()
        await until(lambda: pool.idle == 0)
        found = await exchange(pool, server.url)
    assert (b'{"own": 1}', False, 0) == (found.body, found.reused, found.retries)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_warm_connection_that_breaks_at_once_is_replaced_once_without_a_failure(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reply(turn: Turn) -> None:
        if turn.connection == 1 and turn.number == 2:
            await asyncio.sleep(0.1)
            turn.close() if how == "close" else turn.reset()
            return
        await turn.send(answer("{}"))

    monkeypatch.setattr("openai_exporter.client.pool.STALE_SECONDS", 20.0)  # a machine under load is slow

    async def attempt() -> Exchange:
        async with raw_server(reply) as server:
            pool = new_pool(server.url)
            await exchange(pool, server.url)
            return await exchange(pool, server.url)

    found = await at_best(attempt, lambda tried: tried.phases.processing < 0.1)
    assert found.status == 200
    assert (False, 1) == (found.reused, found.retries)
    assert found.duration >= 0.1, "the whole time is on the record"
    assert found.phases.connect >= 0.1
    assert found.phases.processing < 0.1
    assert total(found) == pytest.approx(found.duration)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_warm_connection_that_breaks_while_the_api_works_is_a_failure_and_not_sent_again(how: str) -> None:
    works = 0.2

    async def reply(turn: Turn) -> None:
        if turn.number == 2:
            await asyncio.sleep(works)
            turn.close() if how == "close" else turn.reset()
            return
        await turn.send(answer("{}"))

    async with raw_server(reply) as server:
        pool = new_pool(server.url)
        first = await exchange(pool, server.url)
        works += 4 * first.phases.connect  # a loss within two round trips is of a closed connection
        began = monotonic()
        found = await broken(pool, server.url)
        passed = monotonic() - began
    assert found.failure is not None
    assert (FailureKind.CONNECTION_RESET, True, 0) == (found.failure.kind, found.reused, found.retries)
    assert works <= found.duration <= passed
    assert total(found) == pytest.approx(found.duration)
    assert 2 == len(server.requests)


async def test_an_end_that_the_loop_has_yet_to_deliver_is_noticed_before_the_request_is_sent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2)
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pool = new_pool(url)
        first = asyncio.create_task(exchange(pool, url))
        there = await _answered(listener)
        await first
        there.close()  # and no turn of the loop until the next request
        again = asyncio.create_task(exchange(pool, url))
        (await _answered(listener)).close()
        found = await again
    assert (200, False, 0) == (found.status, found.reused, found.retries)


async def _answered(listener: socket.socket) -> socket.socket:
    loop = asyncio.get_running_loop()
    there, _ = await loop.sock_accept(listener)
    await loop.sock_recv(there, 4096)
    await loop.sock_sendall(there, answer("{}"))
    return there


async def test_a_warm_connection_that_answers_and_then_breaks_is_not_retried() -> None:
    async def reply(turn: Turn) -> None:
        if turn.number == 2:
            await turn.send(HEAD + b"Content-Length: 9\r\n\r\n12")
            turn.close()
            return
        await turn.send(answer("{}"))

    async with raw_server(reply) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        found = await broken(pool, server.url)
    assert found.failure is not None
    assert (FailureKind.TRUNCATED, True, 0) == (found.failure.kind, found.reused, found.retries)


async def test_an_idle_connection_that_was_closed_is_noticed_before_it_is_used() -> None:
    async def reply(turn: Turn) -> None:
        await turn.send(answer("{}"))
        turn.close()

    async with raw_server(reply) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        await until(lambda: pool.idle == 0)
        found = await exchange(pool, server.url)
    assert (False, 0) == (found.reused, found.retries)


def endless(start: bytes) -> Answer:
    """A chunked body that begins so and goes on as it began, for as long as it is read."""

    async def reply(turn: Turn) -> None:
        await turn.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + start)
        while True:
            await turn.send(start[-60_000:])

    return reply


BREAKS: dict[str, tuple[Answer, FailureKind, Step, int]] = {
    "reset before the answer": (then_reset(b""), FailureKind.CONNECTION_RESET, Step.PROCESSING, 0),
    "closed before the answer": (then_close(b""), FailureKind.CONNECTION_RESET, Step.PROCESSING, 0),
    "reset in the head": (then_reset(b"HTTP/1.1 200"), FailureKind.CONNECTION_RESET, Step.TRANSFER, 0),
    "closed in the head": (then_close(b"HTTP/1.1 200"), FailureKind.TRUNCATED, Step.TRANSFER, 0),
    "reset in the body": (
        then_reset(HEAD + b"Content-Length: 9\r\n\r\n12"), FailureKind.CONNECTION_RESET, Step.TRANSFER, 200,
    ),
    "reset in a body without a length": (
        then_reset(HEAD + b"\r\n{}"), FailureKind.CONNECTION_RESET, Step.TRANSFER, 200,
    ),
    "reset after an interim answer": (
        then_reset(b"HTTP/1.1 103 Early Hints\r\n\r\n"), FailureKind.CONNECTION_RESET, Step.PROCESSING, 0,
    ),
    "closed in the body": (
        then_close(HEAD + b"Content-Length: 9\r\n\r\n12"), FailureKind.TRUNCATED, Step.TRANSFER, 200,
    ),
    "closed between chunks": (
        then_close(chunked(b"data: 1\n\n")[:-5]), FailureKind.TRUNCATED, Step.TRANSFER, 200,
    ),
    "not HTTP": (always(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), FailureKind.MALFORMED, Step.TRANSFER, 0),
    "a broken chunk size": (
        always(chunked(b"data: 1\n\n")[:-5] + b"zz\r\n\r\n"), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
    "an endless chunk extension": (
        endless(b"1;" + b"x" * 65_536), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
    "endless trailers": (
        endless(b"1\r\nx\r\n0\r\n" + b"X: 1\r\n" * 10_000), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
    "an endless trailer": (
        endless(b"0\r\nX: " + b"x" * 65_536), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
    "switching protocols": (
        always(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        FailureKind.MALFORMED, Step.TRANSFER, 0,
    ),
    "a huge head": (
        always(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), FailureKind.RESPONSE_TOO_LARGE, Step.TRANSFER, 0,
    ),
    "too many headers": (
        always(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n"),
        FailureKind.RESPONSE_TOO_LARGE, Step.TRANSFER, 200,
    ),
    "a content coding unasked for": (
        always(answer(b"xx", more="Content-Encoding: br\r\n")), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
    "a broken gzip": (
        always(answer(b"xx", more="Content-Encoding: gzip\r\n")), FailureKind.MALFORMED, Step.TRANSFER, 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_answer_says_how_it_broke_and_where(name: str) -> None:
    reply, kind, step, status = BREAKS[name]
    async with raw_server(reply) as server:
        found = await broken(new_pool(server.url), server.url)
    assert found.failure is not None
    assert (kind, step, status) == (found.failure.kind, found.failure.step, found.status)
    assert total(found) == pytest.approx(found.duration)


@pytest.mark.parametrize("together", [True, False], ids=["in one arrival", "apart"])
async def test_an_interim_answer_does_not_end_the_processing(together: bool) -> None:
    async def reply(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.1)
        if together:
            await turn.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer("{}"))
        else:
            await turn.send(answer("{}"))

    async with raw_server(reply) as server:
        found = await exchange(new_pool(server.url), server.url)
    assert (200, b"{}") == (found.status, found.body)
    assert found.phases.processing >= 0.1
    assert found.phases.transfer < 0.1
    assert total(found) == pytest.approx(found.duration)


async def test_what_came_before_the_break_is_kept() -> None:
    async with raw_server(then_reset(chunked(b"data: 1\n\n")[:-5])) as server:
        found = await broken(new_pool(server.url), server.url)
    assert found.body == b"data: 1\n\n"
    assert len(found.chunks) == 1
    assert found.header("content-type") == "text/event-stream"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(answer("x" * 5000), id="content-length"),
        pytest.param(chunked(b"x" * 900, b"x" * 900), id="chunked"),
        pytest.param(answer(gzip.compress(b"x" * 100_000), more="Content-Encoding: gzip\r\n"), id="a compression bomb"),
    ],
)
async def test_an_answer_over_the_bound_is_cut_there(data: bytes) -> None:
    async with raw_server(always(data)) as server:
        found = await broken(new_pool(server.url), server.url, cap=1000)
    assert found.failure is not None
    assert found.failure.kind is FailureKind.RESPONSE_TOO_LARGE
    assert len(found.body) <= 1000


async def test_a_compressed_stream_keeps_its_stamps() -> None:
    import zlib

    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    second = packer.compress(b"data: 2\n\n") + packer.flush()

    async def reply(turn: Turn) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        await turn.send(head + chunk(first))
        await asyncio.sleep(0.05)
        await turn.send(chunk(second) + b"0\r\n\r\n")

    async with raw_server(reply) as server:
        found = await exchange(new_pool(server.url), server.url)
    assert found.body == b"data: 1\n\ndata: 2\n\n"
    assert [9, 18] == [each.size for each in found.chunks]
    assert found.chunks[1].at - found.chunks[0].at >= 0.04


def silent() -> Answer:
    async def reply(turn: Turn) -> None:
        await asyncio.sleep(30)

    return reply


def _step(found: Exchange) -> Step | None:
    return found.failure.step if found.failure else None


def dripping(data: bytes) -> Answer:
    async def reply(turn: Turn) -> None:
        await turn.drip(data, 1, 0.01)

    return reply


@pytest.mark.parametrize(
    ("reply", "step", "status"),
    [
        pytest.param(silent(), Step.PROCESSING, 0, id="silence"),
        pytest.param(dripping(answer("x" * 5000)), Step.TRANSFER, 0, id="a head that drips"),
        pytest.param(dripping(b"\r\n" * 5000), Step.TRANSFER, 0, id="empty lines that drip"),
    ],
)
async def test_the_total_deadline_cuts_whatever_is_going_on(reply: Answer, step: Step, status: int) -> None:
    async def attempt() -> Exchange:
        async with raw_server(reply) as server:
            return await broken(new_pool(server.url), server.url, seconds=0.2)

    found = await at_best(
        attempt, lambda tried: 0.19 <= tried.duration < 0.3 and tried.status == status and _step(tried) is step
    )
    assert found.failure is not None
    assert (FailureKind.TIMEOUT, step, status) == (found.failure.kind, found.failure.step, found.status)
    assert 0.19 <= found.duration < 0.3


async def test_a_body_that_drips_ends_at_the_deadline_with_what_had_come() -> None:
    async def reply(turn: Turn) -> None:
        await turn.send(HEAD + b"Content-Length: 5000\r\n\r\n")
        await turn.drip(b"x" * 5000, 1, 0.01)

    async def attempt() -> Exchange:
        async with raw_server(reply) as server:
            return await broken(new_pool(server.url), server.url, seconds=0.3)

    found = await at_best(attempt, lambda tried: 0.29 <= tried.duration < 0.4 and len(tried.body) > 5)
    assert found.failure is not None
    assert FailureKind.TIMEOUT is found.failure.kind
    assert 0.29 <= found.duration < 0.4
    assert 5 < len(found.body) < 40
    assert found.phases.transfer > 0.2


async def test_a_connection_that_nobody_accepts_times_out_while_connecting() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}"
            found = await broken(new_pool(url), url, seconds=0.2)
        finally:
            for filler in fillers:
                filler.close()
    assert found.failure is not None
    assert (FailureKind.TIMEOUT, Step.CONNECT) == (found.failure.kind, found.failure.step)
    assert found.phases.connect == pytest.approx(found.duration - found.phases.resolve)


async def test_a_refused_connection_is_a_connect_failure(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = await broken(new_pool(url), url)
    assert found.failure is not None
    assert FailureKind.CONNECT is found.failure.kind
    assert found.failure.message == "cannot connect: connection refused"


async def test_a_name_that_does_not_exist_is_a_dns_failure() -> None:
    url = "http://no-such-host.invalid"
    found = await broken(new_pool(url), url)
    assert found.failure is not None
    assert (FailureKind.DNS, Step.RESOLVE) == (found.failure.kind, found.failure.step)
    assert found.phases.resolve > 0


async def test_a_name_with_several_addresses_is_tried_on_each() -> None:
    async with raw_server(always(answer("{}"))) as server:
        url = f"http://localhost:{server.port}"
        found = await exchange(new_pool(url), url)
    assert found.status == 200
    assert found.phases.resolve > 0


async def test_a_request_to_another_host_is_refused() -> None:
    async with raw_server(always(answer("{}"))) as server:
        found = await broken(new_pool("http://127.0.0.1:1"), server.url)
    assert found.failure is not None
    assert FailureKind.REQUEST is found.failure.kind
    assert server.requests == []


async def test_the_credential_goes_out_but_is_masked_on_the_record() -> None:
    async with raw_server(always(answer("{}"))) as server:
        found = await exchange(new_pool(server.url), server.url)
    assert b"Authorization: Bearer sk-test-0123456789\r\n" in server.requests[0]
    assert ("Authorization", "<secret>") in found.request.headers
    assert "0123456789" not in repr(found)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_the_upload_of_a_large_request_is_part_of_its_processing(tls: bool, certificates: Certificates) -> None:
    began: list[float] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        began.append(len(head))
        await asyncio.sleep(0.2)
        await reader.readexactly(8_000_000)
        writer.write(answer("{}"))
        await writer.drain()
        writer.close()

    context = certificates.server() if tls else None
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    url = f"http{'s' if tls else ''}://localhost:{server.sockets[0].getsockname()[1]}"
    pool = new_pool(url, context=certificates.trusting)
    found = await exchange(pool, url, body=b"x" * 8_000_000)
    server.close()
    assert (200, 1) == (found.status, len(began))
    assert found.phases.processing >= 0.2
    assert total(found) == pytest.approx(found.duration)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_connection_whose_request_was_not_sent_whole_is_not_used_again(
    tls: bool, certificates: Certificates
) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer("{}", "413 Content Too Large"))
        await writer.drain()

    context = certificates.server() if tls else None
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    url = f"http{'s' if tls else ''}://localhost:{server.sockets[0].getsockname()[1]}"
    pool = new_pool(url, context=certificates.trusting)
    first = await exchange(pool, url, body=b"x" * 20_000_000)
    idle = pool.idle
    second = await exchange(pool, url)
    for writer in connections:
        writer.transport.abort()
    server.close()
    assert (413, 0) == (first.status, idle)
    assert total(first) == pytest.approx(first.duration)
    assert (413, False) == (second.status, second.reused)


async def test_idle_connections_are_closed_with_the_pool() -> None:
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        pool.close()
        assert not (await exchange(pool, server.url)).reused
        assert not (await exchange(pool, server.url)).reused, "a closed pool keeps no connection"


async def test_a_deadline_in_the_past_fails_at_once() -> None:
    async with raw_server(silent()) as server:
        began = monotonic()
        found = await broken(new_pool(server.url), server.url, seconds=-1)
        passed = monotonic() - began
    assert found.failure is not None
    assert FailureKind.TIMEOUT is found.failure.kind
    assert passed < 20, "long before the server says a word"


async def test_many_deadlines_at_the_same_moment_are_recorded_one_per_pass_and_dated_to_that_moment() -> None:
    passes = 0
    recorded_in: list[int] = []
    loop = asyncio.get_running_loop()

    def count() -> None:
        nonlocal passes
        passes += 1
        counting[0] = loop.call_soon(count)

    async def one(pool: Pool, url: str) -> float:
        began = monotonic()
        with pytest.raises(WireError) as raised:
            await pool.exchange(Sent("GET", url, (("Host", "test"),)), Terms(deadline))
        recorded_in.append(passes)
        failure = raised.value.exchange.failure
        assert failure is not None
        assert FailureKind.TIMEOUT is failure.kind
        return began + raised.value.exchange.duration

    async with raw_server(silent()) as server:
        pool = new_pool(server.url)
        await pool.prepare()
        deadline = monotonic() + 1
        counting = [loop.call_soon(count)]
        ends = await asyncio.gather(*(one(pool, server.url) for _ in range(20)))
        counting[0].cancel()
    assert len(set(recorded_in)) == 20
    assert max(ends) <= deadline, "from their starts to the deadline, however late the loop came to it"


@pytest.mark.parametrize(
    ("arrives", "body", "whole"), [("in time", b"early and later", True), ("late", b"early", False)]
)
async def test_what_has_arrived_by_the_deadline_counts_however_late_it_is_read(
    arrives: str, body: bytes, whole: bool
) -> None:
    """The loop is held up over the deadline, while a thread goes on sending."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pool = new_pool(url)
        await pool.prepare()
        loop = asyncio.get_running_loop()
        deadline = monotonic() + 1.0
        probe = asyncio.create_task(pool.exchange(Sent("GET", url, (("Host", "test"),)), Terms(deadline)))
        there, _ = await loop.sock_accept(listener)
        with there:
            await loop.sock_recv(there, 4096)
            await loop.sock_sendall(there, HEAD + b"Content-Length: 15\r\n\r\nearly")
            await asyncio.sleep(0.1)
            _hold_up(0.0 if arrives == "in time" else deadline + 0.05)
            there.send(b" and later")
            _hold_up(deadline + 0.1)
            outcome = (await asyncio.gather(probe, return_exceptions=True))[0]
    assert isinstance(outcome, Exchange) is whole
    found = outcome if isinstance(outcome, Exchange) else getattr(outcome, "exchange", None)
    assert found is not None
    assert body == found.body
    assert total(found) == pytest.approx(found.duration)
    if not whole:
        assert Failure(FailureKind.TIMEOUT, Step.TRANSFER, "the deadline passed") == found.failure
        assert found.duration <= 1.0


def _hold_up(until: float) -> None:
    while monotonic() < until:
        pass


async def test_nothing_is_sent_after_the_deadline() -> None:
    """A request might be paid for."""
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        for _ in range(2):  # on the warm connection, and on a new one
            found = await broken(pool, server.url, seconds=-1)
            assert found.failure is not None
            assert FailureKind.TIMEOUT is found.failure.kind
        await asyncio.sleep(0.05)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_no_descriptor_is_left_open_whenever_an_exchange_is_cut(tls: bool, certificates: Certificates) -> None:
    draw = random.Random(1)
    context = certificates.server() if tls else None

    async def reply(turn: Turn) -> None:
        await asyncio.sleep(draw.choice([0.0, 0.005]))
        await turn.send(answer("{}"))

    async def cut(pool: Pool, url: str, number: int) -> None:
        seconds = draw.uniform(0.0, 0.06)
        await asyncio.sleep(draw.uniform(0.0, 0.2))
        deadline = monotonic() + (seconds if number % 2 else 30.0)
        sent = Sent("GET", url, (("Host", "test"),))
        task = asyncio.create_task(pool.exchange(sent, Terms(deadline, fresh=number % 3 == 0)))
        if not number % 2:
            asyncio.get_running_loop().call_later(seconds, task.cancel)
        await asyncio.gather(task, return_exceptions=True)

    async with raw_server(reply, context) as server:
        url = f"{server.url.replace('127.0.0.1', 'localhost')}/"
        pool = new_pool(url, context=certificates.trusting)
        await pool.prepare()
        before = descriptors()
        await asyncio.gather(*(cut(pool, url, number) for number in range(300)))
        pool.close()
        await until(lambda: descriptors() <= before, seconds=10)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_clock_of_a_warm_connection_begins_when_the_request_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it takes to choose a connection is none of the API's time."""
    written: list[float] = []

    def taking(pool: Pool) -> Connection | None:
        _hold_up(monotonic() + 0.05)
        return take(pool)

    def writing(connection: Connection, request: bytes, reply: Reply) -> Coroutine[Any, Any, None]:
        written.append(monotonic())
        return send(connection, request, reply)

    take, send = Pool._take, Connection.exchange
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        monkeypatch.setattr(Pool, "_take", taking)
        monkeypatch.setattr(Connection, "exchange", writing)
        found = await exchange(pool, server.url)
        passed = monotonic() - written[0]
    assert found.reused
    assert found.duration <= passed + 0.001
    assert total(found) == pytest.approx(found.duration)


@pytest.mark.parametrize("bound", ["IDLE_SECONDS", "MAX_AGE_SECONDS"])
async def test_a_connection_that_was_idle_or_open_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    async with raw_server(always(answer("{}"))) as server:
        pool = new_pool(server.url)
        await exchange(pool, server.url)
        monkeypatch.setattr(f"openai_exporter.client.pool.{bound}", -1.0)
        found = await exchange(pool, server.url)
    assert (200, False, 0) == (found.status, found.reused, found.retries)

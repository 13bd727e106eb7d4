# SPDX-License-Identifier: Apache-2.0
"""Exchanges with one origin: idle connections, one retry where a stale one was taken, the total deadline."""

import asyncio
import re
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from urllib.parse import urlsplit

from openai_exporter.client.connection import Connection, Reply
from openai_exporter.client.network import Proxy, ProxyError, client_context, proxy_for
from openai_exporter.client.opening import Route, open_connection
from openai_exporter.client.stamp import keep_stamping
from openai_exporter.client.trace import (
    Exchange,
    Failure,
    FailureKind,
    Sent,
    Step,
    StepError,
    Trace,
    WireError,
    shown_headers,
)
from openai_exporter.model import Chunk

# Lets pieces of computing run one per pass of the event loop, so that sockets are read, and stamped, in between.


class Turns:
    """Without it, a hundred answers judged in one pass would delay the stamps of every other one by all of them."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running = False

    async def turn(self) -> None:
        """Wait for a pass of one's own; what follows up to the next await should take about a millisecond."""
        await self._enqueued(asyncio.get_running_loop())

    def call(self, piece: Callable[[], object]) -> None:
        """Call `piece` in a pass of its own."""
        self._enqueued(asyncio.get_running_loop()).add_done_callback(lambda _: piece())

    def _enqueued(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._running:
            self._running = True
            loop.call_soon(self._next, loop)
        return mine

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # a waiter may have been cancelled
                future.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._running = False


# Cuts an exchange at its deadline; many that end at the same moment are cut one per pass of the event loop.


class Deadline:
    """The total deadline of one exchange.

    The moment it passes is what counts, and nothing that comes later does; the cut itself, which has a connection
    to close and a result to judge, takes its turn.

    Attributes:
        passed_at: monotonic seconds at which it was seen to have passed, None while it has not.

    Args:
        at: monotonic seconds.
        passed: called at the moment it passes.
    """

    def __init__(self, at: float, turns: Turns, passed: Callable[[], None]) -> None:
        self.passed_at: float | None = None
        self._at = at
        self._turns = turns
        self._passed = passed
        self._over = False

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Cut what runs in the block.

        Raises:
            TimeoutError: it was cut.
        """
        async with asyncio.timeout(None) as timeout:
            timer = asyncio.get_running_loop().call_at(self._at, self._pass, timeout)
            try:
                yield
            finally:
                timer.cancel()
                self._over = True

    def _pass(self, timeout: asyncio.Timeout) -> None:
        self.passed_at = monotonic()
        self._passed()
        self._turns.call(lambda: self._cut(timeout))

    def _cut(self, timeout: asyncio.Timeout) -> None:
        if not self._over:
            timeout.reschedule(self._at)


# Requests to bytes, and stamps to a finished record; no sockets here.

_UNSAFE = re.compile(r"[\x00\r\n]")


def encode_request(request: Sent, proxy: Proxy | None = None) -> bytes:
    """The request as HTTP/1.1 bytes; through a plain proxy its target is the whole URL.

    Raises:
        ValueError: a header holds a line break, or a character that HTTP cannot carry.
    """
    parts = urlsplit(request.url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if proxy is not None:
        target = f"{parts.scheme}://{parts.netloc}{target}"
    lines = [f"{request.method} {target} HTTP/1.1"]
    for name, value in request.headers:
        if _UNSAFE.search(value) or not value.isascii():
            raise ValueError(f"the value for header {name} holds a character that HTTP cannot carry")
        lines.append(f"{name}: {value}")
    if proxy is not None and proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def finished(
    request: Sent, trace: Trace, reply: Reply, failure: Failure | None = None, failed_at: float | None = None
) -> Exchange:
    """Freeze an exchange; a content coding that cannot be undone becomes its failure.

    Args:
        failed_at: monotonic seconds of the failure, None for now.
    """
    if failure is None and reply.last_at is not None:
        ended = reply.last_at
    else:
        ended = monotonic() if failed_at is None else failed_at
    duration = ended - trace.began
    body, arrivals = b"".join(reply.parts), reply.arrivals
    coding = next((value for name, value in reply.headers if name == "content-encoding"), "").lower()
    if coding not in ("", "identity"):
        decoded = _decoded(body, arrivals, coding, reply.cap)
        if isinstance(decoded, Failure):
            failure = failure or decoded
        else:
            body, arrivals = decoded
    complete_head = reply.headers_done
    return Exchange(
        request=Sent(request.method, request.url, shown_headers(request.headers), request.body),
        duration=duration,
        phases=trace.phases(reply.first_at, ended),
        reused=trace.reused,
        retries=trace.retries,
        address=trace.address,
        proxy=trace.proxy,
        status=reply.status if complete_head else 0,
        http_version=float(reply.version) if reply.version else None,
        headers=tuple(reply.headers) if complete_head else (),
        body=body,
        chunks=tuple([Chunk(at - trace.began, size) for at, size in arrivals]),
        size=reply.size,
        tls=trace.peer.facts() if trace.peer else None,
        failure=_located(failure, reply),
    )


def _located(failure: Failure | None, reply: Reply) -> Failure | None:
    """While processing, the first byte of an answer is what moves an exchange on to its transfer."""
    if failure is None or failure.step is not Step.PROCESSING or reply.first_at is None:
        return failure
    return Failure(failure.kind, Step.TRANSFER, failure.message)


def _decoded(
    body: bytes, arrivals: list[tuple[float, int]], coding: str, cap: int
) -> tuple[bytes, list[tuple[float, int]]] | Failure:
    """Undo gzip or deflate arrival by arrival, so that stamps keep pointing at the right bytes."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return Failure(
            FailureKind.MALFORMED, Step.TRANSFER, "the answer has a content coding nobody asked for"
        )
    decoder = zlib.decompressobj(wbits=47)
    out = bytearray()
    stamped: list[tuple[float, int]] = []
    start = 0
    for at, end in arrivals:
        try:
            out += decoder.decompress(body[start:end], max_length=max(cap + 1 - len(out), 1))
        except zlib.error:
            return Failure(FailureKind.MALFORMED, Step.TRANSFER, f"the answer is not valid {coding}")
        if len(out) > cap:
            return Failure(FailureKind.TOO_LARGE, Step.TRANSFER, f"the answer is larger than {cap} bytes")
        stamped.append((at, len(out)))
        start = end
    return bytes(out), stamped


# Exchanges with one origin: idle connections, one retry where a stale one was taken, the total deadline.

DEFAULT_CAP = 1024 * 1024
IDLE_SECONDS = 90.0
MAX_AGE_SECONDS = 600.0
"""A warm connection older than this is replaced, so that a change of DNS, route or certificate is followed."""
MAX_IDLE = 128

STALE_SECONDS = 0.005
"""A loss this soon after the request was sent (or within two round trips) was of a closed connection."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How an exchange is to be done.

    Attributes:
        deadline: monotonic seconds at which it is cut, whatever it is doing.
        fresh: open a new connection and close it afterwards.
        cap: bytes of body that are accepted.
    """

    deadline: float
    fresh: bool = False
    cap: int = DEFAULT_CAP


class Pool:
    """Connections to the origin of one base URL; requests to any other origin are refused."""

    def __init__(
        self,
        base_url: str,
        *,
        proxies: Mapping[str, str] = MappingProxyType({}),
        context: Callable[[], ssl.SSLContext] = client_context,
        turns: Turns | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self._proxies = dict(proxies)
        self._make_context = context
        self._turns = turns or Turns()
        self._route: Route | None = None
        self._idle: list[Connection] = []
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for their next exchange."""
        return sum(connection.usable for connection in self._idle)

    async def prepare(self) -> None:
        """Load certificates, settle the proxy, have the kernel stamp: no exchange pays for any of it.

        Raises:
            ProxyError: the proxy's URL cannot be used.
        """
        if self._route is not None:
            return
        await asyncio.to_thread(keep_stamping)
        proxy = proxy_for(self.scheme, self.host, self.port, self._proxies)
        context = None
        if self.scheme == "https" or (proxy is not None and proxy.tls):
            context = await asyncio.to_thread(self._make_context)
        target_context = context if self.scheme == "https" else None
        self._route = Route(self.host, self.port, target_context, proxy, context)

    async def exchange(self, request: Sent, terms: Terms) -> Exchange:
        """Send a request and read its whole answer.

        Raises:
            WireError: no whole answer came; it carries what there was.
        """
        trace = Trace()
        reply = Reply(terms.cap)
        try:
            await self.prepare()
            payload = self._payload(request)
        except (ProxyError, ValueError) as error:
            kind = FailureKind.PROXY if isinstance(error, ProxyError) else FailureKind.REQUEST
            failure = Failure(kind, Step.CONNECT, str(error))
            raise WireError(finished(request, trace, reply, failure)) from error
        return await self._timed(request, payload, terms, trace)

    def close(self) -> None:
        """Close the idle connections, and from now on each one after its exchange."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _timed(self, request: Sent, payload: bytes, terms: Terms, trace: Trace) -> Exchange:
        trace.start()
        replies: list[Reply] = []
        failure: Failure | None = None
        deadline = Deadline(terms.deadline, self._turns, lambda: _stop(trace, replies))
        try:
            async with deadline.watching():
                await self._attempts(payload, terms, trace, replies)
        except (TimeoutError, StepError) as error:
            failure = _failed(error, trace, deadline)
        _stop(trace, replies)
        reply = replies[-1] if replies else Reply(terms.cap)
        exchange = finished(request, trace, reply, failure, deadline.passed_at)
        if exchange.failure is not None:
            raise WireError(exchange)
        return exchange

    async def _attempts(self, payload: bytes, terms: Terms, trace: Trace, replies: list[Reply]) -> None:
        """At most two: a warm connection that the server had closed already is replaced once.

        A loss that is seen later is the API's: it had the request, and may have charged for it.
        """
        warm = None if terms.fresh else self._take()
        if warm is not None:
            trace.reused = True
            trace.address, trace.peer = warm.address, warm.peer
            sent = monotonic()
            try:
                return await self._attempt(warm, payload, terms, trace, replies)
            except StepError as error:
                at_once = monotonic() - sent <= max(STALE_SECONDS, 2 * warm.connect_seconds)
                if error.kind is not FailureKind.RESET or replies[-1].last_at is not None or not at_once:
                    raise
            replies.clear()
            trace.retry()
        assert self._route is not None
        trace.proxy = str(self._route.proxy or "")
        connection = await open_connection(self._route, trace)
        await self._attempt(connection, payload, terms, trace, replies)

    async def _attempt(
        self, connection: Connection, payload: bytes, terms: Terms, trace: Trace, replies: list[Reply]
    ) -> None:
        if monotonic() >= terms.deadline:
            raise TimeoutError
        reply = Reply(terms.cap)
        replies.append(reply)
        if trace.reused:
            trace.step = Step.PROCESSING
        else:
            trace.enter(Step.PROCESSING)
        try:
            await connection.exchange(payload, reply)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, reply, terms.fresh)

    def _take(self) -> Connection | None:
        """The idle connection that was used last, so that the others can grow old and be closed."""
        now = monotonic()
        while self._idle and self._idle[0].idle_since < now - IDLE_SECONDS:
            self._idle.pop(0).close()
        while self._idle:
            connection = self._idle.pop()
            young = connection.opened_at >= now - MAX_AGE_SECONDS
            if young and connection.usable and not connection.disturbed:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection, reply: Reply, fresh: bool) -> None:
        keep = reply.keep_alive and not reply.surplus and not fresh and connection.usable
        if keep and not self._closed and len(self._idle) < MAX_IDLE:
            connection.idle_since = monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def _payload(self, request: Sent) -> bytes:
        assert self._route is not None
        parts = urlsplit(request.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if (parts.scheme, parts.hostname, port) != (self.scheme, self.host, self.port):
            raise ValueError("the request leads to another host than the target's base_url")
        proxy: Proxy | None = self._route.proxy if self.scheme == "http" else None
        return encode_request(request, proxy)


def _stop(trace: Trace, replies: list[Reply]) -> None:
    trace.stop()
    for reply in replies:
        reply.stop()


def _failed(error: Exception, trace: Trace, deadline: Deadline) -> Failure:
    if deadline.passed_at is None and isinstance(error, StepError):
        return Failure(error.kind, trace.step, str(error))
    return _timeout(trace)


def _timeout(trace: Trace) -> Failure:
    if trace.to_proxy:
        message = f"cannot reach the proxy {trace.proxy}: the deadline passed"
        return Failure(FailureKind.PROXY, trace.step, message)
    return Failure(FailureKind.TIMEOUT, trace.step, "the deadline passed")

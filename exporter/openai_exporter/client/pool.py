# SPDX-License-Identifier: Apache-2.0
"""Exchanges with one origin: idle connections, one retry where a stale one was taken, the total deadline."""

import asyncio
import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from urllib.parse import urlsplit

from openai_exporter.client import exchange as t, network
from openai_exporter.client.connection import Connection, Reply, keep_stamping
from openai_exporter.client.network import Route, open_connection
from openai_exporter.config.secret import MASK
from openai_exporter.errors import EXHAUSTED, is_exhausted
from openai_exporter.model import Chunk

DEFAULT_CAP = 1024 * 1024
IDLE_SECONDS = 90.0
MAX_AGE_SECONDS = 600.0
"""A warm connection older than this is replaced, so that a change of DNS, route or certificate is followed."""
MAX_IDLE = 128

STALE_SECONDS = 0.005
"""A loss this soon after the request was sent (or within two round trips) was of a closed connection."""

_UNSAFE = re.compile(r"[\x00\r\n]")


class Turns:
    """Lets pieces of computing run one per pass of the event loop, so that it reads sockets and answers in between."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a pass of one's own; what follows up to the next await should take about a millisecond."""
        async with self._lock:
            await asyncio.sleep(0)


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
        context: Callable[[], ssl.SSLContext] = network.client_context,
        turns: Turns | None = None,
    ) -> None:
        self.scheme, self.host, self.port = network.origin(base_url)
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
        proxy = network.proxy_for(self.scheme, self.host, self.port, self._proxies)
        context = None
        if self.scheme == "https" or (proxy is not None and proxy.tls):
            context = await asyncio.to_thread(self._make_context)
        target_context = context if self.scheme == "https" else None
        self._route = Route(self.host, self.port, target_context, proxy, context)

    async def exchange(self, request: t.Sent, terms: Terms) -> t.Exchange:
        """Send a request and read its whole answer.

        Raises:
            WireError: no whole answer came; it carries what there was.
        """
        reply = Reply(terms.cap, terms.deadline)
        try:
            await self.prepare()
            payload = self._payload(request)
        except ValueError as error:
            kind = t.FailureKind.PROXY if isinstance(error, network.ProxyError) else t.FailureKind.REQUEST
            failure = t.Failure(kind, t.Step.CONNECT, str(error))
            raise t.WireError(_record(request, t.Trace(), reply, monotonic(), failure)) from error
        trace = t.Trace(terms.deadline)
        exchange = await self._timed(request, payload, terms, trace, reply)
        if exchange.failure is not None:
            raise t.WireError(exchange)
        return exchange

    def close(self) -> None:
        """Close the idle connections, and from now on each one after its exchange."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _timed(self, request: t.Sent, payload: bytes, terms: Terms, trace: t.Trace, reply: Reply) -> t.Exchange:
        failure: t.Failure | None = None
        try:
            async with asyncio.timeout_at(terms.deadline):
                await self._attempts(payload, terms, trace, reply)
        except (TimeoutError, t.StepError) as error:
            ended = max(min(monotonic(), terms.deadline), trace.began)
            if ended < terms.deadline and isinstance(error, t.StepError):
                failure = _failure(trace, reply, error)
            elif not reply.done:  # a whole answer counts, however late the loop came to read it
                failure = _failure(trace, reply)
                # Many deadlines may pass together: the cut takes no time, but its record does, and what is made of it.
                await self._turns.turn()
        if failure is None:
            ended = reply.last_at or trace.began
        return _record(request, trace, reply, ended, failure)

    async def _attempts(self, payload: bytes, terms: Terms, trace: t.Trace, reply: Reply) -> None:
        """At most two: a warm connection that the server had closed already is replaced once.

        A loss that is seen later is the API's: it had the request, and may have charged for it.
        """
        warm = None if terms.fresh else self._take()
        if warm is not None:
            trace.reused = True
            trace.address, trace.peer = warm.address, warm.peer
            try:
                return await self._attempt(warm, payload, terms, trace, reply)
            except t.StepError as error:
                at_once = monotonic() - trace.began <= max(STALE_SECONDS, 2 * warm.connect_seconds)
                if error.kind is not t.FailureKind.CONNECTION_RESET or reply.last_at is not None or not at_once:
                    raise
            trace.retry()
        assert self._route is not None
        trace.proxy = str(self._route.proxy or "")
        connection = await open_connection(self._route, trace)
        await self._attempt(connection, payload, terms, trace, reply)

    async def _attempt(
        self, connection: Connection, payload: bytes, terms: Terms, trace: t.Trace, reply: Reply
    ) -> None:
        """Exchange on this connection, which is kept for the next exchange or closed, however this one ends."""
        keep = False
        try:
            if monotonic() >= terms.deadline:
                raise TimeoutError
            trace.enter(t.Step.PROCESSING)
            await connection.exchange(payload, reply)
            keep = reply.keep_alive and not terms.fresh and not self._closed and connection.usable
        finally:
            if keep and len(self._idle) < MAX_IDLE:
                connection.idle_since = monotonic()
                self._idle.append(connection)
            else:
                connection.close()

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

    def _payload(self, request: t.Sent) -> bytes:
        """The request as HTTP/1.1 bytes; through a plain proxy its target is the whole URL.

        Raises:
            ValueError: another origin, or a header with a line break or a character that HTTP cannot carry.
        """
        assert self._route is not None
        if network.origin(request.url) != (self.scheme, self.host, self.port):
            raise ValueError("the request leads to another host than the target's base_url")
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = self._route.proxy if self.scheme == "http" else None
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


def _failure(trace: t.Trace, reply: Reply, error: t.StepError | None = None) -> t.Failure:
    """Why an exchange ended early; without an error, because the deadline passed."""
    # While processing, the first byte of an answer is what moves an exchange on to its transfer.
    answered = trace.step is t.Step.PROCESSING and reply.first_at is not None
    step = t.Step.TRANSFER if answered else trace.step
    if error is not None:
        if is_exhausted(error):
            return t.Failure(t.FailureKind.BUSY, step, f"{EXHAUSTED}: {error}")
        return t.Failure(error.kind, step, str(error))
    if trace.to_proxy:
        message = f"cannot reach the proxy {trace.proxy}: the deadline passed"
        return t.Failure(t.FailureKind.PROXY, step, message)
    return t.Failure(t.FailureKind.TIMEOUT, step, "the deadline passed")


def _record(request: t.Sent, trace: t.Trace, reply: Reply, ended: float, failure: t.Failure | None) -> t.Exchange:
    """Freeze an exchange; a content coding that cannot be undone becomes its failure."""
    body, arrivals = b"".join(reply.parts), reply.arrivals
    coding = dict(reversed(reply.headers)).get("content-encoding", "").lower()
    if coding not in ("", "identity"):
        try:
            body, arrivals = _decoded(body, arrivals, coding, reply.cap)
        except t.StepError as error:
            failure = failure or t.Failure(error.kind, t.Step.TRANSFER, str(error))
    shown = [(name, MASK if name.lower() in t.SECRET_HEADERS else value) for name, value in request.headers]
    return t.Exchange(
        request=t.Sent(request.method, request.url, tuple(shown), request.body),
        duration=ended - trace.began,
        phases=trace.phases(reply.first_at, ended),
        reused=trace.reused,
        retries=trace.retries,
        address=trace.address,
        proxy=trace.proxy,
        status=reply.status if reply.headers_done else 0,
        http_version=float(reply.version) if reply.version else None,
        headers=tuple(reply.headers) if reply.headers_done else (),
        body=body,
        chunks=tuple([Chunk(at - trace.began, size) for at, size in arrivals]),
        size=reply.size,
        tls=trace.peer.facts if trace.peer else None,
        failure=failure,
    )


def _decoded(
    body: bytes, arrivals: list[tuple[float, int]], coding: str, cap: int
) -> tuple[bytes, list[tuple[float, int]]]:
    """Undo gzip or deflate arrival by arrival, so that stamps keep pointing at the right bytes.

    Raises:
        StepError: another coding, a broken one, or more than `cap` bytes.
    """
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise t.StepError(t.FailureKind.MALFORMED, "the answer has a content coding nobody asked for")
    decoder = zlib.decompressobj(wbits=47)
    out = bytearray()
    stamped: list[tuple[float, int]] = []
    start = 0
    for at, end in arrivals:
        try:
            out += decoder.decompress(body[start:end], max_length=max(cap + 1 - len(out), 1))
        except zlib.error:
            raise t.StepError(t.FailureKind.MALFORMED, f"the answer is not valid {coding}") from None
        if len(out) > cap:
            raise t.StepError(t.FailureKind.RESPONSE_TOO_LARGE, f"the answer is larger than {cap} bytes")
        stamped.append((at, len(out)))
        start = end
    return bytes(out), stamped

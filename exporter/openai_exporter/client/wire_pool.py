# SPDX-License-Identifier: Apache-2.0
"""Exchanges with one origin: idle connections, one retry where a stale one was taken, the total deadline."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from urllib.parse import urlsplit

from openai_exporter.client.proxy import Proxy, ProxyError, proxy_for
from openai_exporter.client.tls import client_context
from openai_exporter.client.trace import (
    Exchange,
    Failure,
    FailureKind,
    Sent,
    Step,
    StepError,
    Trace,
    WireError,
)
from openai_exporter.client.turns import Turns
from openai_exporter.client.wire_connect import Route, open_connection
from openai_exporter.client.wire_connection import Connection
from openai_exporter.client.wire_deadline import Deadline
from openai_exporter.client.wire_message import encode_request, finished
from openai_exporter.client.wire_reply import Reply
from openai_exporter.client.wire_stamp import keep_stamping

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

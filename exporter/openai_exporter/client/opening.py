# SPDX-License-Identifier: Apache-2.0
"""Opens a connection: resolves, dials, asks the proxy for a tunnel, starts TLS, and stamps each step."""

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

from openai_exporter.client import network
from openai_exporter.client.connection import Connection, Reply
from openai_exporter.client.network import Proxy
from openai_exporter.client.stamp import StampedSocket
from openai_exporter.client.trace import FailureKind, Peer, Step, StepError, Trace

# Looks names up in threads of their own, so that one name that hangs delays no other.

Address = tuple[int, Any]
"""Address family and socket address."""

PATIENCE = 2.0
"""Seconds after which a lookup that runs is not joined any more while another may be begun."""

MOST = 4
"""Lookups of one name at a time, however long they hang."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    began: float
    future: Future[Sequence[Address]] = field(default_factory=Future)


def system_lookup(host: str, port: int) -> Sequence[Address]:
    """The addresses as the system's resolver gives them, with /etc/hosts and all.

    Raises:
        OSError, UnicodeError: there is none, or the name is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Lookups:
    """Lookups that run; whoever asks for the same name meanwhile shares one of them.

    A pool of threads would have a queue, and time in a queue would be read as slow DNS; the threads are
    bounded per name instead, and names come from the configuration alone.
    """

    def __init__(self, lookup: Callable[[str, int], Sequence[Address]] = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], list[_Lookup]] = {}
        self._lock = threading.Lock()

    async def find(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a name; safe from any event loop, and to cancel.

        Raises:
            OSError, UnicodeError: as the lookup raised it.
        """
        return await asyncio.wrap_future(self._joined((host, port)).future)

    def _joined(self, name: tuple[str, int]) -> _Lookup:
        with self._lock:
            running = self._running.setdefault(name, [])
            if running and (len(running) >= MOST or monotonic() - running[-1].began < PATIENCE):
                return running[-1]
            started = _Lookup(monotonic())
            started.future.set_running_or_notify_cancel()  # from now on nobody can cancel it for the others
            running.append(started)
        # A daemon: a lookup that hangs must not hold up the end of the process.
        threading.Thread(target=self._run, args=(name, started), name="resolve", daemon=True).start()
        return started

    def _run(self, name: tuple[str, int], lookup: _Lookup) -> None:
        try:
            found = self._lookup(*name)
        except Exception as error:
            self._forget(name, lookup)
            lookup.future.set_exception(error)
        else:
            self._forget(name, lookup)
            lookup.future.set_result(found)

    def _forget(self, name: tuple[str, int], lookup: _Lookup) -> None:
        with self._lock:
            running = self._running[name]
            running.remove(lookup)
            if not running:
                del self._running[name]


LOOKUPS = Lookups()
"""What every pool uses."""

# From a host name to a connected socket, in the two steps resolve and connect.

STAGGER = 0.25
"""Seconds that one address gets before the next is tried beside it (RFC 8305 recommends this)."""


async def resolve(host: str, port: int, trace: Trace) -> Sequence[Address]:
    """The addresses of a host; one that is an address itself takes no time.

    Raises:
        StepError: there is none.
    """
    host = host.strip("[]")
    with contextlib.suppress(ValueError):
        ip = ipaddress.ip_address(host)
        trace.step = Step.CONNECT
        return [(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, (host, port))]
    try:
        found = await LOOKUPS.find(host, port)
    except (OSError, UnicodeError) as error:
        raise StepError(FailureKind.DNS, f"cannot resolve {host}: {words(error)}") from error
    trace.enter(Step.CONNECT)
    return found


async def connect(addresses: Sequence[Address], trace: Trace) -> StampedSocket:
    """A connected socket.

    Raises:
        StepError: no address answers.
    """
    try:
        if len(addresses) == 1:
            sock = await _connect_one(*addresses[0])
        else:
            sock = await connect_any(addresses)
    except OSError as error:
        raise StepError(FailureKind.CONNECT, f"cannot connect: {words(error)}") from error
    host, port = sock.getpeername()[:2]
    trace.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return sock


async def _connect_one(family: int, address: Any) -> StampedSocket:
    sock = StampedSocket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # asyncio does this only for sockets made with an explicit protocol number.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.stamp()
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def connect_any(addresses: Sequence[Address]) -> StampedSocket:
    """A socket to the first address that answers; the next is tried when one fails or is slow.

    Raises:
        OSError: none answers.
    """
    waiting = list(addresses)
    running: set[asyncio.Task[StampedSocket]] = set()
    error: OSError = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect_one(*waiting.pop(0))))
            timeout = STAGGER if waiting else None
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            won, failed = _sorted_out(done)
            if won is not None:
                return won
            error = failed or error
        raise error
    finally:
        await _abandon(running)


def _sorted_out(done: set[asyncio.Task[StampedSocket]]) -> tuple[StampedSocket | None, OSError | None]:
    won: StampedSocket | None = None
    failed: OSError | None = None
    for task in done:
        error = task.exception()
        if error is None and won is None:
            won = task.result()
        elif error is None:
            task.result().close()
        elif isinstance(error, OSError):
            failed = error
        else:
            raise error
    return won, failed


async def _abandon(running: set[asyncio.Task[StampedSocket]]) -> None:
    for task in running:
        task.cancel()
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


def words(error: Exception) -> str:
    """The system's words for an error, without the addresses that asyncio adds to them."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno).lower()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


# Asks an HTTP proxy for a tunnel (CONNECT) on a fresh connection.

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MAX_HEAD = 16 * 1024
_UNREACHABLE = frozenset({502, 503, 504})
"""What a proxy answers to CONNECT when it is the other end that fails."""


class _TunnelReply(Reply):
    """The proxy's answer ends with its head; what follows belongs to the tunnel."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        super().__init__(cap=0)
        self._buffer = b""

    def feed(self, now: float, data: bytes) -> None:
        """Take in bytes until the head is complete."""
        self._buffer += data
        self.first_at = self.first_at or now
        if b"\r\n\r\n" in self._buffer:
            found = _STATUS.match(self._buffer)
            self.status = int(found[1]) if found else 0
            self.done = True
        elif len(self._buffer) > _MAX_HEAD:
            self.problem = (FailureKind.PROXY, "the proxy's answer to CONNECT has no end")


async def open_tunnel(connection: Connection, host: str, port: int, proxy: Proxy) -> None:
    """Make `connection` lead to `host:port`.

    Raises:
        StepError: the proxy cannot reach the other end (`connect`), refuses, or speaks something else (`proxy`).
    """
    authority = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    reply = _TunnelReply()
    try:
        await connection.exchange(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), reply)
    except StepError as error:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} did not answer CONNECT: {error}") from error
    if reply.status in _UNREACHABLE:
        what = f"the proxy {proxy} could not reach the API: status {reply.status}"
        raise StepError(FailureKind.CONNECT, what)
    if not 200 <= reply.status < 300:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} refused the tunnel: {_refusal(reply.status)}")


def _refusal(status: int) -> str:
    if status == 407:
        return "status 407, it wants a user and password in the proxy's URL"
    return f"status {status}" if status else "not an HTTP answer"


# Opens a connection: dials, asks the proxy for a tunnel, starts TLS, and stamps each step.


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection leads; `context` is None without TLS."""

    host: str
    port: int
    context: ssl.SSLContext | None
    proxy: Proxy | None = None
    proxy_context: ssl.SSLContext | None = None


async def open_connection(route: Route, trace: Trace) -> Connection:
    """Open a connection.

    Raises:
        StepError: a step failed; `trace.step` says which.
    """
    if route.proxy is None:
        connection = await _dial(route.host, route.port, trace)
    else:
        connection = await _reach(route.proxy, route.proxy_context, trace)
    try:
        await _secure(connection, route, trace)
    except BaseException:
        connection.close()
        raise
    connection.address = trace.address
    connection.peer = trace.peer
    return connection


async def _dial(host: str, port: int, trace: Trace) -> Connection:
    loop = asyncio.get_running_loop()
    addresses = await resolve(host, port, trace)
    began = loop.time()
    sock = await connect(addresses, trace)
    took = loop.time() - began
    try:
        _, connection = await loop.create_connection(lambda: Connection(loop, sock), sock=sock)
    except OSError as error:
        sock.close()
        raise StepError(FailureKind.CONNECT, f"cannot connect: {words(error)}") from error
    except BaseException:
        sock.close()
        raise
    connection.connect_seconds = took
    return connection


async def _reach(proxy: Proxy, context: ssl.SSLContext | None, trace: Trace) -> Connection:
    """A connection to the proxy; whatever goes wrong until then says nothing about the API."""
    trace.to_proxy = True
    try:
        connection = await _dial(proxy.host, proxy.port, trace)
        if proxy.tls:
            try:
                await _start_tls(connection, context, proxy.host, trace)
            except BaseException:
                connection.close()
                raise
    except StepError as error:
        raise StepError(FailureKind.PROXY, f"cannot reach the proxy {proxy}: {error}") from error
    trace.to_proxy = False
    return connection


async def _secure(connection: Connection, route: Route, trace: Trace) -> None:
    if route.context is None:
        return
    if route.proxy is not None:
        trace.enter(Step.PROXY)
        await open_tunnel(connection, route.host, route.port, route.proxy)
    await _start_tls(connection, route.context, route.host, trace)
    secured = cast(ssl.SSLObject | None, connection.transport.get_extra_info("ssl_object"))
    trace.peer = Peer(secured) if secured is not None else None


async def _start_tls(connection: Connection, context: ssl.SSLContext | None, host: str, trace: Trace) -> None:
    assert context is not None
    trace.enter(Step.TLS)
    loop = asyncio.get_running_loop()
    try:
        transport = await loop.start_tls(
            connection.transport, connection, context, server_hostname=host.strip("[]"),
            ssl_handshake_timeout=3600.0,  # the exchange's own deadline is what counts
        )  # fmt: skip
    except ssl.SSLError as error:
        raise StepError(FailureKind.TLS, network.reason(error)) from error
    except OSError as error:
        said = words(error) if error.errno else "the connection was closed"
        raise StepError(FailureKind.TLS, f"the TLS handshake failed: {said}") from error
    if transport is None:
        raise StepError(FailureKind.TLS, "the TLS handshake failed: the connection was closed")
    connection.use(transport)

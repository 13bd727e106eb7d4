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
from openai_exporter.client.connection import Connection, Reply, StampedSocket
from openai_exporter.client.trace import FailureKind, Step, StepError, Trace

Address = tuple[int, Any]
"""Address family and socket address."""

STAGGER = 0.25
"""Seconds that one address gets before the next is tried beside it (RFC 8305 recommends this)."""

PATIENCE = 2.0
"""Seconds after which a lookup that runs is not joined any more while another may be begun."""

MOST = 4
"""Lookups of one name at a time, however long they hang."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MAX_HEAD = 16 * 1024
_UNREACHABLE = frozenset({502, 503, 504})
"""What a proxy answers to CONNECT when it is the other end that fails."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection leads; `context` is None without TLS."""

    host: str
    port: int
    context: ssl.SSLContext | None
    proxy: network.Proxy | None = None
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
        if route.context is not None:
            if route.proxy is not None:
                trace.enter(Step.PROXY)
                await open_tunnel(connection, route.host, route.port, route.proxy)
            await _start_tls(connection, route.context, route.host, trace)
            secured = cast(ssl.SSLObject | None, connection.transport.get_extra_info("ssl_object"))
            trace.peer = network.Peer(secured) if secured is not None else None
    except BaseException:
        connection.close()
        raise
    connection.address, connection.peer = trace.address, trace.peer
    return connection


async def _reach(proxy: network.Proxy, context: ssl.SSLContext | None, trace: Trace) -> Connection:
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


async def _dial(host: str, port: int, trace: Trace) -> Connection:
    loop = asyncio.get_running_loop()
    addresses = await resolve(host, port, trace)
    began = loop.time()
    sock: StampedSocket | None = None
    try:
        sock = await (connect_any(addresses) if len(addresses) > 1 else _connect_one(*addresses[0]))
        took = loop.time() - began
        ip, number = sock.getpeername()[:2]
        trace.address = f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"
        _, connection = await loop.create_connection(lambda: Connection(loop, sock), sock=sock)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if not isinstance(error, OSError):
            raise
        raise StepError(FailureKind.CONNECT, f"cannot connect: {words(error)}") from error
    connection.connect_seconds = took
    return connection


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
        addresses = await LOOKUPS.find(host, port)
    except (OSError, UnicodeError) as error:
        raise StepError(FailureKind.DNS, f"cannot resolve {host}: {words(error)}") from error
    trace.enter(Step.CONNECT)
    return addresses


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
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.remove(task)
                try:
                    return task.result()
                except OSError as failed:
                    error = failed
        raise error
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


def _discard(task: asyncio.Task[StampedSocket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


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


def words(error: Exception) -> str:
    """The system's words for an error, without the addresses that asyncio adds to them."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno).lower()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


class _TunnelReply(Reply):
    """The proxy's answer ends with its head; what follows belongs to the tunnel."""

    def __init__(self) -> None:
        super().__init__(cap=0)
        self._buffer = b""

    def feed(self, now: float, data: bytes) -> None:
        """Take in bytes until the head is complete."""
        self._buffer += data
        self.first_at = self.first_at or now
        if b"\r\n\r\n" in self._buffer:
            match = _STATUS.match(self._buffer)
            self.status = int(match[1]) if match else 0
            self.done = True
        elif len(self._buffer) > _MAX_HEAD:
            self.problem = (FailureKind.PROXY, "the proxy's answer to CONNECT has no end")


async def open_tunnel(connection: Connection, host: str, port: int, proxy: network.Proxy) -> None:
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
        message = f"the proxy {proxy} could not reach the API: status {reply.status}"
        raise StepError(FailureKind.CONNECT, message)
    if not 200 <= reply.status < 300:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} refused the tunnel: {_refusal(reply.status)}")


def _refusal(status: int) -> str:
    if status == 407:
        return "status 407, it wants a user and password in the proxy's URL"
    return f"status {status}" if status else "not an HTTP answer"


@dataclass(frozen=True, slots=True)
class _Lookup:
    began: float
    future: Future[Sequence[Address]] = field(default_factory=Future)


def system_lookup(host: str, port: int) -> Sequence[Address]:
    """The addresses as the system's resolver gives them, with /etc/hosts and all.

    Raises:
        OSError, UnicodeError: there is none, or the name is none.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in infos]


class Lookups:
    """Lookups that run, in threads of their own; whoever asks for the same name meanwhile shares one of them.

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
        with self._lock:
            running = self._running.setdefault((host, port), [])
            if not running or (len(running) < MOST and monotonic() - running[-1].began >= PATIENCE):
                lookup = _Lookup(monotonic())
                lookup.future.set_running_or_notify_cancel()  # from now on nobody can cancel it for the others
                # A daemon: a lookup that hangs must not hold up the end of the process.
                arguments = (host, port), lookup
                threading.Thread(target=self._run, args=arguments, name="resolve", daemon=True).start()
                running.append(lookup)
            lookup = running[-1]
        return await asyncio.wrap_future(lookup.future)

    def _run(self, name: tuple[str, int], lookup: _Lookup) -> None:
        outcome: Sequence[Address] | Exception
        try:
            outcome = self._lookup(*name)
        except Exception as error:
            outcome = error
        with self._lock:
            running = self._running[name]
            running.remove(lookup)
            if not running:
                del self._running[name]
        if isinstance(outcome, Exception):
            lookup.future.set_exception(outcome)
        else:
            lookup.future.set_result(outcome)


LOOKUPS = Lookups()
"""What every pool uses."""

# SPDX-License-Identifier: Apache-2.0
"""Opens a connection: dials, asks the proxy for a tunnel, starts TLS, and stamps each step."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import cast

from openai_exporter.client import tls
from openai_exporter.client.peer import Peer
from openai_exporter.client.proxy import Proxy
from openai_exporter.client.trace import FailureKind, Step, StepError, Trace
from openai_exporter.client.wire_connection import Connection
from openai_exporter.client.wire_dial import connect, resolve, words
from openai_exporter.client.wire_tunnel import open_tunnel


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
        raise StepError(FailureKind.TLS, tls.reason(error)) from error
    except OSError as error:
        said = words(error) if error.errno else "the connection was closed"
        raise StepError(FailureKind.TLS, f"the TLS handshake failed: {said}") from error
    if transport is None:
        raise StepError(FailureKind.TLS, "the TLS handshake failed: the connection was closed")
    connection.use(transport)

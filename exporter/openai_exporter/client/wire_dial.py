# SPDX-License-Identifier: Apache-2.0
"""From a host name to a connected socket, in the two steps resolve and connect."""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import Any

from openai_exporter.client.trace import FailureKind, Step, StepError, Trace
from openai_exporter.client.wire_lookup import LOOKUPS, Address
from openai_exporter.client.wire_stamp import StampedSocket

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

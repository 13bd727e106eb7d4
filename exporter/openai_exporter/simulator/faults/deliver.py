# SPDX-License-Identifier: Apache-2.0
"""Faults of delivery: a reply cut, reset, left hanging or dripped. Does not look at what is delivered."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Send

from openai_exporter.simulator.faults.alter import is_stream
from openai_exporter.simulator.faults.kinds import Drip, Fault, Hang, Reset, Truncate
from openai_exporter.simulator.wire import Wire

STREAM_PIECES = 3  # a stream without `after_bytes` is cut after its third piece


class ConnectionEndedError(Exception):
    """The connection was ended on purpose; nothing more can be sent."""


class Cut:
    """Lets `after_bytes` bytes of the body through, then calls `end`; the rest follows if `end` returns."""

    def __init__(self, send: Send, after_bytes: int | None, end: Callable[[], Awaitable[None]]) -> None:
        self._send = send
        self._left = after_bytes
        self._end = end
        self._pieces = 0
        self._over = False
        self._stream = False

    async def __call__(self, message: Message) -> None:
        """Pass a message on, up to the cut."""
        if self._over or message["type"] == "http.response.start":
            self._stream = self._stream or is_stream(message)
            await self._send(message)
            return
        body = message.get("body", b"")
        keep = self._keep(body)
        self._pieces += 1
        if keep is None:
            await self._send(message)
            return
        self._over = True
        await self._send({**message, "body": body[:keep], "more_body": True})
        await self._end()
        await self._send({**message, "body": body[keep:]})

    def _keep(self, body: bytes) -> int | None:
        """How many bytes of this piece go out before the cut; None: all, and no cut yet."""
        if self._left is not None:
            if len(body) < self._left:
                self._left -= len(body)
                return None
            return self._left
        if not self._stream:
            return len(body) // 2
        return len(body) if self._pieces + 1 >= STREAM_PIECES else None


class Dripped:
    """Holds the wire's writes back and lets them out bit by bit."""

    def __init__(self, send: Send, wire: Wire, fault: Drip) -> None:
        self._send = send
        self._wire = wire
        self._fault = fault

    async def __call__(self, message: Message) -> None:
        """Pass a message on, slowly."""
        if message["type"] == "http.response.start" and self._fault.part == "body":
            await self._send(message)
            return
        transport = self._wire.transport
        transport.hold()
        await self._send(message)
        await transport.drip(self._fault.bytes, self._fault.interval_seconds)
        if not message.get("more_body", message["type"] == "http.response.start"):
            transport.release()


def delivered(send: Send, receive: Receive, wire: Wire, struck: list[Fault]) -> Send:
    """`send` behind the struck faults of delivery; the same `send` when there are none."""
    for fault in struck:
        match fault:
            case Drip():
                send = Dripped(send, wire, fault)
            case Truncate():
                send = Cut(send, fault.after_bytes, lambda: end(wire.close))
            case Reset(when="mid_body"):
                send = Cut(send, fault.after_bytes, lambda: end(wire.reset))
            case Hang(when="mid_body"):
                held = fault.hold_seconds
                send = Cut(send, fault.after_bytes, lambda held=held: hang(receive, held))  # type: ignore[misc]
    return send


async def end(how: Callable[[], None]) -> None:
    """End the connection and stop answering."""
    how()
    raise ConnectionEndedError


async def hang(receive: Receive, seconds: float | None) -> None:
    """Say nothing for `seconds`, or until the client leaves (ConnectionEndedError)."""
    try:
        async with asyncio.timeout(seconds):
            await client_left(receive)
    except TimeoutError:
        return
    raise ConnectionEndedError


async def client_left(receive: Receive) -> None:
    """Return when the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass

# SPDX-License-Identifier: Apache-2.0
"""The middleware that applies faults to requests: waits, replaced and altered replies, and cut connections."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_simulator import faults
from openai_simulator.catalogue import MODELS
from openai_simulator.context import CONTEXT_KEY, RequestContext
from openai_simulator.fault_replies import altered, is_stream, replacement
from openai_simulator.faults import Fault
from openai_simulator.ratelimits import openai_headers
from openai_simulator.wire import Wire
from openai_simulator.world import World

UNTOUCHED = "/_simulator"
BY_ENDPOINTS = (faults.PageLoop, faults.LateBuckets, faults.ReviseDown)
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_MULTIPART_MODEL = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)')
STREAM_PIECES = 3  # a stream without `after_bytes` is cut after its third piece


class FaultMiddleware:
    """Draws which faults strike a request, then applies them around the inner application."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        context: RequestContext = scope[CONTEXT_KEY]
        candidates = [] if context.path.startswith(UNTOUCHED) else self._world.faults.matching(context.path)
        if not candidates:
            await self._app(scope, receive, send)
            return
        body = receive  # gives the handler the request; `receive` itself tells when the client leaves
        if any(fault.model is not None or isinstance(fault, faults.RateLimit | faults.Hang) for fault in candidates):
            context.model, body = await peeked_model(scope, receive)
        struck = self._world.faults.struck(context.path, context.model)
        context.struck = [fault for fault in struck if not isinstance(fault, BY_ENDPOINTS)]
        try:
            await self._apply(context, scope, receive, body, send)
        except ConnectionEndedError:
            await client_left(receive)

    async def _apply(self, context: RequestContext, scope: Scope, receive: Receive, body: Receive, send: Send) -> None:
        for fault in context.struck:
            await self._before(fault, context, receive)
        send = delivered(send, receive, context.wire, context.struck)
        send = altered(send, context.struck)
        reply = replacement(context.struck)
        if reply is None:
            await self._app(scope, body, send)
        else:
            self._headers_of_refusal(context)
            await reply(scope, body, send)

    async def _before(self, fault: Fault, context: RequestContext, receive: Receive) -> None:
        """What a fault does before there is any reply."""
        match fault:
            case faults.Latency():
                delay = fault.delay_seconds + self._world.rng.random() * fault.jitter_seconds
                context.not_processing += 0.0 if fault.in_processing else delay
                await asyncio.sleep(delay)
            case faults.MissingHeaders():
                names = {name.lower() for name in fault.names or ()}
                context.stripped = (context.stripped or frozenset()) | names
            case faults.Html():
                context.edge = True
            case faults.Reset(when="before_headers") | faults.Outage(mode="reset"):
                await end(context.wire.reset)
            case faults.Hang(when="before_headers"):
                await hang(receive, fault.hold_seconds)
            case faults.Outage(mode="hang"):
                await hang(receive, None)

    def _headers_of_refusal(self, context: RequestContext) -> None:
        """A rate limit's reply shows the limit as used up."""
        fault = context.fault(faults.RateLimit)
        model = MODELS.get(context.model or "")
        if fault is None or model is None:
            return
        used_up = b"x-ratelimit-remaining-" + fault.limit.encode()
        headers = openai_headers(self._world.rate_limits.buckets("", model))
        context.extra_headers = [(name, b"0" if name == used_up else value) for name, value in headers]


async def peeked_model(scope: Scope, receive: Receive) -> tuple[str | None, Receive]:
    """The model that a request is for, and a `receive` that gives the body again."""
    deployment = _DEPLOYMENT.match(scope["path"])
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return deployment[1] if deployment else model_in(bytes(body)), again


def model_in(body: bytes) -> str | None:
    """The `model` of a JSON or multipart body, if it has one."""
    if body.startswith(b"--"):
        match = _MULTIPART_MODEL.search(body)
        return match[1].decode(errors="replace") if match else None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None


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


def dripped(send: Send, wire: Wire, fault: faults.Drip) -> Send:
    """`send` that holds the wire's writes back and lets them out bit by bit."""

    async def drip(message: Message) -> None:
        if message["type"] == "http.response.start" and fault.part == "body":
            await send(message)
            return
        wire.transport.hold()
        await send(message)
        await wire.transport.drip(fault.bytes, fault.interval_seconds)
        if not message.get("more_body", message["type"] == "http.response.start"):
            wire.transport.release()

    return drip


def delivered(send: Send, receive: Receive, wire: Wire, struck: list[Fault]) -> Send:
    """`send` behind the struck faults of delivery; the same `send` when there are none."""
    for fault in struck:
        match fault:
            case faults.Drip():
                send = dripped(send, wire, fault)
            case faults.Truncate():
                send = Cut(send, fault.after_bytes, lambda: end(wire.close))
            case faults.Reset(when="mid_body"):
                send = Cut(send, fault.after_bytes, lambda: end(wire.reset))
            case faults.Hang(when="mid_body"):
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

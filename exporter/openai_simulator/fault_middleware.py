# SPDX-License-Identifier: Apache-2.0
"""The middleware that applies faults to requests: waits, replaced and altered replies, and cut connections."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_simulator import faults
from openai_simulator.catalogue import MODELS, openai_headers
from openai_simulator.connection import CONTEXT_KEY, RequestContext, Wire
from openai_simulator.errors import ApiError, documented, quota_error
from openai_simulator.world import World

# The middleware: waits, replies and cut connections.

UNTOUCHED = "/_simulator"
BY_ENDPOINTS = (
    faults.PageLoop, faults.LateBuckets, faults.ReviseDown,
    faults.ShortPages, faults.RepeatedBuckets, faults.LostBuckets, faults.NullLabels,
)  # fmt: skip
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

    async def _before(self, fault: faults.Fault, context: RequestContext, receive: Receive) -> None:
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
            case faults.OddDate():
                context.date_offset = fault.offset_seconds
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


def delivered(send: Send, receive: Receive, wire: Wire, struck: list[faults.Fault]) -> Send:
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


# Replies: those that take the place of the API's own, and changes to its bytes.

CHUNK = 65_536
Edit = Callable[[bytes], bytes]


def altered(send: Send, struck: list[faults.Fault]) -> Send:
    """`send` behind the struck faults that change bodies; the same `send` when there are none."""
    for fault in struck:
        if isinstance(fault, faults.MalformedJson):
            send = Altered(send, broken_json, skipped_events=1)
        elif isinstance(fault, faults.WrongTypes):
            fields = frozenset(fault.fields) if fault.fields else None
            send = Altered(send, lambda text, fields=fields: wrong_types(text, fields))  # type: ignore[misc]
        elif isinstance(fault, faults.MissingFields):
            names = frozenset(fault.fields)
            send = Altered(send, lambda text, names=names: missing_fields(text, names))  # type: ignore[misc]
        elif isinstance(fault, faults.Huge):
            send = Padded(send, fault.bytes)
    return send


class Altered:
    """Edits a plain body as a whole, or each event's data of a stream after the first `skipped_events`."""

    def __init__(self, send: Send, edit: Edit, skipped_events: int = 0) -> None:
        self._send = send
        self._edit = edit
        self._skip = skipped_events
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Pass a message on, edited."""
        if message["type"] == "http.response.start":
            self._start = message
            if is_stream(message):
                await self._send(message)
        elif is_stream(self._start):
            await self._send({**message, "body": self._events(message.get("body", b""))})
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._whole()

    def _events(self, piece: bytes) -> bytes:
        lines = piece.split(b"\n")
        for index, line in enumerate(lines):
            if not line.startswith(b"data: {"):
                continue
            if self._skip:
                self._skip -= 1
                continue
            lines[index] = b"data: " + self._edit(line.removeprefix(b"data: "))
        return b"\n".join(lines)

    async def _whole(self) -> None:
        body = self._edit(self._body)
        await self._send(with_length(self._start, len(body)))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


class Padded:
    """Adds `size` bytes without meaning: spaces after JSON, comment lines before a stream's events."""

    def __init__(self, send: Send, size: int) -> None:
        self._send = send
        self._size = size
        self._start: Message = {}

    async def __call__(self, message: Message) -> None:
        """Pass a message on; the padding goes before the first event or after the last byte."""
        if message["type"] == "http.response.start":
            self._start = message
            await self._begin(message)
        elif message.get("more_body", False) or is_stream(self._start):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._pad(b" " * CHUNK, last=True)

    async def _begin(self, message: Message) -> None:
        if is_stream(message):
            await self._send(message)
            await self._pad((b": " + b"." * 1021 + b"\n") * (CHUNK // 1024), last=False)
        else:
            length = int(dict(message["headers"]).get(b"content-length", b"0"))
            await self._send(with_length(message, length + self._size))

    async def _pad(self, filling: bytes, *, last: bool) -> None:
        left = self._size
        while left > 0:
            piece = filling[: min(left, CHUNK)]
            left -= len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": left > 0 or not last})
        if not last:
            await self._send({"type": "http.response.body", "body": b"\n\n", "more_body": True})


def is_stream(start: Message) -> bool:
    """Whether a response start message begins an event stream."""
    content_type = dict(start.get("headers", ())).get(b"content-type", b"")
    return bytes(content_type).startswith(b"text/event-stream")


def with_length(start: Message, length: int) -> Message:
    """The start message with another Content-Length."""
    kept = [header for header in start["headers"] if header[0].lower() != b"content-length"]
    return {**start, "headers": [*kept, (b"content-length", b"%d" % length)]}


def broken_json(body: bytes) -> bytes:
    """The first two thirds: no JSON object survives the loss of its end."""
    return body[: max(1, len(body) * 2 // 3)]


def missing_fields(body: bytes, names: frozenset[str]) -> bytes:
    """JSON without the members of those names; what is not JSON stays as it is."""

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if name not in names}

    try:
        value = json.loads(body, object_pairs_hook=kept)
    except ValueError:
        return body
    return json.dumps(value, ensure_ascii=False).encode()


def wrong_types(body: bytes, fields: frozenset[str] | None) -> bytes:
    """JSON with values of other types; what is not JSON stays as it is."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json.dumps(_twisted(value, fields, top=True), ensure_ascii=False).encode()


def _twisted(value: Any, fields: frozenset[str] | None, *, top: bool = False) -> Any:
    if isinstance(value, dict):
        return {key: _member(key, item, fields) for key, item in value.items()}
    if isinstance(value, list) and (top or fields is not None):
        return [_twisted(item, fields) for item in value]
    return value if fields is not None else _other_type(value)


def _member(key: str, value: Any, fields: frozenset[str] | None) -> Any:
    return _other_type(value) if fields is not None and key in fields else _twisted(value, fields)


def _other_type(value: Any) -> Any:
    """A value of a type that the member never has: text for arrays, numbers for text, objects for numbers."""
    match value:
        case bool() | list() | dict():
            return "unexpected"
        case str():
            return 17
        case None:
            return [None]
    return {"unexpected": value}


_EMPTY = {"nothing": b"", "object": b"{}", "array": b"[]", "null": b"null"}
_PAGE = """<!DOCTYPE html>
<html><head><title>{status} | simulated edge</title></head>
<body><h1>Error {status}</h1><p>The web server returned an unexpected answer.</p></body></html>
"""


def replacement(struck: list[faults.Fault]) -> Response | None:
    """The reply of the first fault that replaces it, or None."""
    return next((response for fault in struck if (response := _reply(fault)) is not None), None)


def _reply(fault: faults.Fault) -> Response | None:
    match fault:
        case faults.Status():
            return _status(fault)
        case faults.InsufficientQuota():
            return quota_error(fault.code, fault.status).response()
        case faults.RateLimit():
            headers = _retry_after(fault.retry_after)
            message = f"Rate limit reached on {fault.limit} per min. Slow down and try again."
            error = ApiError(429, message, type="rate_limit_error", code=fault.code, headers=headers)
            return error.response()
        case faults.Html():
            return HTMLResponse(_PAGE.format(status=fault.status), status_code=fault.status)
        case faults.Empty():
            return Response(_EMPTY[fault.content], media_type="application/json")
        case faults.Outage(mode="503"):
            return documented(503).response()
    return None


def _status(fault: faults.Status) -> Response:
    error = documented(fault.status)
    error.type = fault.type or error.type
    error.message = fault.message or error.message
    error.param = fault.param
    error.code = fault.code if "code" in fault.model_fields_set else error.code
    error.headers = {**fault.headers, **_retry_after(fault.retry_after)}
    return error.response()


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": str(math.ceil(seconds))}

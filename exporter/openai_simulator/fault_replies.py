# SPDX-License-Identifier: Apache-2.0
"""Replies of faults: those that take the place of the API's own, and changes to its bytes."""

import json
import math
from collections.abc import Callable
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import Message, Send

from openai_simulator import faults
from openai_simulator.errors import ApiError, documented, quota_error
from openai_simulator.faults import Fault

CHUNK = 65_536
Edit = Callable[[bytes], bytes]


def altered(send: Send, struck: list[Fault]) -> Send:
    """`send` behind the struck faults that change bodies; the same `send` when there are none."""
    for fault in struck:
        if isinstance(fault, faults.MalformedJson):
            send = Altered(send, broken_json, skipped_events=1)
        elif isinstance(fault, faults.WrongTypes):
            fields = frozenset(fault.fields) if fault.fields else None
            send = Altered(send, lambda text, fields=fields: wrong_types(text, fields))  # type: ignore[misc]
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


def replacement(struck: list[Fault]) -> Response | None:
    """The reply of the first fault that replaces it, or None."""
    return next((response for fault in struck if (response := _reply(fault)) is not None), None)


def _reply(fault: Fault) -> Response | None:
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

# SPDX-License-Identifier: Apache-2.0
"""The forms of an answer: exposition text in the format that the client accepts, plain text, JSON."""

import asyncio
import gzip

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openai_exporter.exposition import EncodedPage, Instruments, content_type, wants_openmetrics

LARGE = 2000
"""Samples above which a page is encoded in a thread, so that it does not delay other answers."""

PIECE = 256 * 1024
"""Bytes of a body that are handed to the connection at a time: as one piece, what the socket does not take at once
is copied, and copied again each time that the socket takes some of it."""

_COMPRESS_FROM = 1024
_VARY = "Accept, Accept-Encoding"


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for part in header.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip() in ("gzip", "*"):
            weight = parameters.replace(" ", "").removeprefix("q=")
            return weight not in ("0", "0.0", "0.00", "0.000")
    return False


class Pieces(Response):
    """A long body, sent piece by piece as the client reads it; nothing of it is copied, and others get their turn."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), PIECE):
            piece, more = body[start : start + PIECE], start + PIECE < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            await asyncio.sleep(0)


async def exposition(request: Request, page: EncodedPage) -> Response:
    """A page of families for this request."""
    openmetrics = wants_openmetrics(request.headers.get("accept", ""))
    compressed = accepts_gzip(request.headers.get("accept-encoding", ""))
    body = page.made(openmetrics=openmetrics, compressed=compressed)
    if body is None and sum(len(each.samples) for each in page.families) > LARGE:
        body = await run_in_threadpool(page.body, openmetrics=openmetrics, compressed=compressed)
    elif body is None:
        body = page.body(openmetrics=openmetrics, compressed=compressed)
    return _exposed(body, content_type(openmetrics), compressed)


def registry(request: Request, instruments: Instruments) -> Response:
    """The exporter's own metrics for this request."""
    body, kind = instruments.render(request.headers.get("accept", ""))
    compressed = len(body) > _COMPRESS_FROM and accepts_gzip(request.headers.get("accept-encoding", ""))
    return _exposed(gzip.compress(body, compresslevel=1, mtime=0) if compressed else body, kind, compressed)


def _exposed(body: bytes, kind: str, compressed: bool) -> Response:
    headers = {"content-type": kind, "vary": _VARY}
    if compressed:
        headers["content-encoding"] = "gzip"
    return (Pieces if len(body) > PIECE else Response)(body, headers=headers)


def text(message: str, status: int = 200, **headers: str) -> Response:
    """Plain text, ending in a newline; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = message if message.endswith("\n") else f"{message}\n"
    return Response(body, status, {"x-content-type-options": "nosniff", **named}, "text/plain")

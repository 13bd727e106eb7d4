# SPDX-License-Identifier: Apache-2.0
"""The forms of an answer: exposition text in the format that the client accepts, plain text, JSON."""

import gzip

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.exposition import EncodedPage, Instruments, content_type, wants_openmetrics

LARGE = 2000
"""Samples above which a page is encoded in a thread, so that it does not delay other answers."""

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


async def exposition(request: Request, page: EncodedPage) -> Response:
    """A page of families for this request."""
    openmetrics = wants_openmetrics(request.headers.get("accept", ""))
    compressed = accepts_gzip(request.headers.get("accept-encoding", ""))
    if sum(len(each.samples) for each in page.families) > LARGE:
        body = await run_in_threadpool(page.body, openmetrics=openmetrics, compressed=compressed)
    else:
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
    return Response(body, headers=headers)


def text(message: str, status: int = 200, **headers: str) -> Response:
    """Plain text, ending in a newline; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = message if message.endswith("\n") else f"{message}\n"
    return Response(body, status, {"x-content-type-options": "nosniff", **named}, "text/plain")

# SPDX-License-Identifier: Apache-2.0
"""Requests to bytes, and stamps to a finished record; no sockets here."""

import re
import zlib
from time import monotonic
from urllib.parse import urlsplit

from openai_exporter.client.proxy import Proxy
from openai_exporter.client.trace import (
    Exchange,
    Failure,
    FailureKind,
    Sent,
    Step,
    Trace,
    shown_headers,
)
from openai_exporter.client.wire_reply import Reply
from openai_exporter.model import Chunk

_UNSAFE = re.compile(r"[\x00\r\n]")


def encode_request(request: Sent, proxy: Proxy | None = None) -> bytes:
    """The request as HTTP/1.1 bytes; through a plain proxy its target is the whole URL.

    Raises:
        ValueError: a header holds a line break, or a character that HTTP cannot carry.
    """
    parts = urlsplit(request.url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if proxy is not None:
        target = f"{parts.scheme}://{parts.netloc}{target}"
    lines = [f"{request.method} {target} HTTP/1.1"]
    for name, value in request.headers:
        if _UNSAFE.search(value) or not value.isascii():
            raise ValueError(f"the value for header {name} holds a character that HTTP cannot carry")
        lines.append(f"{name}: {value}")
    if proxy is not None and proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def finished(
    request: Sent, trace: Trace, reply: Reply, failure: Failure | None = None, failed_at: float | None = None
) -> Exchange:
    """Freeze an exchange; a content coding that cannot be undone becomes its failure.

    Args:
        failed_at: monotonic seconds of the failure, None for now.
    """
    if failure is None and reply.last_at is not None:
        ended = reply.last_at
    else:
        ended = monotonic() if failed_at is None else failed_at
    duration = ended - trace.began
    body, arrivals = b"".join(reply.parts), reply.arrivals
    coding = next((value for name, value in reply.headers if name == "content-encoding"), "").lower()
    if coding not in ("", "identity"):
        decoded = _decoded(body, arrivals, coding, reply.cap)
        if isinstance(decoded, Failure):
            failure = failure or decoded
        else:
            body, arrivals = decoded
    complete_head = reply.headers_done
    return Exchange(
        request=Sent(request.method, request.url, shown_headers(request.headers), request.body),
        duration=duration,
        phases=trace.phases(reply.first_at, ended),
        reused=trace.reused,
        retries=trace.retries,
        address=trace.address,
        proxy=trace.proxy,
        status=reply.status if complete_head else 0,
        http_version=float(reply.version) if reply.version else None,
        headers=tuple(reply.headers) if complete_head else (),
        body=body,
        chunks=tuple([Chunk(at - trace.began, size) for at, size in arrivals]),
        size=reply.size,
        tls=trace.peer.facts() if trace.peer else None,
        failure=_located(failure, reply),
    )


def _located(failure: Failure | None, reply: Reply) -> Failure | None:
    """While processing, the first byte of an answer is what moves an exchange on to its transfer."""
    if failure is None or failure.step is not Step.PROCESSING or reply.first_at is None:
        return failure
    return Failure(failure.kind, Step.TRANSFER, failure.message)


def _decoded(
    body: bytes, arrivals: list[tuple[float, int]], coding: str, cap: int
) -> tuple[bytes, list[tuple[float, int]]] | Failure:
    """Undo gzip or deflate arrival by arrival, so that stamps keep pointing at the right bytes."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return Failure(
            FailureKind.MALFORMED, Step.TRANSFER, "the answer has a content coding nobody asked for"
        )
    decoder = zlib.decompressobj(wbits=47)
    out = bytearray()
    stamped: list[tuple[float, int]] = []
    start = 0
    for at, end in arrivals:
        try:
            out += decoder.decompress(body[start:end], max_length=max(cap + 1 - len(out), 1))
        except zlib.error:
            return Failure(FailureKind.MALFORMED, Step.TRANSFER, f"the answer is not valid {coding}")
        if len(out) > cap:
            return Failure(FailureKind.TOO_LARGE, Step.TRANSFER, f"the answer is larger than {cap} bytes")
        stamped.append((at, len(out)))
        start = end
    return bytes(out), stamped

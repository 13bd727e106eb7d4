# SPDX-License-Identifier: Apache-2.0
"""One request on its connection: exact times, resets and dripping, its context, its headers, and the journal."""

import asyncio
import select
import selectors
import socket
import struct
import sys
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openai_simulator.catalogue import Header, SimClock
from openai_simulator.faults import Fault
from openai_simulator.organization.usage import Identity

# The connection: exact times of reading and writing, resets, dripping, fine timers.

LINGER_ZERO = struct.pack("ii", 1, 0)
SCOPE_KEY = "simulator.wire"


class Wire:
    """One request's view of its connection: monotonic stamps, and the means to mistreat it."""

    __slots__ = ("first_write", "last_write", "received", "transport")

    def __init__(self, transport: "StampedTransport", received: float) -> None:
        self.transport = transport
        self.received = received
        self.first_write: float | None = None
        self.last_write: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is closed or closing."""
        closing: bool = self.transport.is_closing()
        return closing

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.transport.abort()

    def close(self) -> None:
        """End the connection in order, with whatever was written."""
        self.transport.close()


class StampedTransport:
    """An asyncio transport that stamps each write just before it goes to the socket, and can hold writes back.

    A response's head is sent together with the first write after it, as servers usually do.
    """

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._held: bytearray | None = None
        self._close_wanted = False
        self._head = b""
        self.wire: Wire | None = None

    def write(self, data: Any) -> None:
        """Write now, or hold back while dripping."""
        if self._held is not None:
            self._held += data
        elif not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        else:
            data, self._head = self._head + data, b""
            self._write_now(data)

    def _write_now(self, data: bytes) -> None:
        if not data:
            return
        wire = self.wire
        if wire is not None:
            wire.last_write = monotonic()
            if wire.first_write is None:
                wire.first_write = wire.last_write
        self._inner.write(data)

    def hold(self) -> None:
        """Hold all further writes back until `drip`."""
        if self._head:
            self.write(b"")
        if self._held is None:
            self._held = bytearray()

    async def drip(self, size: int, interval: float) -> None:
        """Write what is held back, `size` bytes every `interval` seconds."""
        held = self._held
        while held and not self._inner.is_closing():
            self._write_now(bytes(held[:size]))
            del held[:size]
            if held:
                await asyncio.sleep(interval)

    def release(self) -> None:
        """End holding back."""
        held, self._held = self._held, None
        if held and not self._inner.is_closing():
            self._write_now(bytes(held))
        if self._close_wanted:
            self._inner.close()

    def close(self) -> None:
        """Close once nothing is held back."""
        if self._held is not None:
            self._close_wanted = True
            return
        if self._head:
            self.write(b"")
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        """All else as the inner transport."""
        return getattr(self._inner, name)


class WireProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a `Wire` in each request's scope."""

    _arrived = 0.0
    _stamped: StampedTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the stamping transport between uvicorn and the socket."""
        self._stamped = StampedTransport(transport)
        super().connection_made(self._stamped)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Stamp before parsing."""
        self._arrived = monotonic()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A new request starts."""
        super().on_message_begin()
        wire = Wire(self._stamped, self._arrived)
        self._stamped.wire = wire
        scope: Any = self.scope
        scope[SCOPE_KEY] = wire

    def on_message_complete(self) -> None:
        """The request's last byte is here."""
        if self._stamped.wire is not None:
            self._stamped.wire.received = self._arrived
        super().on_message_complete()


def fine_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to well under a millisecond where the system allows it."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(FineSelector())
    return asyncio.new_event_loop()


if sys.platform == "linux":

    class FineSelector(selectors.EpollSelector):
        """An epoll selector whose timeouts are exact; epoll's own are rounded up to whole milliseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait with `select` on the epoll descriptor itself, then collect what is ready."""
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

# The request: its context, the headers of its response, and its entry in the journal.

F = TypeVar("F", bound=Fault)
CONTEXT_KEY = "simulator.context"
KEPT = 20_000
ORGANIZATION = b"org-simulated"
API_VERSION = b"2020-10-01"
CONTROL_PREFIX = "/_simulator"
_OWN_PREFIXES = ("x-request-id", "openai-", "x-ratelimit-", "retry-after", "apim-", "x-ms-", "azureml-")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: `received` when its last byte arrived, the others when bytes went to the socket."""

    request_id: str
    path: str
    model: str | None
    status: int | None
    faults: tuple[str, ...]
    received: float
    first_byte: float | None
    first_token: float | None
    tokens: tuple[float, ...]
    done: float


class Journal:
    """The last `kept` requests by request id, and counts of all of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.counts: Counter[tuple[str, str, int | None]] = Counter()

    def record(self, entry: Entry, method: str) -> None:
        """Add a finished request."""
        self._entries[entry.request_id] = entry
        if len(self._entries) > self._kept:
            self._entries.popitem(last=False)
        self.counts[method, entry.path, entry.status] += 1

    def find(self, request_id: str) -> Entry | None:
        """The request of that id, if it is still kept."""
        return self._entries.get(request_id)

    def since(self, earliest: float) -> list[Entry]:
        """The kept requests that ended at or after `earliest` (monotonic seconds)."""
        return [entry for entry in self._entries.values() if entry.done >= earliest]

    def summary(self) -> list[dict[str, Any]]:
        """Calls per method, path and status; status null when the connection ended before one was sent."""
        return [
            {"method": method, "path": path, "status": status, "count": count}
            for (method, path, status), count in sorted(self.counts.items(), key=str)
        ]


class RequestContext:
    """One request and its answer. Mutable: it lives for one request, inside one task."""

    def __init__(self, scope: Scope, request_id: str) -> None:
        self.wire: Wire = scope[SCOPE_KEY]
        self.path: str = scope["path"]
        self.azure = self.path.startswith("/openai/")
        self.request_id = str(uuid.UUID(request_id.removeprefix("req_"))) if self.azure else request_id
        self.edge = False  # answered by the edge: none of the API's own headers
        self.date_offset = 0.0
        self.extra_headers: list[Header] = []
        self.identity: Identity | None = None
        self.model: str | None = None
        self.not_processing = 0.0  # seconds of waiting that openai-processing-ms does not count
        self.status: int | None = None
        self.stripped: frozenset[str] | None = None  # names of headers to leave out
        self.struck: list[Fault] = []
        self.tokens: list[float] = []

    def fault(self, cls: type[F]) -> F | None:
        """The fault of this kind that strikes this request, if any."""
        return next((fault for fault in self.struck if isinstance(fault, cls)), None)

    def token_written(self) -> None:
        """The write just made carried a visible token."""
        self.tokens.append(self.wire.last_write or monotonic())

    def processing_ms(self) -> int:
        """Milliseconds since the request was received, without what is not processing."""
        return max(1, round((monotonic() - self.wire.received - self.not_processing) * 1000))

    def entry(self) -> Entry:
        """The journal's record of this request, when it is over."""
        wire = self.wire
        return Entry(
            request_id=self.request_id,
            path=self.path,
            model=self.model,
            status=self.status,
            faults=tuple(fault.kind for fault in self.struck),
            received=wire.received,
            first_byte=wire.first_write,
            first_token=self.tokens[0] if self.tokens else None,
            tokens=tuple(self.tokens),
            done=monotonic() if wire.gone or wire.last_write is None else wire.last_write,
        )


def context_of(request: Request) -> RequestContext:
    """The context of a Starlette request."""
    context: RequestContext = request.scope[CONTEXT_KEY]
    return context


class ContextMiddleware:
    """Gives each request its context, completes the headers of its response, and enters it in the journal."""

    def __init__(self, app: ASGIApp, clock: SimClock, journal: Journal, request_id: Callable[[], str]) -> None:
        self._app = app
        self._clock = clock
        self._journal = journal
        self._request_id = request_id
        self._date = (-1, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        context = RequestContext(scope, self._request_id())
        scope[CONTEXT_KEY] = context

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = self._headers(context, message["status"], list(message["headers"]))
            await send(message)

        try:
            with suppress(ClientDisconnect):
                await self._app(scope, receive, complete)
        finally:
            if context.path != "/" and not context.path.startswith(CONTROL_PREFIX):
                self._journal.record(context.entry(), scope["method"])

    def _headers(self, context: RequestContext, status: int, headers: list[Header]) -> list[Header]:
        headers.append((b"date", self._http_date(context.date_offset)))
        headers.append((b"x-simulated", b"true"))
        if context.edge:
            headers.append((b"server", b"cloudflare"))
            headers.append((b"cf-ray", context.request_id[4:20].encode() + b"-SIM"))
        elif context.azure:
            headers += _azure(context)
        elif context.path.startswith("/v1"):
            headers += _openai(context, status)
        else:
            headers.append((b"x-request-id", context.request_id.encode()))
        if context.stripped is not None:
            return [header for header in headers if not _left_out(header[0].decode(), context.stripped)]
        return headers

    def _http_date(self, offset: float) -> bytes:
        second = max(0, int(self._clock.now() + offset))
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


def _openai(context: RequestContext, status: int) -> list[Header]:
    headers = [(b"x-request-id", context.request_id.encode())]
    if status != 401:
        headers.append((b"openai-version", API_VERSION))
        headers.append((b"openai-organization", ORGANIZATION))
        headers.append((b"openai-processing-ms", b"%d" % context.processing_ms()))
    if context.identity is not None:
        headers.append((b"openai-project", context.identity.project_id.encode()))
    return headers + context.extra_headers


def _azure(context: RequestContext) -> list[Header]:
    request_id = context.request_id.encode()
    return [
        (b"x-request-id", request_id),
        (b"apim-request-id", request_id),
        (b"x-ms-region", b"Sweden Central"),
        (b"azureml-model-session", b"simulated-session"),
        *context.extra_headers,
    ]


def _left_out(name: str, stripped: frozenset[str]) -> bool:
    """Whether a header is left out; an empty set stands for all that are the API's own."""
    return name in stripped if stripped else name.startswith(_OWN_PREFIXES)

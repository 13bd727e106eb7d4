# SPDX-License-Identifier: Apache-2.0
"""One request while it is answered: its context, the headers of its response, and its entry in the journal."""

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

from openai_simulator.clock import SimClock
from openai_simulator.faults import Fault
from openai_simulator.organization.usage import Identity
from openai_simulator.ratelimits import Header
from openai_simulator.wire import SCOPE_KEY, Wire

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
        headers.append((b"date", self._http_date()))
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

    def _http_date(self) -> bytes:
        second = int(self._clock.now())
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

# SPDX-License-Identifier: Apache-2.0
"""What every request passes first: limits on method, head, time and concurrency, users, headers, and deadlines."""

import asyncio
import asyncio.sslproto
import base64
import binascii
import gzip
import hashlib
import logging
import math
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openai_exporter.client.pool import Turns
from openai_exporter.exposition import EncodedPage, Instruments, content_type, wants_openmetrics
from openai_exporter.metrics import own
from openai_exporter.web.webconfig import RateLimit, WebConfig

# The forms of an answer: exposition text in the format that the client accepts, plain text, JSON.

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


# How long a scrape may take: Prometheus' announced timeout less an offset.

ARRIVED = "openai_exporter.arrived"
"""Key in the ASGI scope: monotonic seconds at which the request came to us."""

HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def scrape_limit(headers: Mapping[str, str], offset: float) -> float | None:
    """Seconds that the scrape allows; None when the header is absent or leaves nothing after the offset.

    The second case is blackbox_exporter's rule: the module's own timeout then decides.

    Raises:
        ValueError: the header is not a number of seconds; the message says so.
    """
    text = headers.get(HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"header {HEADER}: {text[:40]!r} is not a number of seconds above zero, such as 10")
    left = seconds - offset
    return left if left > 0 else None


def time_left(scope: Mapping[str, Any], headers: Mapping[str, str], offset: float) -> float | None:
    """`scrape_limit` less the time that the request has already waited for its turn; never below zero.

    Raises:
        ValueError: as `scrape_limit`.
    """
    limit = scrape_limit(headers, offset)
    arrived: float | None = scope.get(ARRIVED)
    if limit is None or arrived is None:
        return limit
    return max(limit - (time.monotonic() - arrived), 0.0)


# What every request passes first: limits on method, head and concurrency, errors, and the end of the process.

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024
"""Bytes of request line and headers together; Prometheus sends under 1 KiB."""

INTERNAL_ERROR = "internal error; the exporter's log says more"

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT")
REASONS = ("concurrency", "method", "head_size", "rate_limit", "unauthorized", "stopping")
"""Values of the label `reason` of refused requests; all are exposed from the start."""


class Gate:
    """ASGI middleware; `stop()` ends it.

    Args:
        limited: paths that count against `max_requests` and begin in turns. Health, metrics and pages never wait
            for probes.
        turns: one scrape begins per pass of the event loop, however many came together.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        instruments: Instruments,
        max_requests: int,
        limited: Collection[str],
        turns: Turns | None = None,
    ) -> None:
        self._app = app
        self._instruments = instruments
        self._max_requests = max_requests
        self._limited = frozenset(limited)
        self._turns = turns or Turns()
        self._waiting: set[asyncio.Task[None]] = set()
        self._stopping = False
        for reason in REASONS:
            instruments.prepare(own.REQUESTS_REFUSED, (reason,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            reason, status, message = refusal
            self._instruments.count(own.REQUESTS_REFUSED, (reason,))
            headers = {"Allow": ", ".join(ALLOWED_METHODS)} if status == 405 else {}
            await text(message, status, **headers)(scope, receive, send)
        elif scope["path"] in self._limited:
            await self._limit(scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    def stop(self) -> None:
        """Refuse scrapes from now on, and end those that still wait."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()

    @property
    def waiting(self) -> int:
        """Scrapes that are being answered now."""
        return len(self._waiting)

    def _refusal(self, scope: Scope) -> tuple[str, int, str] | None:
        if scope["method"] not in ALLOWED_METHODS:
            return "method", 405, f"method not allowed; allowed: {', '.join(ALLOWED_METHODS)}"
        head = len(scope["raw_path"]) + len(scope["query_string"])
        head += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if head > MAX_HEAD_BYTES:
            return "head_size", 431, f"request line and headers are above {MAX_HEAD_BYTES} bytes"
        if scope["path"] not in self._limited:
            return None
        if self._stopping:
            return "stopping", 503, "the exporter is stopping"
        if len(self._waiting) >= self._max_requests:
            return (
                "concurrency",
                503,
                f"{self._max_requests} scrapes are being answered already; raise --web.max-requests",
            )
        return None

    async def _limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            await self._turns.turn()
            await self._guarded(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await text("the exporter is stopping", 503)(scope, receive, send)
        finally:
            self._waiting.discard(task)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = finished = False

        async def watched(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).setdefault("cache-control", "no-store")
            else:
                finished = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("request failed", extra={"fields": {"path": scope["path"]}})
            if not started:
                await text(INTERNAL_ERROR, 500)(scope, receive, send)
            elif not finished:
                raise


# What the web configuration asks of every request: users, a rate limit, headers.

FAKE_HASH = "$2b$10$ny6S9mnXqsPpHIclr0rbUuTXL3JOFn.0y5cc69FNVe1Ofpf5ejWoq"
"""Checked for a user that does not exist, so that the time taken does not tell who does."""

_CACHED = 256
_BCRYPT_BYTES = 72


class _Current(Protocol):
    def config(self) -> WebConfig: ...


class Passwords:
    """bcrypt checks, one at a time in a thread, with their results kept: each takes some 50 ms of CPU."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._results: OrderedDict[bytes, bool] = OrderedDict()

    async def right(self, users: dict[str, str], user: str, password: bytes) -> bool:
        """Whether `password` is that of `user`."""
        hashed = users.get(user, FAKE_HASH)
        key = hashlib.sha256(b"\0".join([user.encode(), hashed.encode(), password])).digest()
        if key not in self._results:
            async with self._lock:
                if key not in self._results:
                    self._keep(key, await asyncio.to_thread(_matches, password, hashed) and user in users)
        return self._results[key]

    def _keep(self, key: bytes, found: bool) -> None:
        self._results[key] = found
        if len(self._results) > _CACHED:
            self._results.popitem(last=False)


class Bucket:
    """A token bucket: one request per `interval`, up to `burst` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._at = 0.0

    def allows(self, limit: RateLimit | None) -> bool:
        """Take one token of a limit; a changed limit starts full."""
        if limit is None or limit.interval == 0:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens, self._at = limit, float(limit.burst), now
        self._tokens = min(limit.burst, self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Guard:
    """ASGI middleware that holds the web configuration against each request.

    Args:
        unasked: paths that need no user and pass any rate limit. exporter-toolkit has none; but what restarts a process
            that does not answer its health check cannot give a password, and must not meet a limit that others used up.
    """

    def __init__(
        self, app: ASGIApp, current: _Current, instruments: Instruments, unasked: Collection[str] = ()
    ) -> None:
        self._app = app
        self._current = current
        self._instruments = instruments
        self._unasked = frozenset(unasked)
        self._passwords = Passwords()
        self._bucket = Bucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._current.config()
        extra = {name: value for name, value in config.http_server_config.headers.items() if value}

        async def with_headers(message: Message) -> None:
            if extra and message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
            await send(message)

        if scope["path"] in self._unasked:
            await self._app(scope, receive, with_headers)
        elif not self._bucket.allows(config.rate_limit):
            self._instruments.count(own.REQUESTS_REFUSED, ("rate_limit",))
            await text("too many requests", 429)(scope, receive, with_headers)
        elif config.basic_auth_users and not await self._known(scope, config.basic_auth_users):
            self._instruments.count(own.REQUESTS_REFUSED, ("unauthorized",))
            refusal = text(
                "user and password required", 401, WWW_Authenticate='Basic realm="openai-exporter"'
            )
            await refusal(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    async def _known(self, scope: Scope, users: dict[str, str]) -> bool:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        credentials = _basic(header)
        if credentials is None:
            return False
        user, password = credentials
        return await self._passwords.right(users, user, password)


def _basic(header: bytes) -> tuple[str, bytes] | None:
    kind, _, value = header.partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _matches(password: bytes, hashed: str) -> bool:
    # Loaded here, since few exporters have users.
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:
        return False


# Handshakes that fail say why: to the client, and in the log.

REPEAT_SECONDS = 60.0
"""The same client and reason is logged once in this time."""
_MAX_KNOWN = 1000

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_PLAIN = (
    b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n"
    b"This port speaks TLS; use https://\n"
)


class Refusals:
    """Writes a log line for a refused connection, and not again for its repetitions.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def tell(self, address: str, reason: str) -> None:
        """Log that `address` was refused for `reason`."""
        now, key = self._clock(), (address, reason)
        last = self._said.get(key)
        if last is not None and now - last < REPEAT_SECONDS:
            return
        if len(self._said) >= _MAX_KNOWN:  # anybody can connect: what is remembered has a bound
            self._said.clear()
        self._said[key] = now
        log.warning("connection refused: %s", reason, extra={"fields": {"client": address}})


class TellingTls(asyncio.sslproto.SSLProtocol):
    """asyncio's TLS, whose failed handshakes else end without an alert to the client and without a word here."""

    def __init__(self, *given: Any, refusals: Refusals, **named: Any) -> None:
        super().__init__(*given, **named)
        self._refusals = refusals

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if isinstance(handshake_exc, ssl.SSLError):
            self._tell(handshake_exc)
        super()._on_handshake_complete(handshake_exc)

    def _tell(self, error: ssl.SSLError) -> None:
        transport: Any = self._transport
        if transport is None:
            return
        client = client_of(transport)
        if error.reason == "HTTP_REQUEST":
            transport.write(_PLAIN)
            if client in _LOOPBACK:
                return  # such as the image's health check, every 15 seconds; the answer says why
        else:
            self._process_outgoing()  # type: ignore[attr-defined]  # the alert
        self._refusals.tell(client, _reason(error))


def client_of(transport: asyncio.BaseTransport) -> str:
    """The address of a transport's client, without its port."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    said = str(error.reason or "unknown").replace("_", " ").lower()
    return _WORDS.get(said, f"TLS handshake failed: {said}")


_WORDS = {
    "http request": "plain HTTP on a port that speaks TLS",
    "peer did not return a certificate": "the client gave no certificate, and client_auth_type wants one",
}

# uvicorn's httptools protocol with the bounds that it lacks: on the size of a request's head and on its time.

HEAD_TIMEOUT = 10
"""Seconds from a connection's start to the end of its first request's head."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose head is too long or does not come, and one without an allowed certificate.

    Args:
        allowed: says whether a client's certificate is welcome; None welcomes every client.
        arrived: monotonic seconds at which the connection came, which its first request counts from.
        refusals: told of a client that is not welcome.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None = None,
        allowed: Callable[[Any], bool] | None = None,
        arrived: float | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._refusals = refusals or Refusals()
        self._allowed = allowed
        self._arrived = arrived
        self._head = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        if self._allowed is not None and not self._allowed(transport.get_extra_info("peercert")):
            reason = "the client's certificate has none of the names in client_allowed_sans"
            self._refusals.tell(client_of(transport), reason)
            transport.abort()
            return
        self._timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()
        scope: Any = self.scope
        scope[ARRIVED] = self.loop.time() if self._arrived is None else self._arrived
        self._arrived = None

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        self._head = 0
        self._stop_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished head."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: no client needs a WebSocket here, and any client could fill the log."""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def factory(context: Callable[[], ssl.SSLContext | None], sans: Callable[[], Collection[str]]) -> Any:
    """What uvicorn calls for each connection.

    TLS is put around a connection here rather than around the listening socket, so that a changed
    certificate or client CA counts from the next connection on.
    """

    refusals = Refusals()

    def protocol(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        arrived: float | None = None,
    ) -> asyncio.BaseProtocol:
        loop = _loop or asyncio.get_running_loop()
        names = sans()
        allowed = (lambda certificate: _carries(certificate, names)) if names else None
        inner = BoundedProtocol(config, server_state, app_state, loop, allowed, arrived, refusals)
        tls = context()
        if tls is None:
            return inner
        return TellingTls(
            loop,
            inner,
            tls,
            None,  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=HEAD_TIMEOUT,
            refusals=refusals,
        )

    return protocol


def _carries(certificate: Any, names: Collection[str]) -> bool:
    found = {value for _, value in (certificate or {}).get("subjectAltName", ())}
    return not found.isdisjoint(names)

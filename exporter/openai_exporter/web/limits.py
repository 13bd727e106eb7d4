# SPDX-License-Identifier: Apache-2.0
"""What a connection and a request pass first: TLS, the size and time of a head, concurrency, rate limit and users."""

import asyncio.sslproto
import base64
import hashlib
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from itertools import chain
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openai_exporter.errors import is_exhausted
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.web.webconfig import RateLimit, WebConfig, WebFile

log = logging.getLogger(__name__)

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT")
MAX_HEAD_BYTES = 16 * 1024
"""Bytes of request line and headers together; Prometheus sends under 1 KiB."""
HEAD_TIMEOUT = 10
"""Seconds from a connection's start to the end of its first request's head, and for its TLS handshake."""

INTERNAL_ERROR = "internal error; the exporter's log says more"
REASONS = ("concurrency", "method", "head_size", "rate_limit", "unauthorized", "stopping")
"""Values of the label `reason` of refused requests; all are exposed from the start."""


def text(message: str, status: int = 200, **headers: str) -> Response:
    """Plain text, ending in a newline; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = message if message.endswith("\n") else f"{message}\n"
    return Response(body, status, {"x-content-type-options": "nosniff", **named}, "text/plain")


# Every request: method, head, concurrency, rate limit, users, headers, errors, and the end of the process.


class Limits:
    """ASGI middleware; `stop()` ends it.

    Args:
        scraped: paths that count against `max_requests`. Health, metrics and pages never wait for probes.
        health: paths that need no user and pass any rate limit. exporter-toolkit has none; but what restarts a process
            that does not answer its health check cannot give a password, and must not meet a limit that others used up.
    """

    def __init__(
        self,
        app: ASGIApp,
        web: WebFile,
        instruments: Instruments,
        *,
        max_requests: int,
        scraped: Collection[str],
        health: Collection[str] = (),
    ) -> None:
        self._app = app
        self._web = web
        self._instruments = instruments
        self._max_requests = max_requests
        self._scraped = frozenset(scraped)
        self._health = frozenset(health)
        self._passwords = Passwords()
        self._bucket = Bucket()
        self._waiting: set[asyncio.Task[None]] = set()
        self._stopping = False
        for reason in REASONS:
            instruments.prepare(own.REQUESTS_REFUSED, (reason,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        elif scope["path"] in self._scraped:
            await self._scrape(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    def stop(self) -> None:
        """Refuse scrapes from now on, and end those that still wait."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()

    @property
    def waiting(self) -> int:
        """Scrapes that are being answered now."""
        return len(self._waiting)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["method"] not in ALLOWED_METHODS:
            allowed = ", ".join(ALLOWED_METHODS)
            return self._refused("method", f"method not allowed; allowed: {allowed}", 405, Allow=allowed)
        headers = scope["headers"]
        head = len(scope["raw_path"]) + len(scope["query_string"]) + 4 * len(headers)
        head += sum(map(len, chain.from_iterable(headers)))
        if head > MAX_HEAD_BYTES:
            message = f"request line and headers are above {MAX_HEAD_BYTES} bytes"
            return self._refused("head_size", message, 431)
        if scope["path"] not in self._scraped:
            return None
        if self._stopping:
            return self._refused("stopping", "the exporter is stopping", 503)
        if len(self._waiting) >= self._max_requests:
            message = f"{self._max_requests} scrapes are being answered already; raise --web.max-requests"
            return self._refused("concurrency", message, 503)
        return None

    def _refused(self, reason: str, message: str, status: int, **headers: str) -> Response:
        self._instruments.count(own.REQUESTS_REFUSED, (reason,))
        return text(message, status, **headers)

    async def _scrape(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await text("the exporter is stopping", 503)(scope, receive, send)
        finally:
            self._waiting.discard(task)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        config = self._web.config()
        started = finished = False

        async def with_headers(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(config.http_server_config.headers)
                headers.setdefault("cache-control", "no-store")
            else:
                finished = not message.get("more_body", False)
            await send(message)

        try:
            denial = None if scope["path"] in self._health else await self._denial(scope, config)
            await (denial or self._app)(scope, receive, with_headers)
        except Exception as error:
            if is_exhausted(error):
                log.error("request failed: %s", error, extra={"fields": {"path": scope["path"]}})
            else:
                log.exception("request failed", extra={"fields": {"path": scope["path"]}})
            if not started:
                await text(INTERNAL_ERROR, 500)(scope, receive, send)
            elif not finished:
                raise

    async def _denial(self, scope: Scope, config: WebConfig) -> Response | None:
        if not self._bucket.allows(config.rate_limit):
            return self._refused("rate_limit", "too many requests", 429)
        if config.basic_auth_users and not await self._passwords.match(scope, config.basic_auth_users):
            realm = 'Basic realm="openai-exporter"'
            return self._refused("unauthorized", "user and password required", 401, WWW_Authenticate=realm)
        return None


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


FAKE_HASH = "$2b$10$ny6S9mnXqsPpHIclr0rbUuTXL3JOFn.0y5cc69FNVe1Ofpf5ejWoq"
"""Checked for a user that does not exist, so that the time taken does not tell who does."""

_CACHED = 256
_BCRYPT_BYTES = 72


class Passwords:
    """bcrypt checks, one at a time in a thread, with cached results: each takes some 50 ms of CPU."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._results: OrderedDict[bytes, bool] = OrderedDict()

    async def match(self, scope: Scope, users: dict[str, str]) -> bool:
        """Whether a request has the name and password of one of `users`."""
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, value = header.partition(b" ")
        try:
            name, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
            user = name.decode()
        except ValueError:  # neither base64 nor UTF-8
            return False
        return kind.lower() == b"basic" and bool(colon) and await self.right(users, user, password)

    async def right(self, users: dict[str, str], user: str, password: bytes) -> bool:
        """Whether `password` is that of `user`."""
        hashed = users.get(user, FAKE_HASH)
        key = hashlib.sha256(b"\0".join([user.encode(), hashed.encode(), password])).digest()
        if key not in self._results:
            async with self._lock:
                if key not in self._results:
                    self._results[key] = await asyncio.to_thread(_matches, password, hashed) and user in users
                    if len(self._results) > _CACHED:
                        self._results.popitem(last=False)
        return self._results[key]


def _matches(password: bytes, hashed: str) -> bool:
    # Loaded here, since few exporters have users.
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed.encode())
    except ValueError:
        return False


# Every connection: the size and time of a head, TLS, and the names in clients' certificates.

REPEAT_SECONDS = 60.0
"""The same client and reason is logged once in this time."""
_MAX_CLIENTS = 1000
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
_PLAIN = (
    b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\r\nThis port speaks TLS; use https://\n"
)
_TLS_REASONS = {
    "http request": "plain HTTP on a port that speaks TLS",
    "peer did not return a certificate": "the client gave no certificate, and client_auth_type wants one",
}


def protocol_factory(web: WebFile) -> Any:
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
    ) -> asyncio.BaseProtocol:
        tls = web.config().tls_server_config
        names = tls.client_allowed_sans if tls else ()
        http = HttpProtocol(config, server_state, app_state, names, refusals)
        return http if web.context is None else TlsProtocol(http, web.context, refusals)

    return protocol


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection whose head is too long or late, or whose client is not allowed.

    Each request carries the monotonic seconds of its arrival as `request.state.arrived`.

    Args:
        names: of which a client's certificate must have one; empty welcomes every client.
        refusals: told of a client that is not welcome.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        names: Collection[str],
        refusals: "Refusals",
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self._names = names
        self._refusals = refusals
        self._head = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)
        if self._names:
            certificate = transport.get_extra_info("peercert") or {}
            if not {value for _, value in certificate.get("subjectAltName", ())}.intersection(self._names):
                reason = "the client's certificate has none of the names in client_allowed_sans"
                self._refusals.tell(transport, reason)
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()
        self.scope["state"]["arrived"] = self.loop.time()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_head = False
        self._head = 0
        self._timer.cancel()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished head."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()


class TlsProtocol(asyncio.sslproto.SSLProtocol):
    """asyncio's TLS, whose failed handshakes else end without an alert to the client and without a word here.

    It needs what asyncio has no public name for; a test holds these names against the Python that runs it.
    """

    def __init__(self, http: HttpProtocol, context: ssl.SSLContext, refusals: "Refusals") -> None:
        waiter: Any = None  # nobody waits for the handshake
        super().__init__(http.loop, http, context, waiter, server_side=True, ssl_handshake_timeout=HEAD_TIMEOUT)
        self._refusals = refusals

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        transport: Any = self._transport
        if isinstance(handshake_exc, ssl.SSLError) and transport is not None:
            if handshake_exc.reason == "HTTP_REQUEST":
                transport.write(_PLAIN)
            else:
                self._process_outgoing()  # type: ignore[attr-defined]  # the alert
            self._refusals.tell(transport, _reason(handshake_exc))
        super()._on_handshake_complete(handshake_exc)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    words = str(error.reason or "unknown").replace("_", " ").lower()
    return _TLS_REASONS.get(words, f"TLS handshake failed: {words}")


class Refusals:
    """Writes a log line for a refused connection, and not again for its repetitions.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    def tell(self, transport: asyncio.BaseTransport, reason: str) -> None:
        """Log that the client of `transport` was refused for `reason`."""
        peer = transport.get_extra_info("peername")
        client = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
        if reason == _TLS_REASONS["http request"] and client in _LOOPBACK:
            return  # such as the image's health check, every 15 seconds; the answer says why
        now, key = self._clock(), (client, reason)
        if now - self._logged.get(key, float("-inf")) < REPEAT_SECONDS:
            return
        if len(self._logged) >= _MAX_CLIENTS:  # anybody can connect: what is remembered has a bound
            self._logged.clear()
        self._logged[key] = now
        log.warning("connection refused: %s", reason, extra={"fields": {"client": client}})

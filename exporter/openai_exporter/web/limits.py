# SPDX-License-Identifier: Apache-2.0
"""What a connection and a request pass first: TLS, sizes and times, other sites' pages, users and concurrency."""

import asyncio.sslproto
import base64
import errno
import hashlib
import logging
import socket
import ssl
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any
from weakref import WeakValueDictionary

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
MAX_BODY_BYTES = 16 * 1024
"""Bytes of a request's body; no page reads any."""
REQUEST_TIMEOUT = 10
"""Seconds for a TLS handshake, and for a request to come, head and body: from the start of its connection, or from its
first byte on one that is kept."""
RESPONSE_TIMEOUT = 60
"""Seconds that what was sent may wait for a client that reads it slowly or not at all."""
MAX_PIPELINED = 64
"""Requests of one connection that wait for the answer to one before them."""

INTERNAL_ERROR = "internal error; the exporter's log says more"
REASONS = (
    "concurrency", "method", "head_size", "rate_limit", "unauthorized", "stopping", "body_size", "host", "cross_site",
    "slow",
)  # fmt: skip
"""Values of the label `reason` of refused requests; all are exposed from the start."""


def text(message: str, status: int = 200, **headers: str) -> Response:
    """Plain text, ending in a newline; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = message if message.endswith("\n") else f"{message}\n"
    return Response(body, status, {"x-content-type-options": "nosniff", **named}, "text/plain")


# Every request: method, head, rate limit, users, concurrency, headers, errors, and the end of the process.


class Limits:
    """ASGI middleware; `stop()` ends it.

    Args:
        scraped: paths that count against `max_requests`, up to the start of their answer: what waits for an API counts,
            not a client that reads slowly. Health, metrics and pages never wait for probes.
        acting: paths that do or spend something, and so are refused to pages of other sites in a browser.
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
        acting: Collection[str] = (),
        health: Collection[str] = (),
    ) -> None:
        self._app = app
        self._web = web
        self._instruments = instruments
        self._max_requests = max_requests
        self._scraped = frozenset(scraped)
        self._acting = frozenset(acting)
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

    async def end_slow(self, connections: Iterable[object]) -> None:
        """End the connections whose clients send or read too slowly; called about once a second."""
        for connection in connections:
            if isinstance(connection, HttpProtocol) and connection.slow():
                self._instruments.count(own.REQUESTS_REFUSED, ("slow",))
                connection.abort()

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
        named = dict(headers)
        length = named.get(b"content-length", b"0")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            message = f"the body is above {MAX_BODY_BYTES} bytes; no page reads one"
            return self._refused("body_size", message, 413, Connection="close")
        if list(map(itemgetter(0), headers)).count(b"host") > 1:
            return self._refused("host", "the request has more than one header Host", 400, Connection="close")
        site = named.get(b"sec-fetch-site")
        if scope["path"] in self._acting and (site == b"cross-site" or (site is None and _foreign(named))):
            message = "a page of another site asks for this; open it from the browser's address bar"
            return self._refused("cross_site", message, 403)
        return None

    def _refused(self, reason: str, message: str, status: int, **headers: str) -> Response:
        self._instruments.count(own.REQUESTS_REFUSED, (reason,))
        return text(message, status, **headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        config, task = self._web.config(), asyncio.current_task()
        assert task is not None
        started = finished = False

        async def with_headers(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                self._waiting.discard(task)
                headers = MutableHeaders(scope=message)
                headers.update(config.http_server_config.headers)
                headers.setdefault("cache-control", "no-store")
            else:
                finished = not message.get("more_body", False)
            await send(message)

        try:
            denial = None if scope["path"] in self._health else await self._denial(scope, config, task)
            await (denial or self._app)(scope, receive, with_headers)
        except asyncio.CancelledError:
            if not self._stopping or started:
                raise
            await text("the exporter is stopping", 503)(scope, receive, send)
        except Exception as error:
            if is_exhausted(error):
                log.error("request failed: %r", error, extra={"fields": {"path": scope["path"]}})
            else:
                log.exception("request failed", extra={"fields": {"path": scope["path"]}})
            if not started:
                await text(INTERNAL_ERROR, 500)(scope, receive, send)
            elif not finished:
                raise
        finally:
            self._waiting.discard(task)

    async def _denial(self, scope: Scope, config: WebConfig, task: "asyncio.Task[None]") -> ASGIApp | None:
        """What answers in place of the application; a scrape that passes has a slot."""
        if config.rate_limit is not None and not self._bucket.allows(config.rate_limit):
            return self._refused("rate_limit", "too many requests", 429)
        if config.basic_auth_users and not await self._passwords.match(scope, config.basic_auth_users):
            realm = 'Basic realm="openai-exporter"'
            return self._refused("unauthorized", "user and password required", 401, WWW_Authenticate=realm)
        if scope["state"]["gone"]():
            return _nobody
        if scope["path"] not in self._scraped:
            return None
        if self._stopping:
            return self._refused("stopping", "the exporter is stopping", 503)
        if len(self._waiting) >= self._max_requests:
            message = f"{self._max_requests} scrapes are being answered already; raise --web.max-requests"
            return self._refused("concurrency", message, 503)
        self._waiting.add(task)
        return None


def _foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser sends this for a page of another origin; of plain HTTP it says no more than that page's."""
    origin = headers.get(b"origin")
    return origin is not None and origin.rpartition(b"//")[2].lower() != headers.get(b"host", b"").lower()


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """No answer, to a client that hung up: ends with its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


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
    """bcrypt checks, one at a time in a thread, with cached results: each takes some 50 ms of CPU.

    Wrong passwords push out only each other, and those of one client are checked in turn with other clients'.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._right: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()

    async def match(self, scope: Scope, users: dict[str, str]) -> bool:
        """Whether a request has the name and password of one of `users`."""
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, value = header.partition(b" ")
        try:
            name, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
            user = name.decode()
        except ValueError:  # neither base64 nor UTF-8
            return False
        if kind.lower() != b"basic" or not colon:
            return False
        return await self.right(users, user, password, str((scope["client"] or [""])[0]), scope["state"]["gone"])

    async def right(
        self,
        users: dict[str, str],
        user: str,
        password: bytes,
        client: str = "",
        gone: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Whether `password` is that of `user`; of a client that is gone when its turn comes, it is not checked."""
        password = password[:_BCRYPT_BYTES]  # all that counts
        hashed = users.get(user, FAKE_HASH)
        key = hashlib.sha256(b"\0".join([user.encode(), hashed.encode(), password])).digest()
        if self._right.get(user) != key and key not in self._wrong:
            async with self._turns.setdefault(client, asyncio.Lock()), self._lock:
                if self._right.get(user) != key and key not in self._wrong and not gone():
                    if await asyncio.to_thread(_matches, password, hashed) and user in users:
                        self._right[user] = key
                    else:
                        self._wrong[key] = None
                        if len(self._wrong) > _CACHED:
                            self._wrong.popitem(last=False)
        return self._right.get(user) == key


def _matches(password: bytes, hashed: str) -> bool:
    # Loaded here, since few exporters have users.
    import bcrypt

    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:
        return False


# Every connection: sizes and times, TLS, and the names in clients' certificates.

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


_CLOSED = b"\x04\x05\x06\x07\x08\x09\x0b"
"""Of a connection's states in Linux, those in which a side has closed it."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection whose request is too long, or whose client is slow or not allowed.

    Each request carries the monotonic seconds of its arrival as `request.state.arrived`, and `request.state.gone`.

    Attributes:
        socket_transport: below TLS, if there is any.

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
        self.socket_transport: asyncio.Transport
        self._size = 0
        self._incomplete_since: float | None = None
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Check the client's certificate."""
        super().connection_made(transport)
        self._incomplete_since = self.loop.time()
        if not hasattr(self, "socket_transport"):
            self.socket_transport = transport
        if self._names:
            certificate = transport.get_extra_info("peercert") or {}
            if not {value for _, value in certificate.get("subjectAltName", ())}.intersection(self._names):
                reason = "the client's certificate has none of the names in client_allowed_sans"
                self._refusals.tell(transport, reason)
                transport.abort()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._incomplete_since = now = self.loop.time()
        self.scope["state"].update(arrived=now, gone=self.gone)

    def on_message_complete(self) -> None:
        """A request has come, with its body."""
        self._incomplete_since = None
        self._size = 0
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished request."""
        if self._incomplete_since is None:  # empty lines between requests, of which the parser tells nothing
            self._incomplete_since = self.loop.time()
        self._size += len(data)
        super().data_received(data)
        in_head = self.cycle is None or self.cycle.scope is not self.scope
        if len(self.pipeline) > MAX_PIPELINED:
            self.abort()
        elif self._size > MAX_HEAD_BYTES + (0 if in_head else MAX_BODY_BYTES) and not self.transport.is_closing():
            if in_head and (self.cycle is None or self.cycle.response_complete):
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def gone(self) -> bool:
        """Whether the client hung up: the kernel knows before the loop reads it. Such a connection is ended."""
        if sys.platform != "linux":
            return self.transport.is_closing()
        try:
            state = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        except OSError as error:  # closed, or a kernel that does not say
            return error.errno == errno.EBADF
        if state not in _CLOSED:
            return False
        self.abort()
        return True

    def slow(self) -> bool:
        """Whether a request comes, or an answer is read, too slowly; asked about once a second."""
        now = self.loop.time()
        if self.flow.read_paused and self._incomplete_since is not None:
            self._incomplete_since = now  # it is not read, for reasons of ours
        if not (self.transport.get_write_buffer_size() or self.socket_transport.get_write_buffer_size()):
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return (
            now - (now if self._incomplete_since is None else self._incomplete_since) > REQUEST_TIMEOUT
            or now - (now if self._unread_since is None else self._unread_since) > RESPONSE_TIMEOUT
        )

    def abort(self) -> None:
        """End the connection at once."""
        self.socket_transport.abort()


class TlsProtocol(asyncio.sslproto.SSLProtocol):
    """asyncio's TLS, whose failed handshakes else end without an alert to the client and without a word here.

    It needs what asyncio has no public name for; a test holds these names against the Python that runs it.
    """

    def __init__(self, http: HttpProtocol, context: ssl.SSLContext, refusals: "Refusals") -> None:
        waiter: Any = None  # nobody waits for the handshake
        super().__init__(http.loop, http, context, waiter, server_side=True, ssl_handshake_timeout=REQUEST_TIMEOUT)
        self._http = http
        self._refusals = refusals

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the protocol inside know what it would not be told of: what waits below TLS."""
        self._http.socket_transport = transport
        super().connection_made(transport)

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

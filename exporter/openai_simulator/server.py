# SPDX-License-Identifier: Apache-2.0
"""The simulator as an ASGI application and a server on a socket; where all parts meet."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from openai_simulator.act import FaultMiddleware
from openai_simulator.clock import SimClock
from openai_simulator.control import Control
from openai_simulator.errors import ApiError, api_error_handler
from openai_simulator.exchange import EXCHANGE_KEY, Exchange
from openai_simulator.faults import Faults
from openai_simulator.inference.routes import routes as inference_routes
from openai_simulator.organization import Organization
from openai_simulator.ratelimits import Header
from openai_simulator.statuspage import StatusPage
from openai_simulator.wire import WireProtocol
from openai_simulator.world import Books, Settings, World

# The headers of every response, and the outermost middleware that adds them and keeps the journal.

ORGANIZATION = b"org-simulated"
API_VERSION = b"2020-10-01"
CONTROL_PREFIX = "/_simulator"
_OWN_PREFIXES = ("x-request-id", "openai-", "x-ratelimit-", "retry-after", "apim-", "x-ms-", "azureml-")


class Envelope:
    """Gives each request its Exchange, completes the headers of its answer, and enters it in the journal."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._date = (-1, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        world = self._world
        exchange = Exchange(scope, world.request_id())
        scope[EXCHANGE_KEY] = exchange

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = self._headers(exchange, message["status"], list(message["headers"]))
            await send(message)

        try:
            with suppress(ClientDisconnect):
                await self._app(scope, receive, complete)
        finally:
            if exchange.path != "/" and not exchange.path.startswith(CONTROL_PREFIX):
                world.journal.record(exchange.entry(), scope["method"])

    def _headers(self, exchange: Exchange, status: int, headers: list[Header]) -> list[Header]:
        headers.append((b"date", self._http_date()))
        headers.append((b"x-simulated", b"true"))
        if exchange.edge:
            headers.append((b"server", b"cloudflare"))
            headers.append((b"cf-ray", exchange.request_id[4:20].encode() + b"-SIM"))
        elif exchange.azure:
            headers += _azure(exchange)
        elif exchange.path.startswith("/v1"):
            headers += _openai(exchange, status)
        else:
            headers.append((b"x-request-id", exchange.request_id.encode()))
        if exchange.stripped is not None:
            return [header for header in headers if not _left_out(header[0].decode(), exchange.stripped)]
        return headers

    def _http_date(self) -> bytes:
        second = int(self._world.clock.now())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


def _openai(exchange: Exchange, status: int) -> list[Header]:
    headers = [(b"x-request-id", exchange.request_id.encode())]
    if status != 401:
        headers.append((b"openai-version", API_VERSION))
        headers.append((b"openai-organization", ORGANIZATION))
        headers.append((b"openai-processing-ms", b"%d" % exchange.processing_ms()))
    if exchange.identity is not None:
        headers.append((b"openai-project", exchange.identity.project_id.encode()))
    return headers + exchange.extra_headers


def _azure(exchange: Exchange) -> list[Header]:
    request_id = exchange.request_id.encode()
    return [
        (b"x-request-id", request_id),
        (b"apim-request-id", request_id),
        (b"x-ms-region", b"Sweden Central"),
        (b"azureml-model-session", b"simulated-session"),
        *exchange.extra_headers,
    ]


def _left_out(name: str, stripped: frozenset[str]) -> bool:
    """Whether a header is left out; an empty set stands for all that are the API's own."""
    return name in stripped if stripped else name.startswith(_OWN_PREFIXES)


# The simulator as an ASGI application and a server on a socket; where all parts meet. Knows no options.

BACKLOG = 2048


def new_world(settings: Settings) -> World:
    """A world with the simulated organization."""
    return World(settings, _organization)


def _organization(settings: Settings, clock: SimClock, faults: Faults) -> Books:
    return Organization(
        clock=clock,
        seed=settings.seed,
        faults=faults,
        size=settings.size,
        amounts=settings.amounts,
        late_seconds=settings.late_seconds,
    )


def build_app(world: World) -> Starlette:
    """The whole application over one world."""
    routes: list[BaseRoute] = [
        *inference_routes(world),
        *world.organization.routes(),
        *StatusPage(world.clock, world.faults).routes(),
    ]
    control = Control(world, paths_of(routes))
    return Starlette(
        routes=[*routes, *control.routes()],
        middleware=[Middleware(Envelope, world), Middleware(FaultMiddleware, world)],
        exception_handlers={
            ApiError: api_error_handler,
            404: unknown_url,
            405: wrong_method,
            500: internal_error,
        },
    )


def paths_of(routes: list[BaseRoute]) -> list[str]:
    """`METHOD /path` of each route, in order."""
    lines = []
    for route in routes:
        if isinstance(route, Route):
            methods = ",".join(sorted((route.methods or set()) - {"HEAD"}))
            lines.append(f"{methods} {route.path}")
    return lines


async def unknown_url(request: Request, error: Exception) -> JSONResponse:
    """404 for a path that is not served."""
    return ApiError(404, f"Invalid URL ({request.method} {request.url.path})").response()


async def wrong_method(request: Request, error: Exception) -> JSONResponse:
    """405 for a known path with another method."""
    allowed = (error.headers or {}) if isinstance(error, HTTPException) else {}
    message = f"Not allowed to {request.method} on {request.url.path}."
    return ApiError(405, message, code="method_not_supported", headers=allowed).response()


async def internal_error(_request: Request, _error: Exception) -> JSONResponse:
    """500 in the API's shape for a failure of the simulator itself (which is also logged)."""
    return ApiError(500, "The simulator failed; see its output.", type="server_error").response()


class Server:
    """A running simulator: its socket, and an end that does not wait for hanging requests."""

    def __init__(self, world: World, sock: socket.socket) -> None:
        self._sock = sock
        config = Config(
            build_app(world), http=WireProtocol, lifespan="off", log_config=None, access_log=False,
            ws="none", proxy_headers=False, timeout_keep_alive=75,
        )  # fmt: skip
        config.load()
        self._config = config
        self._state = ServerState()
        self.stopped = asyncio.Event()

    def _protocol(self) -> asyncio.Protocol:
        return WireProtocol(config=self._config, server_state=self._state, app_state={})

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until `stopped` is set, then drop every connection at once."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(self._protocol, sock=self._sock, backlog=BACKLOG)
        if ready is not None:
            ready()
        await self.stopped.wait()
        listener.close()
        await self._drop()

    async def _drop(self) -> None:
        """End all connections and what still works on replies for them."""
        logging.getLogger("uvicorn.error").disabled = True  # it would log each cancelled reply as a failure
        for connection in list(self._state.connections):
            transport: Any = connection.transport
            transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(world: World, host: str, port: int, ready: Callable[[str], None] | None = None) -> None:
    """Serve `world` until SIGTERM or SIGINT; `ready` gets the base URL. Raises OSError when it cannot listen."""
    sock = listening_socket(host, port)
    bound = sock.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    server = Server(world, sock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stopped.set)
    await server.run(lambda: ready(f"http://{shown}:{bound}") if ready else None)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio turns Nagle off only for sockets that name their protocol.
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock

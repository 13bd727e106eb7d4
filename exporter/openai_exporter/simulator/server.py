# SPDX-License-Identifier: Apache-2.0
"""The simulator as an ASGI application and a server on a socket; where all parts meet. Knows no options."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from uvicorn.config import Config
from uvicorn.server import ServerState

from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.control import Control
from openai_exporter.simulator.errors import ApiError, api_error_handler
from openai_exporter.simulator.faults.middleware import FaultMiddleware
from openai_exporter.simulator.faults.registry import Faults
from openai_exporter.simulator.headers import Envelope
from openai_exporter.simulator.inference.routes import routes as inference_routes
from openai_exporter.simulator.organization import Organization
from openai_exporter.simulator.statuspage import StatusPage
from openai_exporter.simulator.wire import WireProtocol
from openai_exporter.simulator.world import Books, Settings, World

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

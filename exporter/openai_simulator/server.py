# SPDX-License-Identifier: Apache-2.0
"""The simulator as an ASGI application and a server on a socket; where all parts meet."""

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

from openai_simulator.context import ContextMiddleware
from openai_simulator.errors import ApiError, api_error_handler
from openai_simulator.fault_middleware import FaultMiddleware
from openai_simulator.inference.endpoints import routes as inference_routes
from openai_simulator.statuspage import StatusPage
from openai_simulator.wire import WireProtocol
from openai_simulator.world import Control, World

BACKLOG = 2048


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
        middleware=[
            Middleware(ContextMiddleware, world.clock, world.journal, world.request_id),
            Middleware(FaultMiddleware, world),
        ],
        exception_handlers={
            ApiError: api_error_handler,
            404: unknown_route,
            405: unknown_route,
            500: internal_error,
        },
    )


def paths_of(routes: list[BaseRoute]) -> list[str]:
    """`METHOD /path` of each route, in order."""
    found = (route for route in routes if isinstance(route, Route))
    return [f"{','.join(sorted((route.methods or set()) - {'HEAD'}))} {route.path}" for route in found]


async def unknown_route(request: Request, error: Exception) -> JSONResponse:
    """404 for a path that is not served, 405 for a known path with another method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return ApiError(404, f"Invalid URL ({request.method} {request.url.path})").response()
    message = f"Not allowed to {request.method} on {request.url.path}."
    return ApiError(405, message, code="method_not_supported", headers=error.headers).response()


async def internal_error(_request: Request, _error: Exception) -> JSONResponse:
    """500 in the API's shape for a failure of the simulator itself (which is also logged)."""
    return ApiError(500, "The simulator failed; see its output.", type="server_error").response()


async def serve(world: World, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve `world` until SIGTERM or SIGINT, then drop every connection at once; `ready` gets the base URL.

    Raises:
        OSError: it cannot listen.
    """
    sock = listening_socket(host, port)
    config = Config(
        build_app(world), http=WireProtocol, lifespan="off", log_config=None, access_log=False,
        ws="none", proxy_headers=False, timeout_keep_alive=75,
    )  # fmt: skip
    config.load()
    state, loop, stopped = ServerState(), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    listener = await loop.create_server(
        lambda: WireProtocol(config=config, server_state=state, app_state={}), sock=sock, backlog=BACKLOG
    )
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{sock.getsockname()[1]}")
    await stopped.wait()
    listener.close()
    await _drop(state)


async def _drop(state: ServerState) -> None:
    """End all connections and what still works on replies for them."""
    logging.getLogger("uvicorn.error").disabled = True  # it would log each cancelled reply as a failure
    for connection in list(state.connections):
        transport: Any = connection.transport
        transport.abort()
    tasks = list(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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

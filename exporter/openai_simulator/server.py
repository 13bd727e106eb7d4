# SPDX-License-Identifier: Apache-2.0
"""The simulator as an ASGI application, as a server on a socket, and as the `simulate` command."""

import asyncio
import contextlib
import errno
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from uvicorn.config import Config
from uvicorn.server import ServerState

from openai_simulator.catalogue import parse_time
from openai_simulator.connection import ContextMiddleware, WireProtocol, fine_loop
from openai_simulator.errors import ApiError, api_error_handler
from openai_simulator.fault_middleware import FaultMiddleware
from openai_simulator.inference.endpoints import routes as inference_routes
from openai_simulator.organization.seed import OrganizationSize
from openai_simulator.statuspage import StatusPage
from openai_simulator.world import Control, Settings, World

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
        exception_handlers={ApiError: api_error_handler, 404: unknown_route, 405: unknown_route, 500: internal_error},
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


# The `simulate` command: options in, a running simulator out.

_SIZE = OrganizationSize()


class ListenAddress(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`; IPv6 in brackets, an empty host for loopback."""

    name = "HOST:PORT"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """The host and port."""
        if isinstance(value, tuple):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            self.fail(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8085 (port 0: a free one)", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


class Time(click.ParamType[float]):
    """ISO 8601 (UTC unless it says otherwise) or unix seconds."""

    name = "ISO8601"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds."""
        with contextlib.suppress(ValueError):
            return float(value)
        with contextlib.suppress(ValueError):
            return parse_time(value)
        self.fail(f"{value!r} is not a time, such as 2026-11-21T09:30:00Z or unix seconds", param, ctx)


_option = partial(click.option, show_default=True)


class Finite(click.FloatRange):
    """A number in a range; `nan`, which is in none, and `inf` are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


@click.command("simulate")
@_option(
    "--listen-address", type=ListenAddress(), default="127.0.0.1:8085",
    help="Where to listen; port 0 takes a free one.",
)  # fmt: skip
@_option("--seed", type=int, default=1, help="Same seed, same organization and replies.")
@_option("--clock", type=Time(), default=None, help="Simulated time at the start (default: now).")
@_option(
    "--speed", type=Finite(0, 1e6), default=1.0,
    help="Simulated seconds per real second; latencies stay real.",
)  # fmt: skip
@_option(
    "--amounts", type=click.Choice(["number", "string"]), default="string",
    help="How /organization/costs gives amounts: as described, or as the live API does.",
)  # fmt: skip
@_option(
    "--late-seconds", type=Finite(0), default=300.0,
    help="How late usage becomes visible, in simulated seconds.",
)  # fmt: skip
@_option(
    "--projects", type=click.IntRange(1, 1000), default=_SIZE.projects,
    help="Projects of the organization.",
)  # fmt: skip
@_option(
    "--keys", type=click.IntRange(1, 10_000), default=_SIZE.keys,
    help="API keys of all projects together.",
)  # fmt: skip
@_option(
    "--users", type=click.IntRange(1, 10_000), default=_SIZE.users,
    help="Users that own them, in addition to service accounts.",
)  # fmt: skip
@_option(
    "--streams", type=click.IntRange(0), default=None, metavar="N",
    help="Usage streams: one per key, model, batch and service tier (default: five per key).",
)  # fmt: skip
@_option(
    "--latency-scale", type=Finite(0, 1000), default=1.0,
    help="Multiplies the models' latencies; 0 answers at once.",
)  # fmt: skip
@_option(
    "--jitter", type=Finite(0, 1), default=None,
    help="Relative spread of latencies, drawn once per request (default: the model's own).",
)  # fmt: skip
@_option("--accept-key", multiple=True, metavar="KEY", help="Accept only these keys (default: any sk-...).")
def simulate_command(
    listen_address: tuple[str, int],
    projects: int,
    keys: int,
    users: int,
    streams: int | None,
    accept_key: tuple[str, ...],
    **settings: Any,
) -> None:
    """Run a simulated OpenAI API: inference, organization usage and costs, status page, faults on demand."""
    try:
        size = OrganizationSize(projects, keys, users, streams)
    except ValueError as error:
        raise click.UsageError(f"--{error}; add --keys") from None
    run(Settings(size=size, accepted_keys=frozenset(accept_key), **settings), *listen_address)


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal; exits with status 1 and one line when it cannot listen."""

    def ready(url: str) -> None:
        print(f"listening on {url} (simulated OpenAI API, seed {settings.seed})", flush=True)

    try:
        with asyncio.Runner(loop_factory=fine_loop) as runner:
            runner.run(serve(World(settings), host, port, ready))
    except OSError as error:
        remedy = f"{error.strerror or error}; choose another with --listen-address HOST:PORT"
        if error.errno == errno.EADDRINUSE:
            remedy = "the port is in use; end the other program or choose another with --listen-address HOST:PORT"
        print(f"openai-exporter simulate: cannot listen on {host}:{port}: {remedy}", file=sys.stderr)
        raise SystemExit(1) from error

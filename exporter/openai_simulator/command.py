# SPDX-License-Identifier: Apache-2.0
"""The `simulate` command: options in, a running simulator out."""

import asyncio
import contextlib
import errno
import sys
from functools import partial
from typing import Any

import click

from openai_simulator.clock import parse_time
from openai_simulator.organization.seed import OrganizationSize
from openai_simulator.server import serve
from openai_simulator.wire import fine_loop
from openai_simulator.world import Settings, World

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


@click.command("simulate")
@_option(
    "--listen-address", type=ListenAddress(), default="127.0.0.1:8085",
    help="Where to listen; port 0 takes a free one.",
)  # fmt: skip
@_option("--seed", type=int, default=1, help="Same seed, same organization and replies.")
@_option("--clock", type=Time(), default=None, help="Simulated time at the start (default: now).")
@_option(
    "--speed", type=click.FloatRange(0, 1e6), default=1.0,
    help="Simulated seconds per real second; latencies stay real.",
)  # fmt: skip
@_option(
    "--amounts", type=click.Choice(["number", "string"]), default="string",
    help="How /organization/costs gives amounts: as described, or as the live API does.",
)  # fmt: skip
@_option(
    "--late-seconds", type=click.FloatRange(0), default=300.0,
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
    help="Users that own them, beside service accounts.",
)  # fmt: skip
@_option(
    "--streams", type=click.IntRange(0), default=None, metavar="N",
    help="Usage streams: one per key, model, batch and service tier (default: five per key).",
)  # fmt: skip
@_option(
    "--latency-scale", type=click.FloatRange(0, 1000), default=1.0,
    help="Multiplies the models' latencies; 0 answers at once.",
)  # fmt: skip
@_option(
    "--jitter", type=click.FloatRange(0, 1), default=None,
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

# SPDX-License-Identifier: Apache-2.0
"""What lies outside the API's own answers: hosts, proxies, certificates and keys that fail, and our own limits."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from openai_exporter.config import Config
from openai_exporter.model import ProbeKey
from openai_exporter.probe.service import Prober
from openai_simulator.testing import SimulatorControl
from tests.exporter.client import rawserver
from tests.exporter.client.rawserver import Turn, answer, raw_server
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for

CHAT = key_of("chat")
OTHER = ProbeKey("api", "chat", "gpt-5.4-mini")
Way = Callable[[SimulatorControl, Path], AbstractAsyncContextManager[tuple[Prober, ProbeKey]]]
"""A prober and the key of the probe that is to be made with it."""


def answering(status: str, body: str = "", more: str = "") -> Way:
    """A server that gives this answer to every request."""

    @contextlib.asynccontextmanager
    async def way(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
        async def reply(turn: Turn) -> None:
            await turn.send(answer(body, status, more=more))

        async with (
            raw_server(reply) as server,
            prober_for(configuration(server.url)) as prober,
        ):
            yield prober, CHAT

    return way


def at(url: str, proxies: Mapping[str, str] | None = None) -> Way:
    """A target at this URL; `{port}` becomes one that nobody listens on."""

    @contextlib.asynccontextmanager
    async def way(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
        with socket.socket() as taken:  # bound and not listening: it refuses, and nobody else gets it
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            found = {name: text.format(port=port) for name, text in (proxies or {}).items()}
            async with prober_for(configuration(url.format(port=port)), proxies=found) as prober:
                yield prober, CHAT

    return way


@contextlib.asynccontextmanager
async def without_tls(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """https to a server that speaks plain HTTP."""
    async with rawserver.without_tls("no TLS here") as url, prober_for(configuration(f"{url}/v1")) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def unaccepted(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """A listener whose queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        config = configuration(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        async with prober_for(config) as prober:
            await prober.warm()
            yield prober, CHAT


@contextlib.asynccontextmanager
async def without_key(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The key's file is gone."""
    file = folder / "key"
    file.write_text("sk-test-0123456789")
    config = configuration(simulator.api_url, api_key_file=str(file))
    file.unlink()
    async with prober_for(config) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def expecting_401(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """A module that wants its key refused, on an API that takes it."""
    config = _two_models(simulator, expect={"status": [401]})
    async with prober_for(config) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def spent(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The module has spent what it may in a day, on another model."""
    config = _two_models(simulator, daily_cost_limit_usd=0.000001)
    async with prober_for(config) as prober:
        await prober.probe(CHAT)
        yield prober, OTHER


@contextlib.asynccontextmanager
async def crowded(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The one place among the probes in flight is taken."""
    simulator.fault("hang", path="/v1/models")
    async with prober_for(configuration(simulator.api_url), max_in_flight=1) as prober:
        await prober.warm()
        hanging = asyncio.create_task(prober.probe(key_of("models"), 60))
        await asyncio.sleep(0)
        yield prober, CHAT
        hanging.cancel()


@contextlib.asynccontextmanager
async def unreadable_authorities(
    simulator: SimulatorControl, folder: Path
) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """No certificate authorities can be loaded."""
    bundle = folder / "bundle.pem"
    bundle.write_text("nonsense")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai_exporter.client.network.BUNDLES", (str(bundle),))
        patch.setenv("SSL_CERT_FILE", str(folder / "none"))
        patch.setenv("SSL_CERT_DIR", str(folder / "none"))
        async with prober_for(configuration("https://127.0.0.1:1/v1")) as prober:
            yield prober, CHAT


WITHHELD = json.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}],
    }
)


def _two_models(simulator: SimulatorControl, **module: object) -> Config:
    probes = [{"target": "api", "module": "chat", "models": [CHAT.model, OTHER.model]}]
    return configuration(simulator.api_url, {"chat": {**MODULES["chat"], **module}}, more={"probes": probes})

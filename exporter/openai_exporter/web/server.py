# SPDX-License-Identifier: Apache-2.0
"""Runs the application on uvicorn: listens first, warms up afterwards, ends within a second."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from openai_exporter.client.turns import Turns
from openai_exporter.errors import ExporterError
from openai_exporter.web import sockets
from openai_exporter.web.app import HEALTH, SCRAPED, build_app
from openai_exporter.web.collector import Collector
from openai_exporter.web.door import Door
from openai_exporter.web.gate import Gate
from openai_exporter.web.guard import Guard
from openai_exporter.web.live import Live, read_config
from openai_exporter.web.masking import Masker
from openai_exporter.web.protocol import factory
from openai_exporter.web.settings import Settings
from openai_exporter.web.webfile import WebFile

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than the usual scrape interval."""
GRACE = 0.3
"""Seconds that scrapes in flight may still take when the process is told to end."""


class ExporterServer(uvicorn.Server):
    """uvicorn's server with our signals, start message, warm-up and end.

    Signals are handled here: SIGTERM and SIGINT end it with status 0, SIGHUP reloads.
    """

    def __init__(self, live: Live, web: WebFile) -> None:
        settings = live.settings
        limited = [f"{settings.route_prefix}{path}" for path in SCRAPED]
        unasked = [f"{settings.route_prefix}{path}" for path in HEALTH]
        guarded = Guard(build_app(live), web, live.instruments, unasked)
        self._turns = Turns()
        self.gate = Gate(
            guarded,
            instruments=live.instruments,
            max_requests=settings.max_requests,
            limited=limited,
            turns=self._turns,
        )
        self.live = live
        self._web = web
        self._background: set[asyncio.Task[object]] = set()
        config = uvicorn.Config(
            self.gate,
            http=factory(web.context, web.sans),
            ws="none",
            loop="asyncio",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            # The scheme and peer that a proxy claims decide nothing here.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            # Else a client that does not read its answer would keep the process from ending.
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop; uvicorn would end the process by the signal itself."""
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGINT: self._end, signal.SIGTERM: self._end, signal.SIGHUP: self._hang_up}
        try:
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
        except (RuntimeError, ValueError):
            # Not the main thread, as in tests: there is no signal to handle.
            yield
            return
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, say so, then load what is slow in the background."""
        await super().startup([])
        self._open_doors(sockets or [])
        _say_listening(sockets or [], self._web.secure, self.live.settings)
        self._start(Collector(lambda: self.gate.waiting > 0).run, "garbage collection")
        self._start(self.live.services.prober.warm, "warm-up")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let scrapes in flight end for a moment, then answer them 503."""
        self.live.ready = False
        waited = 0.0
        while self.gate.waiting and waited < GRACE:
            await asyncio.sleep(0.02)
            waited += 0.02
        self.gate.stop()
        for task in self._background:
            task.cancel()
        await super().shutdown(sockets)
        log.info("stopped")

    def _open_doors(self, sockets: list[socket.socket]) -> None:
        def protocol(arrived: float) -> asyncio.BaseProtocol:
            make: Any = self.config.http_protocol_class
            made: asyncio.BaseProtocol = make(
                self.config, self.server_state, self.lifespan.state, arrived=arrived
            )
            return made

        prefix = self.live.settings.route_prefix.encode()
        urgent = (b"GET %b/-/" % prefix, b"HEAD %b/-/" % prefix)
        self.servers: list[Any] = [Door(each, protocol, urgent, self._turns) for each in sockets]

    def _end(self) -> None:
        log.info("stopping")
        self.should_exit = True

    def _hang_up(self) -> None:
        self._start(self._reload, "reload")

    async def _reload(self) -> None:
        # The failure has been logged where it was found.
        with contextlib.suppress(ExporterError):
            await self.live.reload()

    def _start(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(_logged(work, name))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _logged(work: Callable[[], Awaitable[object]], name: str) -> None:
    # Called here, for a task may be cancelled before its first step.
    try:
        await work()
    except Exception:
        log.exception("%s failed", name)


def run(settings: Settings, masker: Masker | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration or the web configuration cannot be used.
        StartError: an address cannot be listened on.
    """
    listening = sockets.listen(settings.listen)
    try:
        web = WebFile(settings.web_config_file)
        config = read_config(settings)
        _raise_file_limit(settings.max_requests)
        # The loop is not closed with asyncio.run: that would wait for worker threads, which may hang in a
        # call to an API for many seconds.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_serve(Live(config, settings, masker=masker), web, listening))
    finally:
        for each in listening:
            each.close()


async def _serve(live: Live, web: WebFile, listening: list[socket.socket]) -> None:
    await ExporterServer(live, web).serve(listening)


def _say_listening(listening: list[socket.socket], secure: bool, settings: Settings) -> None:
    scheme = "https" if secure else "http"
    for each in listening:
        address = sockets.shown(each)
        fields = {"address": address, "url": f"{scheme}://{_reachable(address)}{settings.route_prefix}/"}
        log.info("listening", extra={"fields": fields})


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"localhost:{port}" if host in ("0.0.0.0", "[::]") else address


def _raise_file_limit(max_requests: int) -> None:
    """Each scrape may hold two sockets, its own and the probe's; many systems allow 1024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 4096, 3 * max_requests)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

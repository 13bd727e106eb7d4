# SPDX-License-Identifier: Apache-2.0
"""Runs the application on uvicorn: opens sockets first, warms up afterwards, stops within a second."""

import asyncio
import errno
import logging
import re
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn

from openai_exporter.config.secret import Masker
from openai_exporter.errors import ExporterError, StartError, is_exhausted
from openai_exporter.web import limits, routes, webconfig
from openai_exporter.web.live import Live, Settings, format_address, read_config

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than the usual scrape interval."""
SEND_BUFFER = 256 * 1024
"""Bytes of an answer that the kernel keeps for a client, and as many again for its own needs."""
GRACE = 0.3
"""Seconds that scrapes in flight may still take when the process is told to end."""


def run(settings: Settings, masker: Masker | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration or the web configuration cannot be used.
        StartError: an address cannot be listened on.
    """
    listening = listen(settings.listen)
    try:
        web = webconfig.WebFile(settings.web_config_file)
        config = read_config(settings)
        _raise_file_limit(settings.max_requests)
        # The loop is not closed with asyncio.run: that would wait for worker threads, which may hang in a
        # call to an API for many seconds.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ExporterServer(Live(config, settings, masker=masker), web).serve(listening))
    finally:
        for listener in listening:
            listener.close()


def _raise_file_limit(max_requests: int) -> None:
    """Each scrape may hold two sockets, its own and the probe's; many systems allow 1024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(soft, 4096, 3 * max_requests)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class ExporterServer(uvicorn.Server):
    """uvicorn's server with our signals, start message, warm-up and end.

    Signals are handled here: SIGTERM and SIGINT end it with status 0, SIGHUP reloads.
    """

    def __init__(self, live: Live, web: webconfig.WebFile) -> None:
        settings = live.settings
        self.limits = limits.Limits(
            routes.build_app(live),
            web,
            live.instruments,
            max_requests=settings.max_requests,
            scraped=[f"{settings.route_prefix}{path}" for path in routes.SCRAPED],
            acting=[f"{settings.route_prefix}{path}" for path in routes.ACTING],
            health=[f"{settings.route_prefix}{path}" for path in routes.HEALTH],
        )
        self.live = live
        live.full = lambda: self.limits.waiting >= settings.max_requests
        self._web = web
        self._background: set[asyncio.Task[object]] = set()
        self._complained = float("-inf")
        config = uvicorn.Config(
            self.limits,
            http=limits.protocol_factory(web),
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
            timeout_notify=0,
        )
        super().__init__(config)
        config.callback_notify = partial(self.limits.end_slow, self.server_state.connections)  # once a second

    @contextmanager
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
        """Start to accept, say so, then load what is slow and look at the keys in the background."""
        asyncio.get_running_loop().set_exception_handler(self._loop_error)
        await super().startup(sockets)
        for listener in sockets or []:
            log.info("listening", extra={"fields": self._address(listener)})
        self._start(self._warm_up, "warm-up")

    async def _warm_up(self) -> None:
        await self.live.services.prober.warm()
        if self.live.settings.announce:
            from openai_exporter.web.startup import announce

            await announce(self.live)

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what the loop reports; that it cannot accept comes thousands of times a second, and is logged once."""
        error = context.get("exception")
        if not is_exhausted(error):
            loop.default_exception_handler(context)
        elif loop.time() - self._complained >= limits.REPEAT_SECONDS:
            self._complained = loop.time()
            reason = str(context.get("message")).partition("\n")[0]
            log.error("%s: %r; raise the process's limits of open files, threads and memory", reason, error)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let scrapes in flight end for a moment, then answer them 503."""
        self.live.ready = False
        waited = 0.0
        while self.limits.waiting and waited < GRACE:
            await asyncio.sleep(0.02)
            waited += 0.02
        self.limits.stop()
        for task in self._background:
            task.cancel()
        await super().shutdown(sockets)
        log.info("stopped")

    def _address(self, listening: socket.socket) -> dict[str, str]:
        address = format_address(*listening.getsockname()[:2])
        host, _, port = address.rpartition(":")
        reachable = f"localhost:{port}" if host in ("0.0.0.0", "[::]") else address
        scheme = "https" if self._web.context else "http"
        return {"address": address, "url": f"{scheme}://{reachable}{self.live.settings.route_prefix}/"}

    def _end(self) -> None:
        log.info("stopping")
        self.should_exit = True

    def _hang_up(self) -> None:
        self._start(self.live.reload, "reload")

    def _start(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        task: asyncio.Task[object] = asyncio.create_task(_logged(work, name))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _logged(work: Callable[[], Awaitable[object]], name: str) -> None:
    # Called here, for a task may be cancelled before its first step.
    try:
        await work()
    except ExporterError:  # a reload, which has logged it
        pass
    except Exception:
        log.exception("%s failed", name)


# Listen addresses and their sockets, opened before anything slow so that a taken port is told at once.

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Host (empty for every interface) and port of `:9985`, `127.0.0.1:9985` or `[::1]:9985`.

    Raises:
        ValueError: not such an address.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{text!r} is not an address; give one such as :9985, 127.0.0.1:9985 or [::1]:9985")
    return match["v6"] or match["host"] or "", int(match["port"])


def listen(addresses: Iterable[str]) -> list[socket.socket]:
    """Listening sockets for all addresses; all or none.

    Raises:
        StartError: an address cannot be listened on; says why and what to do.
    """
    with ExitStack() as opened:
        sockets = [opened.enter_context(listening) for address in addresses for listening in _open(address)]
        opened.pop_all()
        return sockets


def _open(address: str) -> Iterator[socket.socket]:
    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise StartError(f"--web.listen-address: {error}") from None
    try:
        for listening in _bound(host, port) if host else [_every_interface(port)]:
            # Accepted connections inherit it. asyncio sets it only on sockets made with an explicit protocol number,
            # which create_server does not give: without it each answer on a kept connection waits 40 ms for a delayed
            # ACK.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Else the kernel copies some megabytes for each client that does not read, one after the other.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            yield listening
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {_remedy(port, error)}") from None


def _bound(host: str, port: int) -> Iterator[socket.socket]:
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, name in dict.fromkeys((family, str(place[0])) for family, _, _, _, place in resolved):
        yield socket.create_server((name, port), family=family)


def _every_interface(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6 together, or for IPv4 alone on a machine without IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return socket.create_server(("", port))


def _remedy(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop what listens there or give another --web.listen-address"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; give one of 1024 or above"
    if isinstance(error, socket.gaierror):
        return "the host name is not known here"
    return f"{error.strerror or error}; give an address of this machine"

# SPDX-License-Identifier: Apache-2.0
"""Runs the application on uvicorn: opens sockets first, warms up afterwards, stops within a second."""

import asyncio
import contextlib
import errno
import gc
import logging
import re
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import uvicorn

from openai_exporter.client.pool import Turns
from openai_exporter.config.secret import Masker
from openai_exporter.errors import ExporterError, StartError
from openai_exporter.web.limits import Gate, Guard, factory
from openai_exporter.web.live import Live, Settings, read_config
from openai_exporter.web.routes import HEALTH, SCRAPED, build_app
from openai_exporter.web.webconfig import WebFile

# Listen addresses and their sockets, opened before anything slow so that a taken port is told at once.

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})")
BACKLOG = 2048


def parse_address(text: str) -> tuple[str, int]:
    """Host (empty for every interface) and port of `:9985`, `127.0.0.1:9985` or `[::1]:9985`.

    Raises:
        ValueError: not such an address.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise ValueError(f"{text!r} is not an address; give one such as :9985, 127.0.0.1:9985 or [::1]:9985")
    return found["v6"] or found["host"] or "", int(found["port"])


def listen(addresses: Iterable[str]) -> list[socket.socket]:
    """Listening sockets for all addresses; all or none.

    Raises:
        StartError: an address cannot be listened on; says why and what to do.
    """
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for address in addresses:
            for each in _open(address):
                opened.callback(each.close)
                sockets.append(each)
        opened.pop_all()
        return sockets


def shown(listening: socket.socket) -> str:
    """`host:port` of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _open(address: str) -> list[socket.socket]:
    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise StartError(f"--web.listen-address: {error}") from None
    try:
        if host:
            return [_bound(family, place) for family, place in _resolved(host, port)]
        return _every_interface(port)
    except OSError as error:
        raise StartError(_explained(address, port, error)) from None


def _resolved(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((family, (str(place[0]), port)) for family, _, _, _, place in found)
    return list(unique)


def _every_interface(port: int) -> list[socket.socket]:
    """One socket for IPv4 and IPv6 together, or for IPv4 alone on a machine without IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return [
                _prompt(
                    socket.create_server(
                        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
                    )
                )
            ]
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return [_bound(socket.AF_INET, ("", port))]


def _bound(family: socket.AddressFamily, place: tuple[str, int]) -> socket.socket:
    return _prompt(socket.create_server(place, family=family, backlog=BACKLOG))


def _prompt(listening: socket.socket) -> socket.socket:
    # Accepted connections inherit it. asyncio sets it only on sockets made with an explicit protocol number, which
    # create_server does not give: without it each answer on a kept connection waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _explained(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        remedy = "the port is in use; stop what listens there or give another --web.listen-address"
    elif error.errno == errno.EACCES:
        remedy = f"port {port} needs privileges; give one of 1024 or above"
    elif isinstance(error, socket.gaierror):
        remedy = "the host name is not known here"
    else:
        remedy = f"{error.strerror or error}; give an address of this machine"
    return f"cannot listen on {address}: {remedy}"


# Lets connections in one per pass of the event loop, health checks first; knows nothing of HTTP beyond a prefix.
# asyncio's own server takes in as many connections in one pass as wait: five hundred scrapes that begin together
# would keep everything else waiting until the last of them was read.

ACCEPTED = 32
"""Connections taken from the kernel's queue per pass; each costs some 10 microseconds until it is its turn."""

RETRY_SECONDS = 1.0
"""Pause when the process or system has no file descriptors left."""

_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """One listening socket; has what `uvicorn.Server` needs of an `asyncio.Server`.

    Args:
        protocol: makes the protocol of a connection, given the monotonic time of its arrival.
        urgent: beginnings of a request that does not wait behind others.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[float], asyncio.BaseProtocol],
        urgent: tuple[bytes, ...],
        turns: Turns,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._urgent = urgent
        self._peek = max(map(len, urgent), default=0)
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._waiting: set[socket.socket] = set()
        self._closed = False
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accept no more, and drop what still waits."""
        self._closed = True
        self._loop.remove_reader(self._listening)
        for waiting in self._waiting:
            waiting.close()
        self._waiting.clear()

    async def wait_closed(self) -> None:
        """Return at once: connections end by themselves."""

    def _open(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                self._loop.remove_reader(self._listening)
                self._loop.call_later(RETRY_SECONDS, self._open)
                return
            self._receive(accepted)

    def _receive(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        arrived = self._loop.time()
        if self._is_urgent(accepted):
            self._let_in(accepted, arrived)
        else:
            self._waiting.add(accepted)
            self._turns.call(lambda: self._let_in(accepted, arrived))

    def _is_urgent(self, accepted: socket.socket) -> bool:
        if not self._peek:
            return False
        try:
            return accepted.recv(self._peek, socket.MSG_PEEK).startswith(self._urgent)
        except OSError:  # nothing has come yet, or the client is gone
            return False

    def _let_in(self, accepted: socket.socket, arrived: float) -> None:
        self._waiting.discard(accepted)
        if self._closed:
            accepted.close()
            return
        entering = self._loop.create_task(self._enter(accepted, arrived))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)

    async def _enter(self, accepted: socket.socket, arrived: float) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(arrived), accepted)
        except OSError:  # the client is gone
            accepted.close()


# Collects cyclic garbage while no probe is timed: a collection stops everything for up to 50 ms.
# A probe that ends as it should leaves no cycle behind, so what waits to be collected grows slowly.

EVERY = 30.0
"""Seconds between two collections while there is a quiet moment for them."""

MANY = 400_000
"""New objects, alive or not, at which a collection waits for a quiet moment no longer.

A probe in flight has some 250: five hundred of them stay below it, and are not walked in vain.
"""


def new_objects() -> int:
    """Objects made less objects gone since the last collection, as the interpreter counts them."""
    return gc.get_count()[0]


class Collector:
    """Decides when to collect.

    Args:
        busy: whether a scrape is being answered.
        collect: does it.
        grown: objects since the last collection.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        busy: Callable[[], bool],
        collect: Callable[[], object] = gc.collect,
        grown: Callable[[], int] = new_objects,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._busy = busy
        self._collect = collect
        self._grown = grown
        self._clock = clock
        self._last = clock()

    async def run(self) -> None:
        """Collect now and then in place of the interpreter, until cancelled."""
        gc.disable()
        try:
            while True:
                await asyncio.sleep(1)
                self.tick()
        finally:
            gc.enable()

    def tick(self) -> bool:
        """Collect if it is time; True when it was."""
        quiet = self._clock() - self._last >= EVERY and not self._busy()
        if not quiet and self._grown() < MANY:
            return False
        self._collect()
        self._last = self._clock()
        return True


# Runs the application on uvicorn: listens first, warms up afterwards, ends within a second.

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
    listening = listen(settings.listen)
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
        address = shown(each)
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

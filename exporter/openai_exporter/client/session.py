# SPDX-License-Identifier: Apache-2.0
"""GET requests with a total deadline; every failure becomes an UpstreamError. Loads requests, so import it late.

Blocking: call it in a worker thread. It never follows redirects and never reads the environment.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions as lower
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from openai_exporter import __version__
from openai_exporter.client import network
from openai_exporter.client.organization import Params, Reply
from openai_exporter.errors import UpstreamError

USER_AGENT = f"openai-exporter/{__version__}"
_CONNECT_SECONDS = 5.0

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.ProxyError, "proxy"),
    (lower.ProxyError, "proxy"),
    (requests.Timeout, "timeout"),
    (lower.NameResolutionError, "dns"),
    (lower.NewConnectionError, "connect"),
    (lower.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (requests.exceptions.SSLError, "tls"),
    (lower.SSLError, "tls"),
    (ssl.SSLError, "tls"),
    (lower.IncompleteRead, "truncated"),
    (lower.InvalidChunkLength, "truncated"),
    (requests.exceptions.ContentDecodingError, "malformed"),
    (lower.DecodeError, "malformed"),
    (ConnectionRefusedError, "connect"),
    (lower.ProtocolError, "connection_reset"),
    (OSError, "connection_reset"),
)
"""The first row counts that an exception is, or one that it wraps: broad classes of `requests` wrap narrower ones."""

_SENTENCES = {
    "timeout": "{server} did not answer completely within {timeout:g} s",
    "dns": "the name of {server} could not be resolved",
    "connect": "no connection to {server}",
    "proxy": "the proxy on the way to {server} failed",
    "tls": "no TLS connection to {server}",
    "connection_reset": "{server} closed the connection before it answered completely",
    "truncated": "the answer of {server} ended too early",
    "malformed": "the answer of {server} is not valid HTTP",
}


@dataclass(frozen=True, slots=True)
class Network:
    """How addresses are reached.

    Attributes:
        proxies: as `urllib.request.getproxies()` returns it: by scheme, `all`, and `no` for exceptions.
        context: makes the TLS settings.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    context: Callable[[], ssl.SSLContext] = network.client_context

    def proxies_for(self, url: str) -> dict[str, str]:
        """What `requests` needs to reach a URL."""
        scheme, host, port = network.origin(url)
        proxy = network.proxy_url(scheme, host, port, self.proxies)
        return {scheme: proxy} if proxy else {}


class Session:
    """A connection that is kept alive, for one server.

    Args:
        base_url: root of the server, without a slash at its end.
        timeout: seconds that a call may take, from the first byte sent to the last received.
        network: proxies and TLS.
    """

    def __init__(self, base_url: str, timeout: float, network: Network | None = None) -> None:
        network = network or Network()
        self._base_url = base_url
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = network.proxies_for(base_url)
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        adapter = WatchedAdapter(functools.cache(network.context))
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._running: Watchdog | None = None
        self._closed = False

    def get(
        self, path: str, params: Params = (), headers: Mapping[str, str] | None = None, *, api: str
    ) -> contextlib.AbstractContextManager[Reply]:
        """Send a GET request; read the reply inside the block, which ends with the deadline.

        Raises:
            UpstreamError: no answer, or none that could be read to its end in time.
        """
        return self._exchange(lambda watchdog: self._send(path, params, headers or {}, watchdog), api)

    @contextlib.contextmanager
    def _exchange(self, send: Callable[["Watchdog"], requests.Response], api: str) -> Iterator[Reply]:
        if self._closed:
            raise UpstreamError("the connection is closed", api=api, reason="connection_reset")
        with Watchdog(self._timeout) as watchdog:
            self._running = watchdog
            try:
                with send(watchdog) as response:
                    yield Reply(response, api)
            except (requests.RequestException, lower.HTTPError, OSError) as error:
                reason = "timeout" if watchdog.expired else _reason(error)
                raise UpstreamError(self._sentence(reason, error), api=api, reason=reason) from None
            finally:
                self._running = None

    def close(self) -> None:
        """Cut the call that runs, if any, and close the connection; safe from any thread."""
        self._closed = True
        running = self._running
        if running is not None:
            running.cut()
        self._session.close()

    def _send(self, path: str, params: Params, headers: Mapping[str, str], watchdog: "Watchdog") -> requests.Response:
        def once() -> requests.Response:
            return self._request("GET", path, watchdog, params=list(params), headers=dict(headers))

        try:
            return once()
        except requests.ConnectionError as error:
            # A connection that was kept alive may have been closed under the request; a GET may be repeated.
            if watchdog.expired or self._closed or _reason(error) != "connection_reset":
                raise
            return once()

    def _request(self, method: str, path: str, watchdog: "Watchdog", **content: Any) -> requests.Response:
        timeout = (min(_CONNECT_SECONDS, watchdog.left), watchdog.left)
        url = f"{self._base_url}{path}"
        return self._session.request(method, url, stream=True, allow_redirects=False, timeout=timeout, **content)

    def _sentence(self, reason: str, error: BaseException) -> str:
        """One sentence for a person; says nothing of what was sent."""
        server = urlsplit(self._base_url).netloc
        text = _SENTENCES[reason].format(server=server, timeout=self._timeout)
        for cause in _chain(error) if reason in ("connect", "tls") else ():
            if isinstance(cause, ssl.SSLError):
                return f"{text}: {network.reason(cause)}"
            if isinstance(cause, OSError) and cause.strerror:
                return f"{text}: {cause.strerror.lower()}"
        return text


def _reason(error: BaseException) -> str:
    chain = _chain(error)
    for kind, reason in _REASONS:
        if any(isinstance(cause, kind) for cause in chain):
            return reason
    return "malformed"


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and all that it wraps."""
    chain: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and cause not in chain:
            chain.append(cause)
            waiting.extend([cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args])
    return chain


_active = threading.local()


class Watchdog:
    """The total deadline of the calls that a thread makes in the block, also of a server that drips; not of a lookup.

    Attributes:
        expired: whether the deadline, and not the server, ended the call.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._connection: HTTPConnection | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self.expired = False

    @property
    def left(self) -> float:
        """Seconds until the deadline, never below a millisecond."""
        return max(0.001, self._end - time.monotonic())

    def __enter__(self) -> "Watchdog":
        _active.watchdog = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _active.watchdog = None

    def follow(self, connection: HTTPConnection) -> None:
        """Note the connection that is in use now."""
        self._connection = connection
        if self.expired:
            self.cut()

    def cut(self) -> None:
        """End the call at once; safe from any thread."""
        sock = getattr(self._connection, "sock", None)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that one also drops the TLS state under the reading thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _expire(self) -> None:
        self.expired = True
        self.cut()


def _follow(connection: HTTPConnection) -> None:
    watchdog = getattr(_active, "watchdog", None)
    if watchdog is not None:
        watchdog.follow(connection)


class _Connection(HTTPConnection):
    def request(self, *args: Any, **named: Any) -> None:
        _follow(self)
        super().request(*args, **named)


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        _follow(self)
        super().connect()

    def request(self, *args: Any, **named: Any) -> None:
        _follow(self)
        super().request(*args, **named)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class WatchedAdapter(HTTPAdapter):
    """The transport of `requests`, on connections that a `Watchdog` can cut; never retries.

    Args:
        context: makes the TLS settings, at the first use of https only: loading authorities takes long.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """Use the watched pools."""
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """Use the watched pools behind a proxy too."""
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Add the TLS settings."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool["ssl_context"] = self._context()
        return host, pool

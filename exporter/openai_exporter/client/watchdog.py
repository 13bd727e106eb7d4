# SPDX-License-Identifier: Apache-2.0
"""A total deadline for blocking HTTP calls of `requests`, also against a server that drips; name resolution aside."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_active = threading.local()


class Watchdog:
    """The deadline of one call.

    Attributes:
        expired: whether the deadline, and not the server, ended the call.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self._connection: HTTPConnection | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self.expired = False

    @property
    def left(self) -> float:
        """Seconds until the deadline, never below a millisecond."""
        return max(0.001, self._end - self._monotonic())

    @contextlib.contextmanager
    def watching(self) -> Iterator["Watchdog"]:
        """Cut the calls that this thread makes inside once the deadline has passed."""
        _active.watchdog = self
        self._timer.start()
        try:
            yield self
        finally:
            self._timer.cancel()
            _active.watchdog = None

    def follow(self, connection: HTTPConnection) -> None:
        """Note the connection that is in use now."""
        self._connection = connection
        if self.expired:
            self.cut()

    def cut(self) -> None:
        """End the call at once; safe from any thread."""
        found = getattr(self._connection, "sock", None)
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that one also drops the TLS state under the reading thread.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

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

# SPDX-License-Identifier: Apache-2.0
"""uvicorn's httptools protocol with the bounds that it lacks: on the size of a request's head and on its time."""

import asyncio
import ssl
from collections.abc import Callable, Collection
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openai_exporter.web.deadline import ARRIVED
from openai_exporter.web.gate import MAX_HEAD_BYTES
from openai_exporter.web.handshake import Refusals, TellingTls, client_of

HEAD_TIMEOUT = 10
"""Seconds from a connection's start to the end of its first request's head."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose head is too long or does not come, and one without an allowed certificate.

    Args:
        allowed: says whether a client's certificate is welcome; None welcomes every client.
        arrived: monotonic seconds at which the connection came, which its first request counts from.
        refusals: told of a client that is not welcome.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None = None,
        allowed: Callable[[Any], bool] | None = None,
        arrived: float | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._refusals = refusals or Refusals()
        self._allowed = allowed
        self._arrived = arrived
        self._head = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request's head."""
        super().connection_made(transport)
        if self._allowed is not None and not self._allowed(transport.get_extra_info("peercert")):
            reason = "the client's certificate has none of the names in client_allowed_sans"
            self._refusals.tell(client_of(transport), reason)
            transport.abort()
            return
        self._timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()
        scope: Any = self.scope
        scope[ARRIVED] = self.loop.time() if self._arrived is None else self._arrived
        self._arrived = None

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        self._head = 0
        self._stop_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished head."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: no client needs a WebSocket here, and any client could fill the log."""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def factory(context: Callable[[], ssl.SSLContext | None], sans: Callable[[], Collection[str]]) -> Any:
    """What uvicorn calls for each connection.

    TLS is put around a connection here rather than around the listening socket, so that a changed
    certificate or client CA counts from the next connection on.
    """

    refusals = Refusals()

    def protocol(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        arrived: float | None = None,
    ) -> asyncio.BaseProtocol:
        loop = _loop or asyncio.get_running_loop()
        names = sans()
        allowed = (lambda certificate: _carries(certificate, names)) if names else None
        inner = BoundedProtocol(config, server_state, app_state, loop, allowed, arrived, refusals)
        tls = context()
        if tls is None:
            return inner
        return TellingTls(
            loop,
            inner,
            tls,
            None,  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=HEAD_TIMEOUT,
            refusals=refusals,
        )

    return protocol


def _carries(certificate: Any, names: Collection[str]) -> bool:
    found = {value for _, value in (certificate or {}).get("subjectAltName", ())}
    return not found.isdisjoint(names)

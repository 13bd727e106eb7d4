# SPDX-License-Identifier: Apache-2.0
"""Handshakes that fail say why: to the client, and in the log."""

import asyncio
import asyncio.sslproto
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0
"""The same client and reason is logged once in this time."""
_MAX_KNOWN = 1000

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_PLAIN = (
    b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n"
    b"This port speaks TLS; use https://\n"
)


class Refusals:
    """Writes a log line for a refused connection, and not again for its repetitions.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def tell(self, address: str, reason: str) -> None:
        """Log that `address` was refused for `reason`."""
        now, key = self._clock(), (address, reason)
        last = self._said.get(key)
        if last is not None and now - last < REPEAT_SECONDS:
            return
        if len(self._said) >= _MAX_KNOWN:  # anybody can connect: what is remembered has a bound
            self._said.clear()
        self._said[key] = now
        log.warning("connection refused: %s", reason, extra={"fields": {"client": address}})


class TellingTls(asyncio.sslproto.SSLProtocol):
    """asyncio's TLS, whose failed handshakes else end without an alert to the client and without a word here."""

    def __init__(self, *given: Any, refusals: Refusals, **named: Any) -> None:
        super().__init__(*given, **named)
        self._refusals = refusals

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if isinstance(handshake_exc, ssl.SSLError):
            self._tell(handshake_exc)
        super()._on_handshake_complete(handshake_exc)

    def _tell(self, error: ssl.SSLError) -> None:
        transport: Any = self._transport
        if transport is None:
            return
        client = client_of(transport)
        if error.reason == "HTTP_REQUEST":
            transport.write(_PLAIN)
            if client in _LOOPBACK:
                return  # such as the image's health check, every 15 seconds; the answer says why
        else:
            self._process_outgoing()  # type: ignore[attr-defined]  # the alert
        self._refusals.tell(client, _reason(error))


def client_of(transport: asyncio.BaseTransport) -> str:
    """The address of a transport's client, without its port."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    said = str(error.reason or "unknown").replace("_", " ").lower()
    return _WORDS.get(said, f"TLS handshake failed: {said}")


_WORDS = {
    "http request": "plain HTTP on a port that speaks TLS",
    "peer did not return a certificate": "the client gave no certificate, and client_auth_type wants one",
}

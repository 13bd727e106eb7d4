# SPDX-License-Identifier: Apache-2.0
"""Asks an HTTP proxy for a tunnel (CONNECT) on a fresh connection."""

import re

from openai_exporter.client.proxy import Proxy
from openai_exporter.client.trace import FailureKind, StepError
from openai_exporter.client.wire_connection import Connection
from openai_exporter.client.wire_reply import Reply

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MAX_HEAD = 16 * 1024
_UNREACHABLE = frozenset({502, 503, 504})
"""What a proxy answers to CONNECT when it is the other end that fails."""


class _TunnelReply(Reply):
    """The proxy's answer ends with its head; what follows belongs to the tunnel."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        super().__init__(cap=0)
        self._buffer = b""

    def feed(self, now: float, data: bytes) -> None:
        """Take in bytes until the head is complete."""
        self._buffer += data
        self.first_at = self.first_at or now
        if b"\r\n\r\n" in self._buffer:
            found = _STATUS.match(self._buffer)
            self.status = int(found[1]) if found else 0
            self.done = True
        elif len(self._buffer) > _MAX_HEAD:
            self.problem = (FailureKind.PROXY, "the proxy's answer to CONNECT has no end")


async def open_tunnel(connection: Connection, host: str, port: int, proxy: Proxy) -> None:
    """Make `connection` lead to `host:port`.

    Raises:
        StepError: the proxy cannot reach the other end (`connect`), refuses, or speaks something else (`proxy`).
    """
    authority = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    reply = _TunnelReply()
    try:
        await connection.exchange(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), reply)
    except StepError as error:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} did not answer CONNECT: {error}") from error
    if reply.status in _UNREACHABLE:
        what = f"the proxy {proxy} could not reach the API: status {reply.status}"
        raise StepError(FailureKind.CONNECT, what)
    if not 200 <= reply.status < 300:
        raise StepError(FailureKind.PROXY, f"the proxy {proxy} refused the tunnel: {_refusal(reply.status)}")


def _refusal(status: int) -> str:
    if status == 407:
        return "status 407, it wants a user and password in the proxy's URL"
    return f"status {status}" if status else "not an HTTP answer"

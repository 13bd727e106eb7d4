# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1 connection: writes a request, dates what arrives, tells when the answer ended."""

import asyncio
import select
from time import monotonic
from typing import cast

from openai_exporter.client.peer import Peer
from openai_exporter.client.trace import FailureKind, StepError
from openai_exporter.client.wire_reply import Reply
from openai_exporter.client.wire_stamp import StampedSocket


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    __slots__ = (
        "_closed", "_layers", "_loop", "_reply", "_sent_at", "_sock", "_waiter", "address",
        "connect_seconds", "idle_since", "lost", "opened_at", "peer", "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: StampedSocket) -> None:
        self._loop = loop
        self._sock = sock
        self._sent_at = 0.0
        self._reply: Reply | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._layers: list[asyncio.Transport] = []
        self.lost: Exception | None = None
        self.address = ""
        self.peer: Peer | None = None
        self.connect_seconds = 0.0
        self.idle_since = 0.0
        self.opened_at = monotonic()

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it: it is open, and the request before was sent whole."""
        if self._closed or self._reply is not None or self.transport.is_closing():
            return False
        return not any(layer.get_write_buffer_size() for layer in self._layers)

    @property
    def disturbed(self) -> bool:
        """Whether something has come while it was idle, most often its end, that the loop has yet to deliver."""
        poll = select.poll()
        poll.register(self._layers[0].get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.use(cast(asyncio.Transport, transport))

    def use(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on; TLS lays one over the other."""
        self.transport = transport
        self._layers.append(transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop, with what the kernel had stamped when it came."""
        reply = self._reply
        if reply is None:
            self.close()  # nothing was asked: the connection is not to be trusted
            return
        # Never before the request, nor before what came earlier: the system's clock may have been set in between.
        reply.feed(max(self._sock.arrived, reply.last_at or self._sent_at), data)
        if reply.ended:
            self._wake()

    def eof_received(self) -> bool:
        """Called by the loop; False lets the transport close."""
        self._closed = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._closed = True
        self.lost = exc
        self._wake()

    async def exchange(self, request: bytes, reply: Reply) -> None:
        """Send a request and wait for the end of its answer.

        Raises:
            StepError: reset, truncated, malformed or too large; `reply` holds what came.
        """
        self._waiter = self._loop.create_future()
        self._reply = reply
        self._sent_at = monotonic()
        try:
            self.transport.write(request)
            if not self._closed:
                await self._waiter
        finally:
            self._reply = self._waiter = None
        if not reply.ended and (self.lost is not None or not reply.end_of_stream()):
            raise self._broken(reply)
        if reply.problem is not None:
            raise StepError(*reply.problem)

    def close(self) -> None:
        """Close at once."""
        self._closed = True
        self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _broken(self, reply: Reply) -> StepError:
        if reply.first_at is None:
            how = "reset" if self.lost else "closed"
            return StepError(FailureKind.RESET, f"the connection was {how} before an answer")
        if self.lost is not None:
            return StepError(FailureKind.RESET, "the connection was reset in the middle of the answer")
        return StepError(FailureKind.TRUNCATED, "the connection was closed in the middle of the answer")

# SPDX-License-Identifier: Apache-2.0
"""The connection under the HTTP server: exact times of reading and writing, resets, dripping, fine timers."""

import asyncio
import select
import selectors
import socket
import struct
import sys
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINGER_ZERO = struct.pack("ii", 1, 0)
SCOPE_KEY = "simulator.wire"


class Wire:
    """One request's view of its connection: monotonic stamps, and the means to mistreat it."""

    __slots__ = ("first_write", "last_write", "received", "transport")

    def __init__(self, transport: "StampedTransport", received: float) -> None:
        self.transport = transport
        self.received = received
        self.first_write: float | None = None
        self.last_write: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is closed or closing."""
        closing: bool = self.transport.is_closing()
        return closing

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.transport.abort()

    def close(self) -> None:
        """End the connection in order, with whatever was written."""
        self.transport.close()


class StampedTransport:
    """An asyncio transport that stamps each write just before it goes to the socket, and can hold writes back.

    A response's head is sent together with the first write after it, as servers usually do.
    """

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._held: bytearray | None = None
        self._close_wanted = False
        self._head = b""
        self.wire: Wire | None = None

    def write(self, data: Any) -> None:
        """Write now, or hold back while dripping."""
        if self._held is not None:
            self._held += data
        elif not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        else:
            data, self._head = self._head + data, b""
            self._write_now(data)

    def _write_now(self, data: bytes) -> None:
        if not data:
            return
        wire = self.wire
        if wire is not None:
            wire.last_write = monotonic()
            if wire.first_write is None:
                wire.first_write = wire.last_write
        self._inner.write(data)

    def hold(self) -> None:
        """Hold all further writes back until `drip`."""
        if self._head:
            self.write(b"")
        if self._held is None:
            self._held = bytearray()

    async def drip(self, size: int, interval: float) -> None:
        """Write what is held back, `size` bytes every `interval` seconds."""
        held = self._held
        while held and not self._inner.is_closing():
            self._write_now(bytes(held[:size]))
            del held[:size]
            if held:
                await asyncio.sleep(interval)

    def release(self) -> None:
        """End holding back."""
        held, self._held = self._held, None
        if held and not self._inner.is_closing():
            self._write_now(bytes(held))
        if self._close_wanted:
            self._inner.close()

    def close(self) -> None:
        """Close once nothing is held back."""
        if self._held is not None:
            self._close_wanted = True
            return
        if self._head:
            self.write(b"")
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        """All else as the inner transport."""
        return getattr(self._inner, name)


class WireProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a `Wire` in each request's scope."""

    _arrived = 0.0
    _stamped: StampedTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the stamping transport between uvicorn and the socket."""
        self._stamped = StampedTransport(transport)
        super().connection_made(self._stamped)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Stamp before parsing."""
        self._arrived = monotonic()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A new request starts."""
        super().on_message_begin()
        wire = Wire(self._stamped, self._arrived)
        self._stamped.wire = wire
        scope: Any = self.scope
        scope[SCOPE_KEY] = wire

    def on_message_complete(self) -> None:
        """The request's last byte is here."""
        if self._stamped.wire is not None:
            self._stamped.wire.received = self._arrived
        super().on_message_complete()


def fine_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to well under a millisecond where the system allows it."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(FineSelector())
    return asyncio.new_event_loop()


if sys.platform == "linux":

    class FineSelector(selectors.EpollSelector):
        """An epoll selector whose timeouts are exact; epoll's own are rounded up to whole milliseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait with `select` on the epoll descriptor itself, then collect what is ready."""
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

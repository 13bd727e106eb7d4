# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1 connection: writes a request, dates what arrives, finds the end of the answer."""

import asyncio
import select
from time import monotonic
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from openai_exporter.client.stamp import StampedSocket
from openai_exporter.client.trace import FailureKind, Peer, StepError

# Reads one HTTP/1 answer from a byte stream: stamps first, then finds its end; judges nothing.
# The parser only splits the message and finds its end; JSON and events are read after the exchange.

MAX_HEAD = 64 * 1024
MAX_HEADERS = 256


class Reply:
    """One answer while it arrives.

    Attributes:
        first_at: monotonic seconds of the first byte; that of an interim answer (1xx) does not count.
        last_at: monotonic seconds of the last byte so far, whatever it belongs to.
        arrivals: (monotonic seconds, body bytes so far) of each arrival that carried body.
        done: the message is complete.
        problem: why it cannot be read any further, None while it can.
    """

    __slots__ = (
        "_head", "_informational", "_now", "_parser", "_stopped", "arrivals", "cap", "done", "first_at", "headers",
        "headers_done", "keep_alive", "last_at", "parts", "problem", "size", "status", "surplus", "version",
    )  # fmt: skip

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.arrivals: list[tuple[float, int]] = []
        self.parts: list[bytes] = []
        self.size = 0
        self.status = 0
        self.version = ""
        self.headers: list[tuple[str, str]] = []
        self.headers_done = False
        self.keep_alive = False
        self.done = False
        self.surplus = False
        self.problem: tuple[FailureKind, str] | None = None
        self._informational = False
        self._stopped = False
        self._head = 0
        self._now = 0.0
        self._parser: HttpResponseParser | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be read."""
        return self.done or self.problem is not None

    def stop(self) -> None:
        """Take in nothing more; lets go of the parser, whose callbacks make a cycle of the two."""
        self._stopped = True
        self._parser = None

    def feed(self, now: float, data: bytes) -> None:
        """Take in what arrived at `now`."""
        if self._stopped:
            return
        if self.first_at is None:
            self.first_at = now
        self.last_at = self._now = now
        size = self.size
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.ended:
                self.problem = (FailureKind.MALFORMED, f"not an HTTP/1 answer: {_words(error)}")
                self.first_at = self.first_at or now
        if not self.headers_done:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.problem = (FailureKind.TOO_LARGE, f"the answer's head is larger than {MAX_HEAD} bytes")
        elif self.size != size:
            self.arrivals.append((now, self.size))

    def end_of_stream(self) -> bool:
        """The peer closed the connection in order; True when that is what ends this message."""
        if not self.ended and self.headers_done and self._ends_with_stream():
            self.done = True
        return self.done

    def _ends_with_stream(self) -> bool:
        framed = {"content-length", "transfer-encoding"}
        return not any(name in framed for name, _ in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if self.done or self.headers_done:
            return  # a trailer, or a second message
        if len(self.headers) >= MAX_HEADERS:
            self.problem = (FailureKind.TOO_LARGE, f"the answer has more than {MAX_HEADERS} headers")
            return
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self.done or self._parser is None:
            return
        self.status = self._parser.get_status_code()
        self._informational = 100 <= self.status < 200
        if self._informational:
            self.headers.clear()
            self.status = 0
            return
        self.version = self._parser.get_http_version()
        self.keep_alive = self._parser.should_keep_alive()
        self.headers_done = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self.ended:
            return
        self.size += len(body)
        if self.size > self.cap:
            self.problem = (FailureKind.TOO_LARGE, f"the answer is larger than {self.cap} bytes")
            body = body[: len(body) - (self.size - self.cap)]
        self.parts.append(body)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.done:
            self.surplus = True
        elif self.first_at is None:  # in the same arrival as the end of an interim answer
            self.first_at = self._now

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._informational:
            self._informational = False
            self.first_at = None
        elif self.problem is None:
            self.done = True


def _words(error: Exception) -> str:
    text = str(error)
    return text if text.isascii() and text.isprintable() and text else type(error).__name__


# One HTTP/1 connection: writes a request, dates what arrives, tells when the answer ended.


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

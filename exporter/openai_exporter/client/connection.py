# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1 connection: writes a request, dates what arrives by the kernel's stamps, finds the end of the answer."""

import asyncio
import atexit
import contextlib
import select
import socket
import struct
import sys
from collections.abc import Sequence
from functools import cache
from operator import methodcaller
from time import monotonic, time
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from openai_exporter.client.exchange import FailureKind, StepError

if TYPE_CHECKING:
    from openai_exporter.client.network import Peer

SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
"""Linux' asm-generic/socket.h; Python's socket module does not name it."""

LATEST = 10.0
"""Seconds by which reading may lag; a stamp further off is a step of the system's clock."""

MAX_HEAD = 64 * 1024
MAX_HEADERS = 256
MAX_FRAMING = 16
"""Bytes of framing per byte of body, above twice `MAX_HEAD`; a chunk of one byte needs 5, with a padded size 12."""

_TIMESPEC = struct.Struct("@ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size)

Ancillary = Sequence[tuple[int, int, bytes]]


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: "StampedSocket") -> None:
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
        """Whether another request may be sent on it: it is open, and the request before was sent to its end."""
        if self._closed or self._reply is not None or self.transport.is_closing():
            return False
        return not any(map(methodcaller("get_write_buffer_size"), self._layers))

    @property
    def disturbed(self) -> bool:
        """Whether something has come while it was idle, most often its end, that the loop has yet to deliver."""
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write to this transport from now on; called by the loop, and again when TLS lays one over it."""
        self.transport = cast(asyncio.Transport, transport)
        self._layers.append(self.transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop, with what the kernel had stamped when it came."""
        reply = self._reply
        if reply is None:
            self.close()  # nothing was asked: the connection is not to be trusted
            return
        # Never before the request, nor before what came earlier: the system's clock may have been set in between.
        reply.feed(max(self._sock.arrived, reply.last_at or self._sent_at), data)
        if reply.done or reply.problem is not None:
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

    async def exchange(self, request: bytes, reply: "Reply") -> None:
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
            self._reply = self._waiter = reply.parser = None
        if reply.problem is not None:
            raise StepError(*reply.problem)
        if not reply.done:
            self._ended_early(reply)

    def close(self) -> None:
        """Close at once."""
        self._closed = True
        self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ended_early(self, reply: "Reply") -> None:
        """The connection ended before the answer did, unless its end is that of the answer too."""
        how = "reset" if self.lost is not None else "closed"
        if reply.first_at is None:
            raise StepError(FailureKind.CONNECTION_RESET, f"the connection was {how} before an answer")
        framed = any(name in ("content-length", "transfer-encoding") for name, _ in reply.headers)
        if self.lost is None and reply.headers_done and not framed:
            reply.done = True
            return
        kind = FailureKind.CONNECTION_RESET if self.lost is not None else FailureKind.TRUNCATED
        raise StepError(kind, f"the connection was {how} in the middle of the answer")


class Reply:
    """One answer while it arrives; splits it into head and body, and judges nothing.

    Attributes:
        deadline: monotonic seconds; what arrives later is not taken in.
        first_at: monotonic seconds of the first byte; that of an interim answer (1xx) does not count.
        last_at: monotonic seconds of the last byte so far, whatever it belongs to.
        arrivals: (monotonic seconds, body bytes so far) of each arrival that carried body.
        done: the message is complete.
        keep_alive: whether another request may follow on the connection once the message is complete.
        problem: why it cannot be read any further, None while it can.
        parser: makes a cycle with this object until the exchange ends, which lets go of it.
    """

    def __init__(self, cap: int, deadline: float = float("inf")) -> None:
        self.cap = cap
        self.deadline = deadline
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
        self.problem: tuple[FailureKind, str] | None = None
        self.parser: HttpResponseParser | None = None
        self._informational = False
        self._received = 0

    def feed(self, now: float, data: bytes) -> None:
        """Take in what arrived at `now`."""
        if now > self.deadline:
            return
        self.first_at = self.first_at or now
        self.last_at = now
        size = self.size
        if self.parser is None:
            self.parser = HttpResponseParser(self)
        try:
            self.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.keep_alive = False
            if not self.done and self.problem is None:
                self.problem = (FailureKind.MALFORMED, f"not an HTTP/1 answer: {_parser_message(error)}")
                self.first_at = self.first_at or now
        if self.size != size:
            self.arrivals.append((now, self.size))
        self._received += len(data)
        if not self.headers_done and self._received > MAX_HEAD:
            self.problem = (FailureKind.RESPONSE_TOO_LARGE, f"the answer's head is larger than {MAX_HEAD} bytes")
        elif not self.done and self._received - self.size > 2 * MAX_HEAD + MAX_FRAMING * self.size:
            message = "not an HTTP/1 answer: endless chunk extensions or trailers"
            self.problem = self.problem or (FailureKind.MALFORMED, message)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if self.done or self.headers_done:
            return  # a trailer, or a second message
        if len(self.headers) >= MAX_HEADERS:
            self.problem = (FailureKind.RESPONSE_TOO_LARGE, f"the answer has more than {MAX_HEADERS} headers")
            return
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self.done or self.parser is None:
            return
        self.status = self.parser.get_status_code()
        self._informational = 100 <= self.status < 200
        if self._informational:
            self.headers.clear()
            self.status = 0
            return
        self.version = self.parser.get_http_version()
        # These have no body; a server that sends one all the same would have it taken for the next answer.
        self.keep_alive = self.parser.should_keep_alive() and self.status not in (204, 304)
        self.headers_done = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self.done or self.problem is not None:
            return
        self.size += len(body)
        if self.size > self.cap:
            self.problem = (FailureKind.RESPONSE_TOO_LARGE, f"the answer is larger than {self.cap} bytes")
            body = body[: len(body) - (self.size - self.cap)]
        self.parts.append(body)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.done:
            self.keep_alive = False  # bytes behind the answer would be taken for the next one
        elif self.first_at is None:  # in the same arrival as the end of an interim answer
            self.first_at = self.last_at

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._informational:
            self._informational = False
            self.first_at = None
        elif self.problem is None:
            self.done = True


def _parser_message(error: Exception) -> str:
    text = str(error)
    return text if text.isascii() and text.isprintable() and text else type(error).__name__


class StampedSocket(socket.socket):
    """A TCP socket that dates what is read from it, however late the event loop reads it.

    asyncio reads it by `recv`, and by `recv_into` under TLS.

    Attributes:
        arrived: monotonic seconds at which the bytes read last had come.
    """

    arrived: float

    def stamp(self) -> None:
        """Ask for stamps from now on, where the system has them."""
        self.arrived = monotonic()
        if SO_TIMESTAMPNS is None:
            return
        with contextlib.suppress(OSError):  # a sandbox that knows no stamps
            self.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        data, ancillary, _, _ = self.recvmsg(bufsize, _SPACE, flags)
        self.arrived = monotonic() - lag(ancillary, time())
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        target = memoryview(buffer)[:nbytes] if nbytes else buffer
        count, ancillary, _, _ = self.recvmsg_into([target], _SPACE, flags)
        self.arrived = monotonic() - lag(ancillary, time())
        return count


def lag(ancillary: Ancillary, now: float) -> float:
    """Seconds between the kernel's stamp and `now` (Unix seconds); 0 without a stamp that can be believed."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            late = now - (seconds + nanoseconds / 1e9)
            return late if 0 <= late <= LATEST else 0.0
    return 0.0


@cache
def keep_stamping() -> socket.socket | None:
    """Make the kernel stamp packets as long as the process lives; blocks for some 30 ms, so call it in a thread.

    It patches its own code when the first socket of the system asks for stamps, and again when the last one is gone:
    this socket is there so that no probe has to wait for that.
    """
    if SO_TIMESTAMPNS is None:
        return None
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    atexit.register(sock.close)
    return sock

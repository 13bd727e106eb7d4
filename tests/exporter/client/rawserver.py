# SPDX-License-Identifier: Apache-2.0
"""A TCP server on loopback that answers each request byte by byte as a test says."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Turn:
    """One request and the means to answer it.

    Attributes:
        connection: number of the connection, from 1.
        number: number of the request on it, from 1.
    """

    request: bytes
    writer: asyncio.StreamWriter
    connection: int
    number: int

    async def send(self, data: bytes | str) -> None:
        """Write and let it go out."""
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def drip(self, data: bytes, size: int, interval: float) -> None:
        """Write a few bytes at a time."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(interval)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """End the connection in order."""
        self.writer.close()


Answer = Callable[[Turn], Awaitable[None]]


@dataclass
class RawServer:
    """A running server.

    Attributes:
        requests: every request, head and body.
    """

    port: int
    scheme: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Its origin."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


def answer(body: bytes | str, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A plain answer with a content length."""
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + data


def chunked(*parts: bytes, kind: str = "text/event-stream", more: str = "") -> bytes:
    """A chunked answer of these parts."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{more}\r\n".encode()
    return head + b"".join(chunk(part) for part in parts) + b"0\r\n\r\n"


def chunk(part: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(part), part)


@contextlib.asynccontextmanager
async def raw_server(reply: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve on a free port; connections that a test left open end with it."""
    tasks: set[asyncio.Task[None]] = set()
    state = RawServer(0, "http" if context is None else "https")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        try:
            await _converse(reader, writer, state, reply)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        for _ in range(5):  # a connection that is just being accepted gets its handler
            await asyncio.sleep(0)
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def without_tls(said: str) -> AsyncIterator[str]:
    """The https:// origin of a server that answers whatever comes first, such as a handshake, with plain HTTP."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer(said, "400 Bad Request"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: RawServer, reply: Answer
) -> None:
    connection, number = state.connections, 0
    while True:
        request = await read_request(reader)
        if request is None:
            return
        number += 1
        state.requests.append(request)
        await reply(Turn(request, writer, connection, number))


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    """A request with its body; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    found = _LENGTH.search(head)
    return head + await reader.readexactly(int(found[1])) if found else head

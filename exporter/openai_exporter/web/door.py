# SPDX-License-Identifier: Apache-2.0
"""Lets connections in one per pass of the event loop, health checks first; knows nothing of HTTP beyond a prefix.

asyncio's own server takes in as many connections in one pass as wait: five hundred scrapes that begin together
would keep everything else waiting until the last of them was read.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from openai_exporter.client.turns import Turns

ACCEPTED = 32
"""Connections taken from the kernel's queue per pass; each costs some 10 microseconds until it is its turn."""

RETRY_SECONDS = 1.0
"""Pause when the process or system has no file descriptors left."""

_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """One listening socket; has what `uvicorn.Server` needs of an `asyncio.Server`.

    Args:
        protocol: makes the protocol of a connection, given the monotonic time of its arrival.
        urgent: beginnings of a request that does not wait behind others.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[float], asyncio.BaseProtocol],
        urgent: tuple[bytes, ...],
        turns: Turns,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._urgent = urgent
        self._peek = max(map(len, urgent), default=0)
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._waiting: set[socket.socket] = set()
        self._closed = False
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accept no more, and drop what still waits."""
        self._closed = True
        self._loop.remove_reader(self._listening)
        for waiting in self._waiting:
            waiting.close()
        self._waiting.clear()

    async def wait_closed(self) -> None:
        """Return at once: connections end by themselves."""

    def _open(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                self._loop.remove_reader(self._listening)
                self._loop.call_later(RETRY_SECONDS, self._open)
                return
            self._receive(accepted)

    def _receive(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        arrived = self._loop.time()
        if self._is_urgent(accepted):
            self._let_in(accepted, arrived)
        else:
            self._waiting.add(accepted)
            self._turns.call(lambda: self._let_in(accepted, arrived))

    def _is_urgent(self, accepted: socket.socket) -> bool:
        if not self._peek:
            return False
        try:
            return accepted.recv(self._peek, socket.MSG_PEEK).startswith(self._urgent)
        except OSError:  # nothing has come yet, or the client is gone
            return False

    def _let_in(self, accepted: socket.socket, arrived: float) -> None:
        self._waiting.discard(accepted)
        if self._closed:
            accepted.close()
            return
        entering = self._loop.create_task(self._enter(accepted, arrived))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)

    async def _enter(self, accepted: socket.socket, arrived: float) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(arrived), accepted)
        except OSError:  # the client is gone
            accepted.close()

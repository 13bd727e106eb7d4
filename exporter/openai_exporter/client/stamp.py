# SPDX-License-Identifier: Apache-2.0
"""Sockets that know when the kernel received what is read from them, however late the event loop reads it."""

import atexit
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
"""Linux' asm-generic/socket.h; Python's socket module does not name it."""

LATEST = 10.0
"""Seconds by which reading may lag; a stamp further off is a step of the system's clock."""

_TIMESPEC = struct.Struct("@ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size)

Ancillary = Sequence[tuple[int, int, bytes]]


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


class StampedSocket(socket.socket):
    """A TCP socket; asyncio reads it by `recv`, and by `recv_into` under TLS.

    Attributes:
        arrived: monotonic seconds at which the bytes read last had come.
    """

    arrived: float

    def stamp(self) -> None:
        """Ask for stamps from now on, where the system has them."""
        self.arrived = time.monotonic()
        if SO_TIMESTAMPNS is None:
            return
        with contextlib.suppress(OSError):  # a sandbox that knows no stamps
            self.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        data, ancillary, _, _ = self.recvmsg(bufsize, _SPACE, flags)
        self._note(ancillary)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into."""
        target = memoryview(buffer)[:nbytes] if nbytes else buffer
        count, ancillary, _, _ = self.recvmsg_into([target], _SPACE, flags)
        self._note(ancillary)
        return count

    def _note(self, ancillary: Ancillary) -> None:
        now = time.monotonic()
        self.arrived = now - lag(ancillary, time.time())

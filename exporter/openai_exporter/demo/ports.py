# SPDX-License-Identifier: Apache-2.0
"""Free ports on loopback, held until the program that they are for starts."""

import socket

from openai_exporter.errors import StartError

LOOPBACK = "127.0.0.1"
TRIES = 100


class Ports:
    """Chooses ports, and listens on each itself so that no other program takes it in the meantime."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}
        self._given: set[int] = set()

    def hold(self, wanted: int) -> int:
        """`wanted` when it is free on loopback and was not given before, else the next such port.

        Raises:
            StartError: none of the next hundred ports is free.
        """
        for port in range(wanted, min(wanted + TRIES, 65536)):
            held = _listener(port) if port not in self._given else None
            if held is not None:
                self._held[port] = held
                self._given.add(port)
                return port
        raise StartError(
            f"no free port from {wanted} to {wanted + TRIES - 1} on {LOOPBACK}; stop something there"
        )

    def release(self, port: int | None) -> None:
        """Let go of a port, for its program to listen on; one that is not held is none of ours."""
        held = self._held.pop(port, None) if port is not None else None
        if held is not None:
            held.close()

    def close(self) -> None:
        """Let go of every port."""
        for port in tuple(self._held):
            self.release(port)


def _listener(port: int) -> socket.socket | None:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
        # A port that is only bound can still be taken by whoever sets SO_REUSEADDR, too.
        found.listen(1)
    except OSError:
        found.close()
        return None
    return found

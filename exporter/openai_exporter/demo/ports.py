# SPDX-License-Identifier: Apache-2.0
"""The next free port on loopback."""

import socket

from openai_exporter.errors import StartError

LOOPBACK = "127.0.0.1"
TRIES = 100


def free_port(wanted: int, taken: set[int]) -> int:
    """`wanted` when it is free on loopback, else the next one that is; adds it to `taken`.

    Raises:
        StartError: none of the next hundred ports is free.
    """
    for port in range(wanted, min(wanted + TRIES, 65536)):
        if port not in taken and _is_free(port):
            taken.add(port)
            return port
    raise StartError(
        f"no free port from {wanted} to {wanted + TRIES - 1} on {LOOPBACK}; stop something there"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

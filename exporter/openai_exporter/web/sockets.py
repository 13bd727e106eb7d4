# SPDX-License-Identifier: Apache-2.0
"""Listen addresses and their sockets, opened before anything slow so that a taken port is told at once."""

import errno
import re
import socket
from collections.abc import Iterable
from contextlib import ExitStack

from openai_exporter.errors import StartError

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})")
BACKLOG = 2048


def parse_address(text: str) -> tuple[str, int]:
    """Host (empty for every interface) and port of `:9985`, `127.0.0.1:9985` or `[::1]:9985`.

    Raises:
        ValueError: not such an address.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise ValueError(f"{text!r} is not an address; give one such as :9985, 127.0.0.1:9985 or [::1]:9985")
    return found["v6"] or found["host"] or "", int(found["port"])


def listen(addresses: Iterable[str]) -> list[socket.socket]:
    """Listening sockets for all addresses; all or none.

    Raises:
        StartError: an address cannot be listened on; says why and what to do.
    """
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for address in addresses:
            for each in _open(address):
                opened.callback(each.close)
                sockets.append(each)
        opened.pop_all()
        return sockets


def shown(listening: socket.socket) -> str:
    """`host:port` of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _open(address: str) -> list[socket.socket]:
    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise StartError(f"--web.listen-address: {error}") from None
    try:
        if host:
            return [_bound(family, place) for family, place in _resolved(host, port)]
        return _every_interface(port)
    except OSError as error:
        raise StartError(_explained(address, port, error)) from None


def _resolved(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((family, (str(place[0]), port)) for family, _, _, _, place in found)
    return list(unique)


def _every_interface(port: int) -> list[socket.socket]:
    """One socket for IPv4 and IPv6 together, or for IPv4 alone on a machine without IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return [
                _prompt(
                    socket.create_server(
                        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
                    )
                )
            ]
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return [_bound(socket.AF_INET, ("", port))]


def _bound(family: socket.AddressFamily, place: tuple[str, int]) -> socket.socket:
    return _prompt(socket.create_server(place, family=family, backlog=BACKLOG))


def _prompt(listening: socket.socket) -> socket.socket:
    # Accepted connections inherit it. asyncio sets it only on sockets made with an explicit protocol number, which
    # create_server does not give: without it each answer on a kept connection waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _explained(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        remedy = "the port is in use; stop what listens there or give another --web.listen-address"
    elif error.errno == errno.EACCES:
        remedy = f"port {port} needs privileges; give one of 1024 or above"
    elif isinstance(error, socket.gaierror):
        remedy = "the host name is not known here"
    else:
        remedy = f"{error.strerror or error}; give an address of this machine"
    return f"cannot listen on {address}: {remedy}"

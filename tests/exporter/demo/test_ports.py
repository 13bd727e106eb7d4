# SPDX-License-Identifier: Apache-2.0
"""Ports of the demo."""

import socket
from collections.abc import Iterator

import pytest

from openai_exporter.demo.ports import LOOPBACK, Ports
from openai_exporter.errors import StartError


@pytest.fixture
def ports() -> Iterator[Ports]:
    found = Ports()
    yield found
    found.close()


def unused() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether a server as Prometheus is one can listen there."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
            server.listen()
        except OSError:
            return False
    return True


def test_a_taken_port_gives_the_next_free_one(ports: Ports) -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        wanted = listener.getsockname()[1]

        assert ports.hold(wanted) > wanted


def test_a_port_is_given_once(ports: Ports) -> None:
    wanted = unused()

    first = ports.hold(wanted)
    ports.release(first)

    assert ports.hold(wanted) != first


def test_nobody_else_takes_a_port_until_it_is_released(ports: Ports) -> None:
    port = ports.hold(unused())

    before = listening(port)
    ports.release(port)

    assert (before, listening(port)) == (False, True)


def test_no_free_port_says_which_range_was_tried(ports: Ports) -> None:
    with pytest.raises(StartError, match=r"no free port from 65536 to"):
        ports.hold(65536)

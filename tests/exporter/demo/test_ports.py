# SPDX-License-Identifier: Apache-2.0
"""Ports of the demo."""

import socket

import pytest

from openai_exporter.demo.ports import LOOPBACK, free_port
from openai_exporter.errors import StartError


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        wanted = listener.getsockname()[1]

        assert free_port(wanted, set()) > wanted


def test_a_port_is_given_once() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        wanted = listener.getsockname()[1]
    taken: set[int] = set()

    first = free_port(wanted, taken)
    second = free_port(wanted, taken)

    assert first != second
    assert taken == {first, second}


def test_no_free_port_says_which_range_was_tried() -> None:
    with pytest.raises(StartError, match=r"no free port from 65530 to"):
        free_port(65530, set(range(65530, 65630)))

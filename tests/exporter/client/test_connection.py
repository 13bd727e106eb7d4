# SPDX-License-Identifier: Apache-2.0
"""What is read is dated by the kernel, not by when the event loop came to it."""

import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from openai_exporter.client.connection import LATEST, SO_TIMESTAMPNS, Ancillary, StampedSocket, keep_stamping, lag

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps")
CLOCKS = 0.001
"""Seconds by which reading two clocks one after the other may differ."""


def stamp(seconds: float) -> Ancillary:
    whole = int(seconds)
    data = struct.pack("@ll", whole, round((seconds - whole) * 1e9))
    return [(socket.SOL_SOCKET, SO_TIMESTAMPNS or 0, data)]


@linux
@pytest.mark.parametrize(
    ("ancillary", "expected"),
    [
        (stamp(999.75), 0.25),
        (stamp(1000.0), 0.0),
        (stamp(1000.5), 0.0),
        (stamp(1000.0 - LATEST - 1), 0.0),
        ([], 0.0),
        ([(socket.SOL_SOCKET, SO_TIMESTAMPNS or 0, b"short")], 0.0),
        ([(socket.IPPROTO_TCP, SO_TIMESTAMPNS or 0, stamp(999.0)[0][2])], 0.0),
    ],
    ids=["late", "at once", "from the future", "the clock was set", "without", "too short", "of another level"],
)
def test_the_lag_is_what_the_stamp_says_if_it_can_be_believed(ancillary: Ancillary, expected: float) -> None:
    assert lag(ancillary, 1000.0) == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def pair() -> Iterator[tuple[StampedSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening, StampedSocket() as reading:
        listening.settimeout(30)
        reading.stamp()
        reading.connect(listening.getsockname())
        writing, _ = listening.accept()
        with writing:
            yield reading, writing


@linux
@pytest.mark.parametrize("into", [False, True], ids=["recv", "recv_into"])
def test_bytes_that_are_read_late_are_dated_by_their_arrival(
    pair: tuple[StampedSocket, socket.socket], into: bool
) -> None:
    reading, writing = pair
    before = time.monotonic()
    writing.sendall(b"token")
    after = time.monotonic()
    while time.monotonic() < after + 10 * CLOCKS:
        pass  # the loop is busy with something else
    buffer = bytearray(100)
    data = bytes(buffer[: reading.recv_into(buffer)]) if into else reading.recv(100)
    assert data == b"token"
    assert before - CLOCKS <= reading.arrived <= after + CLOCKS


@linux
def test_a_buffer_is_filled_no_further_than_asked(pair: tuple[StampedSocket, socket.socket]) -> None:
    reading, writing = pair
    writing.sendall(b"tokens")
    buffer = bytearray(100)
    assert reading.recv_into(buffer, 3) == 3
    assert bytes(buffer[:6]) == b"tok\0\0\0"


def test_without_stamps_the_moment_of_reading_counts(
    pair: tuple[StampedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pair
    monkeypatch.setattr("openai_exporter.client.connection.SO_TIMESTAMPNS", None)
    writing.sendall(b"token")
    before = time.monotonic()
    assert reading.recv(100) == b"token"
    assert before <= reading.arrived <= time.monotonic()


def test_the_end_of_a_stream_reads_as_on_any_socket(pair: tuple[StampedSocket, socket.socket]) -> None:
    reading, writing = pair
    writing.close()
    assert reading.recv(100) == b""


def test_the_kernel_is_asked_once_to_go_on_stamping() -> None:
    assert keep_stamping() is keep_stamping()

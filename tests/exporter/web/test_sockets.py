# SPDX-License-Identifier: Apache-2.0
"""Listen addresses."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.errors import StartError
from openai_exporter.web.sockets import listen, parse_address, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9985", ("", 9985)),
        ("127.0.0.1:9985", ("127.0.0.1", 9985)),
        ("[::1]:9985", ("::1", 9985)),
        ("localhost:0", ("localhost", 0)),
        (" 0.0.0.0:80 ", ("0.0.0.0", 80)),
    ],
)
def test_an_address_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert expected == parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "9985", "127.0.0.1", ":", ":70000", "::1:9985", "[::1]", "a:b", "http://x:1"]
)
def test_what_is_no_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(StartError, match=r"--web\.listen-address: .*:9985, 127\.0\.0\.1:9985 or"):
        listen([text])


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        _, port = parse_address(text)
    except ValueError:
        return
    assert 0 <= port <= 65535


def test_every_interface_takes_both_protocols() -> None:
    (made,) = listen([":0"])
    with made:
        port = made.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
        if socket.has_dualstack_ipv6():
            socket.create_connection(("::1", port), timeout=30).close()
            assert shown(made) == f"[::]:{port}"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address_is_shown_in_brackets() -> None:
    (made,) = listen(["[::1]:0"])
    with made:
        assert shown(made) == f"[::1]:{made.getsockname()[1]}"


def test_a_taken_port_closes_the_others() -> None:
    (taken,) = listen(["127.0.0.1:0"])
    (free,) = listen(["127.0.0.1:0"])
    address = shown(free)
    free.close()
    with taken:
        with pytest.raises(StartError, match="the port is in use; stop what listens there or give another"):
            listen([address, shown(taken)])
        (again,) = listen([address])
        again.close()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:0", "address of this machine"),
        ("no-such-host.invalid:0", "the host name is not known here"),
    ],
)
def test_an_address_of_another_machine_is_told(address: str, reason: str) -> None:
    with pytest.raises(StartError, match=f"cannot listen on {address}: .*{reason}"):
        listen([address])

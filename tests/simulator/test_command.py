# SPDX-License-Identifier: Apache-2.0
"""The command: its first line, its errors and its end."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl, SimulatorError, running_simulator

COMMAND = [sys.executable, "-m", "openai_simulator"]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator and its first line; killed if the test leaves it running."""
    command = [*COMMAND, "--listen-address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield child, child.stdout.readline()
        finally:
            child.kill()


def test_the_first_line_tells_where_it_listens() -> None:
    with started("--seed", "42", "--clock", "2026-11-21", "--speed", "0") as (_, line):
        url = line.split()[2]
        assert line == f"listening on {url} (simulated OpenAI API, seed 42)\n"
        assert SimulatorControl(url).clock() == 1_795_219_200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_even_with_hanging_connections(number: signal.Signals) -> None:
    with started() as (child, line):
        url = line.split()[2]
        SimulatorControl(url).fault("hang", "/v1/models")
        host, _, port = url.removeprefix("http://").partition(":")
        with (
            socket.create_connection((host, int(port)), timeout=5) as idle,
            httpx2.Client(trust_env=False) as api,
        ):
            api.get(url)
            idle.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-x\r\n\r\n")
            before = time.monotonic()
            child.send_signal(number)
            output, errors = child.communicate(timeout=5)
        assert time.monotonic() - before < 1.5
        assert (child.returncode, output, errors) == (0, "", "")


def test_a_port_in_use_is_told_in_one_line_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*COMMAND, "--listen-address", address], capture_output=True, text=True, timeout=20, check=False
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"openai-exporter simulate: cannot listen on {address}: the port is in use; "
        "end the other program or choose another with --listen-address HOST:PORT\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen-address", "nowhere"], "'nowhere' is not HOST:PORT, such as 127.0.0.1:8085"),
        (["--listen-address", "127.0.0.1:70000"], "'127.0.0.1:70000' is not HOST:PORT"),
        (["--clock", "noon"], "'noon' is not a time, such as 2026-11-21T09:30:00Z"),
        (["--amounts", "words"], "'words' is not one of 'number', 'string'"),
        (["--speed", "-1"], "-1.0 is not in the range 0<=x<=1000000.0"),
    ],
)
def test_a_wrong_option_is_refused_with_an_example(options: list[str], message: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_only_the_accepted_keys_get_in() -> None:
    with running_simulator("--accept-key", "sk-good", latency_scale=0) as control:
        replies = [
            httpx2.get(f"{control.api_url}/models", headers={"authorization": f"Bearer {key}"}, trust_env=False)
            for key in ("sk-good", "sk-other")
        ]
    assert [reply.status_code for reply in replies] == [200, 401]


def test_the_helper_for_tests_says_when_it_does_not_start() -> None:
    with pytest.raises(SimulatorError, match="did not start"), running_simulator("--speed", "-1"):
        raise AssertionError("it started")


def test_it_listens_on_ipv6_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this host")
    with running_simulator("--listen-address", "[::1]:0") as control:
        assert control.base_url.startswith("http://[::1]:")
        assert control.state()["simulated"]

# SPDX-License-Identifier: Apache-2.0
"""What is on every response and what is not; the command's first line, its errors and its end."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl, SimulatorError, running_simulator
from tests.deadlines import next_line

# What is on every response, and what is not.

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Say: pong"}]}
RATE_LIMITS = {
    f"x-ratelimit-{what}-{kind}"
    for what in ("limit", "remaining", "reset")
    for kind in ("requests", "tokens", "project-tokens")
}


def test_an_answer_has_the_apis_headers_and_all_nine_rate_limits(api: httpx2.Client) -> None:
    headers = api.post(CHAT, json=ASKED).headers
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert int(headers["openai-processing-ms"]) >= 1
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-organization"]
    assert headers["openai-project"].startswith("proj_")
    assert set(headers) >= RATE_LIMITS
    for name in RATE_LIMITS:
        pattern = r"0s|\d+ms|(\d+h)?(\d+m)?\d+(\.\d+)?s" if "reset" in name else r"\d+"
        assert re.fullmatch(pattern, headers[name]), name


def test_models_have_no_rate_limits(api: httpx2.Client) -> None:
    assert not [name for name in api.get("/v1/models").headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/organization/costs", 403),
        ("GET", "/_simulator/state", 200),
        ("GET", "/_simulator/nothing", 404),
    ],
)
def test_every_response_says_that_it_is_simulated(api: httpx2.Client, method: str, path: str, status: int) -> None:
    reply = api.request(method, path)
    assert (reply.status_code, reply.headers["x-simulated"]) == (status, "true")
    assert "x-request-id" in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/v1/nothing", None, "Invalid URL (GET /v1/nothing)"),
        ("GET", CHAT, "method_not_supported", f"Not allowed to GET on {CHAT}."),
    ],
)
def test_wrong_paths_and_methods_get_the_apis_error(
    api: httpx2.Client, method: str, path: str, code: str | None, message: str
) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    assert api.request(method, path).json() == {"error": error}


def test_the_date_is_simulated_and_there_is_only_one(api: httpx2.Client, simulator: SimulatorControl) -> None:
    present = simulator.clock()
    try:
        simulator.clock(now="2027-03-01T12:00:00Z", speed=0)
        reply = api.get("/v1/models")
        assert reply.headers.get_list("date") == ["Mon, 01 Mar 2027 12:00:00 GMT"]
    finally:
        simulator.clock(now=present, speed=1)


def test_created_follows_the_simulated_clock(api: httpx2.Client, simulator: SimulatorControl) -> None:
    now = simulator.clock()
    reply = api.post(CHAT, json=ASKED)
    assert now - 1 <= reply.json()["created"] <= now + 30
    assert parsedate_to_datetime(reply.headers["date"]).timestamp() == pytest.approx(now, abs=30)


@pytest.fixture
def limited() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


def test_a_rate_limit_is_counted_down_and_then_refused(limited: SimulatorControl) -> None:
    limited.rate_limits("gpt-6-luna", requests=2, tokens=1_000)
    headers = {"authorization": "Bearer sk-test"}
    with httpx2.Client(base_url=limited.base_url, headers=headers, trust_env=False) as api:
        replies = [api.post(CHAT, json=ASKED) for _ in range(3)]
    left = [reply.headers["x-ratelimit-remaining-requests"] for reply in replies]
    assert ([reply.status_code for reply in replies], left) == ([200, 200, 429], ["1", "0", "0"])
    assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 25 <= int(replies[2].headers["retry-after"]) <= 30
    assert replies[2].headers["x-ratelimit-limit-requests"] == "2"


# The command: its first line, its errors and its end.

COMMAND = [sys.executable, "-m", "openai_simulator"]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator and its first line; killed if the test leaves it running."""
    command = [*COMMAND, "--listen-address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child, next_line(child)
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
        with socket.create_connection((host, int(port)), timeout=5) as idle, httpx2.Client(trust_env=False) as api:
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

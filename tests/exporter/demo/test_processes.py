# SPDX-License-Identifier: Apache-2.0
"""Child processes of the demo: real ones."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openai_exporter.demo.processes import LOOPBACK, Ports, Service, Supervisor
from openai_exporter.errors import StartError
from tests.deadlines import next_line

# Ports of the demo.


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


# Child processes of the demo: real ones.

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def service(name: str, code: str) -> Service:
    return Service(name, (sys.executable, "-c", code), url=name, ready="")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/status").read_text()
    return "State:\tZ" in status


def wait_until_gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while not gone(pid):
        if time.monotonic() > end:
            return False
    return True


def test_a_service_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, answers=lambda url: False)

    with pytest.raises(StartError, match=r"broken ended with status 3: port taken"):
        supervisor.start(
            service("broken", "print('port taken'); raise SystemExit(3)"), timeout=30, stopping=lambda: False
        )


def test_a_service_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    clock = iter(range(1000))
    supervisor = Supervisor(
        tmp_path, answers=lambda url: False, sleep=lambda s: None, monotonic=lambda: float(next(clock))
    )
    with pytest.raises(StartError, match=r"slow is not ready after 5 s: it said nothing"):
        supervisor.start(service("slow", "import time; time.sleep(600)"), timeout=5, stopping=lambda: False)
    supervisor.stop()


def test_stopping_ends_a_service_that_ignores_sigterm_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    parent = (
        "import subprocess,sys,os,pathlib,signal,time\n"
        f"child=subprocess.Popen([sys.executable,'-c',{STUBBORN!r}])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
        f"exec({STUBBORN!r})\n"
    )
    supervisor = Supervisor(tmp_path, answers=lambda url: pids.exists() and bool(pids.read_text()))
    supervisor.start(service("stubborn", parent), timeout=30, stopping=lambda: False)

    supervisor.stop(grace=0.2)

    assert [wait_until_gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


def test_services_die_with_a_killed_demo(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = f"import os,pathlib,time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    program = (
        "import pathlib,sys,time\n"
        "from openai_exporter.demo.processes import Service, Supervisor\n"
        f"logs=pathlib.Path({str(tmp_path)!r})\n"
        f"s=Supervisor(logs, answers=lambda url: pathlib.Path({str(pid_file)!r}).exists())\n"
        f"s.start(Service('child',(sys.executable,'-c',{child!r}),'x'),timeout=30,stopping=lambda: False)\n"
        "print('started',flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert next_line(demo) == "started\n"
        finally:
            demo.send_signal(signal.SIGKILL)
            demo.wait(60)

    assert wait_until_gone(int(pid_file.read_text()))

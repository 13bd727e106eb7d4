# SPDX-License-Identifier: Apache-2.0
"""The demo's child processes: the programs that are installed, their free ports, and their start and end."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from openai_exporter.errors import StartError

LOOPBACK = "127.0.0.1"
KEYS = {"OPENAI_API_KEY": "sk-demo", "OPENAI_ADMIN_KEY": "sk-admin-demo"}
"""The environment of the exporter against the simulator."""
TRIES = 100
"""How many ports are tried from the usual one on."""
TIMEOUT = 2.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Program:
    """A program under the names that its distributions give it."""

    title: str
    names: tuple[str, ...]
    remedy: str

    def find(self) -> str | None:
        """Path of its executable, None when it is not on PATH."""
        return next((path for name in self.names if (path := shutil.which(name))), None)


PROMETHEUS = Program("Prometheus", ("prometheus",), "Debian: sudo apt-get install prometheus")
ALERTMANAGER = Program(
    "Alertmanager", ("alertmanager", "prometheus-alertmanager"), "Debian: sudo apt-get install prometheus-alertmanager"
)
PROMTOOL = Program("promtool", ("promtool",), "Debian: part of the package prometheus")
GRAFANA = Program(
    "Grafana",
    ("grafana", "grafana-server"),
    "alerts link to it; it runs here when `grafana` or `grafana-server` is on PATH",
)
DOCKER = Program("Docker", ("docker",), "https://docs.docker.com/engine/install/")


def _die_with_parent() -> None:
    # Covers `kill -9` of the demo itself, when no handler of ours can run (prctl(2), Linux only).
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the demo.

    Attributes:
        name: for logs and the screen.
        argv: the command.
        url: its root.
        hint: what a person can look at there.
        ready: path that answers 200 once the service works.
        env: variables added to the environment.
    """

    name: str
    argv: Sequence[str]
    url: str
    hint: str = ""
    ready: str = "/-/ready"
    env: Mapping[str, str] = field(default_factory=dict)


def answers(url: str) -> bool:
    """Whether a local URL answers 200."""
    try:
        return requests.get(url, timeout=TIMEOUT).status_code == 200
    except requests.RequestException:
        return False


class Supervisor:
    """Starts services one after the other and stops them in the reverse order.

    Args:
        logs: directory for one log file per service.
        answers: whether a URL answers 200 now.
    """

    def __init__(
        self,
        logs: Path,
        answers: Callable[[str], bool] = answers,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logs = logs
        self._answers = answers
        self._sleep = sleep
        self._monotonic = monotonic
        self._running: list[tuple[Service, subprocess.Popen[bytes]]] = []

    def start(self, service: Service, *, timeout: float, stopping: Callable[[], bool]) -> None:
        """Start a service and wait until it is ready.

        Raises:
            StartError: it ended at once, or is not ready in time; the message shows the end of its log.
        """
        log = self._logs / f"{service.name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                list(service.argv),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **service.env},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._running.append((service, process))
        end = self._monotonic() + timeout
        while not stopping() and not self._answers(service.url + service.ready):
            if process.poll() is not None:
                raise StartError(f"{service.name} ended with status {process.returncode}: {_last_line(log)} ({log})")
            if self._monotonic() > end:
                raise StartError(f"{service.name} is not ready after {timeout:.0f} s: {_last_line(log)} ({log})")
            self._sleep(0.05)

    def ended(self) -> list[tuple[Service, int]]:
        """The services that are not running any more, with their exit status."""
        return [(service, process.returncode) for service, process in self._running if process.poll() is not None]

    def stop(self, grace: float = 8.0) -> None:
        """Stop everything: SIGTERM to all, SIGKILL to what is left after `grace` seconds."""
        for _, process in reversed(self._running):
            _signal(process, signal.SIGTERM)
        end = self._monotonic() + grace
        for _, process in reversed(self._running):
            try:
                process.wait(max(0.0, end - self._monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
            # Whatever the service started itself shares its process group.
            _signal(process, signal.SIGKILL)
        self._running.clear()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


class Ports:
    """Chooses ports, and listens on each itself so that no other program takes it in the meantime."""

    def __init__(self) -> None:
        self._listeners: dict[int, socket.socket] = {}
        self._used: set[int] = set()

    def hold(self, preferred: int) -> int:
        """`preferred` when it is free on loopback and was not held before, else the next such port.

        Raises:
            StartError: none of the next hundred ports is free.
        """
        for port in range(preferred, min(preferred + TRIES, 65536)):
            if port in self._used:
                continue
            with suppress(OSError):
                # A port that is only bound can still be taken by whoever sets SO_REUSEADDR, too.
                self._listeners[port] = socket.create_server((LOOPBACK, port), backlog=1)
                self._used.add(port)
                return port
        raise StartError(
            f"no free port from {preferred} to {preferred + TRIES - 1} on {LOOPBACK}; stop something there"
        )

    def release(self, port: int | None) -> None:
        """Let go of a port, for its program to listen on; one that is not held is none of ours."""
        if port in self._listeners:
            self._listeners.pop(port).close()

    def close(self) -> None:
        """Let go of every port."""
        for port in tuple(self._listeners):
            self.release(port)

# SPDX-License-Identifier: Apache-2.0
"""For tests, demos and benchmarks: the simulator as a child process, and a client of its control endpoints."""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

START_SECONDS = 120.0
STOP_SECONDS = 5.0


class SimulatorError(RuntimeError):
    """The simulator did not start, or refused a control request; the message is its own."""


class SimulatorControl:
    """A synchronous client of `/_simulator` at `base_url` (`http://host:port`)."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def api_url(self) -> str:
        """The base URL of the API, as OPENAI_BASE_URL takes it."""
        return f"{self.base_url}/v1"

    def fault(self, kind: str, path: str = "*", **parameters: Any) -> str:
        """Put a fault in force and return its id; raises SimulatorError naming what is allowed."""
        reply = self._call("POST", "faults", {"kind": kind, "path": path, **parameters})
        return str(reply["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force."""
        return list(self._call("GET", "faults")["data"])

    def clear(self, fault_id: str | None = None) -> None:
        """End one fault, or all."""
        self._call("DELETE", "faults" if fault_id is None else f"faults/{fault_id}")

    def state(self) -> dict[str, Any]:
        """Clock, faults, calls and books."""
        return self._call("GET", "state")

    def clock(
        self, *, now: float | str | None = None, advance: float | None = None, speed: float | None = None
    ) -> float:
        """Change the clock if asked to, and return the simulated time in unix seconds."""
        wanted = {"now": now, "advance": advance, "speed": speed}
        body = {name: value for name, value in wanted.items() if value is not None}
        return float(self._call("POST" if body else "GET", "clock", body or None)["now"])

    def rate_limits(self, model: str, requests: int, tokens: int) -> None:
        """Set a model's limits per minute."""
        self._call("POST", "rate_limits", {"model": model, "requests": requests, "tokens": tokens})

    def journal(self, request_id: str) -> dict[str, Any]:
        """What happened to the request with that x-request-id."""
        return self._call("GET", f"journal?request_id={urllib.parse.quote(request_id)}")

    def journal_since(self, moment: float = 0.0) -> list[dict[str, Any]]:
        """All kept requests that ended at or after `moment` (this host's `time.monotonic()`)."""
        return list(self._call("GET", f"journal?since={moment!r}")["data"])

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base_url}/_simulator/{path}", data, method=method)
        try:
            with self._opener.open(request, timeout=30) as reply:
                loaded: dict[str, Any] = json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                message = json.load(error)["error"]["message"]
            raise SimulatorError(message) from None
        return loaded


@contextmanager
def running_simulator(*options: str, seed: int = 1, **settings: Any) -> Iterator[SimulatorControl]:
    """Run the simulator in a child process on a free port; yields its control client.

    `settings` become options: `latency_scale=0` is `--latency-scale 0`. Raises SimulatorError.
    """
    named = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [
        sys.executable, "-m", "openai_simulator",
        "--listen-address", "127.0.0.1:0", "--seed", str(seed), *named, *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield SimulatorControl(_base_url(child))
        finally:
            _stop(child)


def _base_url(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    # A pipe has no timeout of its own: reading ends with the child.
    late = threading.Timer(START_SECONDS, child.kill)
    late.daemon = True
    late.start()
    line = child.stdout.readline()
    late.cancel()
    if not line.startswith("listening on "):
        status = child.wait(START_SECONDS)
        raise SimulatorError(f"the simulator did not start (exit status {status}); its output is above")
    return line.split()[2]


def _stop(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()

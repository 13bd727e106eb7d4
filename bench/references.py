# SPDX-License-Identifier: Apache-2.0
"""What our accuracy is held against: a raw-socket client, and latenzy where it is installed; each a process."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openai_simulator.testing import SimulatorControl

MODEL = "gpt-6-luna"
PROMPT = "Count the words."
TOKENS = 40
KEY = "sk-bench-0123456789"
STAGGER = 1.0
"""Seconds over which the streams of a load begin, so that they do not march in step."""

PLAIN_MODEL = "gpt-4.1-mini"
"""For latenzy, which does not know the parameter that keeps other models from reasoning."""

LATENZY = "LATENZY_PYTHON"
"""Environment variable: the Python of a virtual environment with latenzy (`pip install latenzy`)."""

_LATENZY_CODE = """
import asyncio, json, sys
from prometheus_client import CollectorRegistry
from latenzy.config import Config
from latenzy.metrics import Metrics
from latenzy.prober import Prober

async def main(url, model, count):
    provider = {"provider": "openai", "models": [model], "base_url": url, "api_key_env": "KEY"}
    config = Config(providers=[provider], probe={"max_output_tokens": 40})
    prober, found = Prober(config, Metrics(CollectorRegistry())), []
    for _ in range(count):
        found += [(each.duration_seconds, each.ttft_seconds) for each in await prober.run_once()]
    await prober.aclose()
    return found

print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client says of one request, in seconds."""

    request_id: str
    duration: float
    first_token: float


def child(code: str, *arguments: object) -> list[Measured]:
    """Run a function of the bench that prints what it measured, in a process of its own."""
    argv = [sys.executable, "-c", f"import sys, bench.{code}", *map(str, arguments)]
    run = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return [Measured(**each) for each in json.loads(run.stdout)]


def print_measured(found: Sequence[Measured]) -> None:
    """What `child` reads."""
    print(json.dumps([asdict(each) for each in found]))


def latenzy(simulator: SimulatorControl, count: int) -> list[Measured] | None:
    """What latenzy measures, one request at a time; None where LATENZY_PYTHON is not set.

    It keeps no request ids: its results are matched with the simulator's journal by their order.
    """
    python = os.environ.get(LATENZY)
    if not python:
        return None
    began = time.monotonic()
    run = subprocess.run(
        [python, "-c", _LATENZY_CODE, simulator.base_url, PLAIN_MODEL, str(count)],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "KEY": KEY},
    )  # fmt: skip
    entries = sorted(simulator.journal_since(began), key=lambda entry: entry["received"])
    pairs = zip(entries, json.loads(run.stdout), strict=True)
    return [Measured(entry["request_id"], duration, first) for entry, (duration, first) in pairs]


class RawStream:
    """One connection of the raw client."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self.began = 0.0
        self.data = bytearray()
        self.arrivals: list[tuple[float, int]] = []

    def start(self) -> None:
        """Send the request; the clock starts just before."""
        self.data = bytearray()
        self.arrivals = []
        self.began = time.monotonic()
        self.sock.sendall(self._request)

    def receive(self) -> bool:
        """Take in what has arrived; True at the end of the answer."""
        data = self.sock.recv(65_536)
        self.arrivals.append((time.monotonic(), len(self.data) + len(data)))
        self.data += data
        return self.data.endswith(b"0\r\n\r\n")


def print_raw(base_url: str, streams: int, rounds: int) -> None:
    """In a process of its own: what the raw client measures; what the stamps mean is read at the very end."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as stack:
        connections = [RawStream((host, int(port)), _request(host)) for _ in range(streams)]
        for connection in connections:
            stack.callback(connection.sock.close)
        print_measured([_measured(*each) for each in _load(connections, rounds)])


def _load(connections: Sequence[RawStream], rounds: int) -> list[tuple[float, bytearray, list[tuple[float, int]]]]:
    """Each connection makes its requests one after the other; the first ones are spread over STAGGER."""
    began = time.monotonic()
    waiting = [(began + STAGGER * number / len(connections), each) for number, each in enumerate(connections)]
    left = dict.fromkeys(connections, rounds)
    found = []
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and waiting[0][0] <= time.monotonic():
                connection = waiting.pop(0)[1]
                selector.register(connection.sock, selectors.EVENT_READ, connection)
                connection.start()
            pause = max(waiting[0][0] - time.monotonic(), 0.0) if waiting else None
            for key, _ in selector.select(pause):
                connection = key.data
                if not connection.receive():
                    continue
                found.append((connection.began, connection.data, connection.arrivals))
                left[connection] -= 1
                if left[connection]:
                    connection.start()
                else:
                    selector.unregister(connection.sock)
    return found


def _measured(began: float, data: bytearray, arrivals: list[tuple[float, int]]) -> Measured:
    text = bytes(data)
    found = text.index(b"x-request-id: ") + len(b"x-request-id: ")
    request_id = text[found : text.index(b"\r\n", found)].decode()
    first = text.index(b'"delta":{"content":"')
    end = text.index(b"\n\n", first) + 2
    at = next(stamp for stamp, size in arrivals if size >= end)
    return Measured(request_id, arrivals[-1][0] - began, at - began)


def _request(host: str) -> bytes:
    body: dict[str, Any] = {
        "model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "max_completion_tokens": TOKENS,
        "reasoning_effort": "none", "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }  # fmt: skip
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data

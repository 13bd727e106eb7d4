# SPDX-License-Identifier: Apache-2.0
"""Error of duration and time to first token against what the simulator really did, beside a raw-socket client.

The simulator's journal is the truth: it stamps on the same clock when a request had arrived and when each byte
went to the socket. The raw client is an epoll loop that does nothing but send, receive and stamp; it carries the
same load in the same run, so the difference between the two is what our prober adds.
"""

import asyncio
import contextlib
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeResult
from openai_exporter.probe.history import History
from openai_exporter.probe.service import Prober
from openai_exporter.simulator.testing import SimulatorControl, running_simulator

MODEL = "gpt-6-luna"
PROMPT = "Count the words."
TOKENS = 40
STREAMS = 100
SINGLE = 200
ROUNDS = 8
STARTS = 10
KEY = "sk-bench-0123456789"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client says of one request, in seconds."""

    request_id: str
    duration: float
    first_token: float


def main() -> None:
    """Print the figures."""
    with running_simulator(latency_scale=0.5) as simulator:
        simulator.rate_limits(MODEL, 10_000_000, 2_000_000_000)
        errors: dict[str, list[tuple[float, float]]] = {}
        for _ in range(4):  # in turns, so that both meet the same mood of the machine
            _extend(errors, "raw, one in flight", simulator, raw(simulator, 1, SINGLE // 4))
            _extend(errors, "ours, one in flight", simulator, ours(simulator, 1, SINGLE // 4))
            _extend(errors, f"raw, {STREAMS} streams", simulator, raw(simulator, STREAMS, ROUNDS // 4))
            _extend(errors, f"ours, {STREAMS} streams", simulator, ours(simulator, STREAMS, ROUNDS // 4))
        _extend(errors, "ours, first of a process", simulator, list(first_probes(simulator)))
    for name, pairs in errors.items():
        print(f"{name}: {len(pairs)} requests, error in ms")
        _report("duration", [each[0] for each in pairs])
        _report("first token", [each[1] for each in pairs])


def _extend(
    errors: dict[str, list[tuple[float, float]]],
    name: str,
    simulator: SimulatorControl,
    found: Sequence[Measured],
) -> None:
    truth = {entry["request_id"]: entry for entry in simulator.journal_since(time.monotonic() - 120)}
    for each in found:
        entry = truth[each.request_id]
        duration = entry["done"] - entry["received"]
        first = entry["first_token"] - entry["received"]
        errors.setdefault(name, []).append((each.duration - duration, each.first_token - first))


def _report(name: str, seconds: list[float]) -> None:
    found = sorted(abs(each) * 1000 for each in seconds)
    p99 = found[min(int(len(found) * 0.99), len(found) - 1)]
    print(f"  {name:12} median {statistics.median(found):7.3f}   p99 {p99:7.3f}   max {found[-1]:7.3f}")


def configuration(url: str, streams: int) -> Config:
    """As many modules as streams, for a key has one probe in flight at most."""
    request = {"prompt": PROMPT, "max_output_tokens": TOKENS, "reasoning_effort": "none"}
    module = {"endpoint": "chat", "stream": True, "timeout": 30, "request": request}
    names = [f"m{number}" for number in range(streams)]
    document = {
        "targets": [{"name": "api", "base_url": url, "api_key_env": "KEY"}],
        "modules": dict.fromkeys(names, module),
        "probes": [{"target": "api", "module": name, "models": [MODEL]} for name in names],
    }
    return parse_config(json.dumps(document), "bench", {"KEY": KEY}, Path())


def ours(simulator: SimulatorControl, streams: int, rounds: int) -> list[Measured]:
    """What our prober measures; each round starts all its streams at once."""
    return asyncio.run(_ours(simulator.api_url, streams, rounds))


async def _ours(url: str, streams: int, rounds: int) -> list[Measured]:
    prober = Prober(configuration(url, streams), instruments=Instruments(process=False), history=History(10))
    await prober.warm()
    found: list[Measured] = []
    for _ in range(rounds):
        answers = await asyncio.gather(*(prober.probe(key) for key in prober.keys))
        found += [_measured(answer.result) for answer in answers]
    await prober.close()
    return found


def _measured(result: ProbeResult) -> Measured:
    if not result.success or result.stream is None or result.stream.first_token is None:
        raise RuntimeError(f"the probe failed: {result.outcome}: {result.message}")
    # From the request itself on, as the journal has it: the first probe on a connection also opened it.
    opened = result.phases.resolve + result.phases.connect + result.phases.tls
    return Measured(result.request_id, result.duration - opened, result.stream.first_token - opened)


def first_probes(simulator: SimulatorControl) -> Iterator[Measured]:
    """The first probe of each of some processes."""
    code = "import sys, bench.accuracy as a; a.print_first(sys.argv[1])"
    for _ in range(STARTS):
        run = subprocess.run(
            [sys.executable, "-c", code, simulator.api_url], check=True, capture_output=True, text=True
        )
        yield Measured(**json.loads(run.stdout))


def print_first(url: str) -> None:
    """In a process of its own: the first probe, without any warming up."""
    result = asyncio.run(_first(url))
    found = _measured(result)
    print(json.dumps({name: getattr(found, name) for name in Measured.__slots__}))


async def _first(url: str) -> ProbeResult:
    prober = Prober(configuration(url, 1), instruments=Instruments(process=False), history=History(1))
    answer = await prober.probe(prober.keys[0])
    await prober.close()
    return answer.result


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
        self.data.clear()
        self.arrivals.clear()
        self.began = time.monotonic()
        self.sock.sendall(self._request)

    def receive(self) -> bool:
        """Take in what has arrived; True at the end of the answer."""
        data = self.sock.recv(65_536)
        self.arrivals.append((time.monotonic(), len(self.data) + len(data)))
        self.data += data
        return self.data.endswith(b"0\r\n\r\n")

    def measured(self) -> Measured:
        """Read afterwards what the stamps mean."""
        text = bytes(self.data)
        found = text.index(b"x-request-id: ") + len(b"x-request-id: ")
        request_id = text[found : text.index(b"\r\n", found)].decode()
        first = text.index(b'"delta":{"content":"')
        end = text.index(b"\n\n", first) + 2
        at = next(stamp for stamp, size in self.arrivals if size >= end)
        return Measured(request_id, self.arrivals[-1][0] - self.began, at - self.began)


def raw(simulator: SimulatorControl, streams: int, rounds: int) -> list[Measured]:
    """What the raw client measures under the same load."""
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    found: list[Measured] = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        connections = [RawStream((host, int(port)), _request(host)) for _ in range(streams)]
        for connection in connections:
            stack.callback(connection.sock.close)
            selector.register(connection.sock, selectors.EVENT_READ, connection)
        for _ in range(rounds):
            for connection in connections:
                connection.start()
            waiting = streams
            while waiting:
                waiting -= sum(key.data.receive() for key, _ in selector.select())
            found += [connection.measured() for connection in connections]
    return found


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


if __name__ == "__main__":
    main()

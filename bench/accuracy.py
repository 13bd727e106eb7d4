# SPDX-License-Identifier: Apache-2.0
"""Error of duration and time to first token against what the simulator really did, beside other clients in one run.

The simulator's journal is the truth: it stamps on the same clock when a request had arrived and when each byte
went to the socket. The raw client is an epoll loop that does nothing but send, receive and stamp; it carries the
same load in turns with ours, so the difference between the two is what our prober adds. With LATENZY_PYTHON set
latenzy is measured too. Simulator and clients each get a core of their own where there are two.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench.references import (
    KEY,
    LATENZY,
    MODEL,
    PLAIN_MODEL,
    PROMPT,
    STAGGER,
    TOKENS,
    Measured,
    child,
    latenzy,
    print_measured,
)
from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeResult
from openai_exporter.probe.service import Prober
from openai_exporter.probe.state import History
from openai_simulator.testing import SimulatorControl, running_simulator

STREAMS = 100
SINGLE = 160
ROUNDS = 12
STARTS = 10
TURNS = 4
"""How often the clients take turns, so that all of them meet the same mood of the machine."""

Errors = dict[str, list[tuple[float, float]]]
"""Name of a client and load to (error of duration, error of first token) of each request."""


def main() -> None:
    """Print the figures."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    with running_simulator(latency_scale=0.5) as simulator:
        os.sched_setaffinity(0, cores[1:2] or cores)
        for model in (MODEL, PLAIN_MODEL):
            simulator.rate_limits(model, 10_000_000, 2_000_000_000)
        errors = _measure(simulator)
    os.sched_setaffinity(0, cores)
    for name, pairs in errors.items():
        print(f"{name}: {len(pairs)} requests, error in ms")
        _report("duration", [each[0] for each in pairs])
        _report("first token", [each[1] for each in pairs])
    if "latenzy, one in flight" not in errors:
        print(f"latenzy: not measured; set {LATENZY} to the Python of an environment with latenzy")


def _measure(simulator: SimulatorControl) -> Errors:
    errors: Errors = {}
    raw = "references as r; r.print_raw(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    ours = "accuracy as a; a.print_ours(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    one, many = SINGLE // TURNS, ROUNDS // TURNS
    for _ in range(TURNS):
        _extend(errors, "raw, one in flight", simulator, child(raw, simulator.base_url, 1, one))
        _extend(errors, "ours, one in flight", simulator, child(ours, simulator.api_url, 1, one))
        _extend(errors, "latenzy, one in flight", simulator, (latenzy(simulator, one) or [])[1:])
        _extend(errors, f"raw, {STREAMS} streams", simulator, child(raw, simulator.base_url, STREAMS, many))
        _extend(errors, f"ours, {STREAMS} streams", simulator, child(ours, simulator.api_url, STREAMS, many))
    first = "accuracy as a; a.print_first(sys.argv[1])"
    for _ in range(STARTS):
        _extend(errors, "ours, first of a process", simulator, child(first, simulator.api_url))
        _extend(errors, "latenzy, first of a process", simulator, latenzy(simulator, 1) or [])
    return errors


def _extend(errors: Errors, name: str, simulator: SimulatorControl, found: Sequence[Measured]) -> None:
    if not found:
        return
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


def print_ours(url: str, streams: int, rounds: int) -> None:
    """In a process of its own: what our prober measures."""
    print_measured(asyncio.run(_ours(url, streams, rounds)))


async def _ours(url: str, streams: int, rounds: int) -> list[Measured]:
    prober = Prober(configuration(url, streams), instruments=Instruments(process=False), history=History(10))
    await prober.warm()
    found: list[Measured] = []

    async def stream(number: int) -> None:
        await asyncio.sleep(STAGGER * number / streams)
        for _ in range(rounds):
            answer = await prober.probe(prober.keys[number])
            found.append(_measured(answer.result))

    await asyncio.gather(*(stream(number) for number in range(streams)))
    await prober.close()
    return found


def _measured(result: ProbeResult) -> Measured:
    if not result.success or result.stream is None or result.stream.first_token is None:
        raise RuntimeError(f"the probe failed: {result.outcome}: {result.message}")
    # From the request itself on, as the journal has it: the first probe on a connection also opened it.
    opened = result.phases.resolve + result.phases.connect + result.phases.tls
    return Measured(result.request_id, result.duration - opened, result.stream.first_token - opened)


def print_first(url: str) -> None:
    """In a process of its own: the first probe, without any warming up."""
    print_measured([_measured(asyncio.run(_first(url)))])


async def _first(url: str) -> ProbeResult:
    prober = Prober(configuration(url, 1), instruments=Instruments(process=False), history=History(1))
    answer = await prober.probe(prober.keys[0])
    await prober.close()
    return answer.result


if __name__ == "__main__":
    main()

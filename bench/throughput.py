# SPDX-License-Identifier: Apache-2.0
"""Plain probes per second on one core, CPU per probe, memory over 20,000 plain probes and over large replies."""

import asyncio
import gc
import os
import time
from pathlib import Path
from typing import Any

import yaml

from bench import processes
from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import Instruments, encode
from openai_exporter.probe.result import families
from openai_exporter.probe.service import Prober
from openai_exporter.probe.state import History
from openai_simulator.testing import SimulatorControl, running_simulator

MODEL = "gpt-6-luna"
SPEAKER = "gpt-4o-mini-tts"
SPOKEN = "pong " * 20
KEY = "sk-bench-0123456789"
AT_ONCE = 16
PROBES = 3000
SOAK = 20_000
LARGE = 1000
"""Probes of the endpoint with the largest replies, some 300 KB of sound each."""


def main() -> None:
    """Print the figures."""
    with running_simulator(latency_scale=0) as simulator:
        for model in (MODEL, SPEAKER):
            simulator.rate_limits(model, 100_000_000, 2_000_000_000)
        asyncio.run(_rates(simulator))
        asyncio.run(_soak(simulator, "plain", SOAK))
        asyncio.run(_soak(simulator, "speech", LARGE))


def configuration(url: str) -> Config:
    """A plain and a streamed chat module, and one of speech, per probe in flight."""
    request = {"reasoning_effort": "none"}
    plain: dict[str, Any] = {"endpoint": "chat", "request": request, "expect": {"text": "pong"}}
    modules = {f"plain{n}": plain for n in range(AT_ONCE)}
    modules |= {f"stream{n}": {**plain, "stream": True} for n in range(AT_ONCE)}
    modules |= {f"speech{n}": {"endpoint": "speech", "request": {"prompt": SPOKEN}} for n in range(AT_ONCE)}
    document = {
        "targets": [{"name": "api", "base_url": url, "api_key_env": "KEY"}],
        "modules": modules,
        "probes": [
            {"target": "api", "module": name, "models": [SPEAKER if "speech" in name else MODEL]} for name in modules
        ],
    }
    return parse_config(yaml.safe_dump(document), "bench", {"KEY": KEY}, Path())


def prober_for(url: str) -> Prober:
    """A prober with a history of the default length."""
    return Prober(configuration(url), instruments=Instruments(process=False), history=History(200))


async def _rates(simulator: SimulatorControl) -> None:
    prober = prober_for(simulator.api_url)
    await prober.warm()
    for kind in ("plain", "stream"):
        await _many(prober, kind, 200, 1)
        for at_once in (1, AT_ONCE):
            cpu, wall = time.process_time(), time.perf_counter()
            await _many(prober, kind, PROBES, at_once)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            print(
                f"{kind:6} {at_once:2} at once: {PROBES / wall:6.0f} probes/s, {cpu / PROBES * 1000:.2f} ms CPU each "
                f"({PROBES / cpu:.0f} per CPU second)"
            )
    await prober.close()


async def _many(prober: Prober, kind: str, count: int, at_once: int) -> None:
    keys = [key for key in prober.keys if key.module.startswith(kind)][:at_once]

    async def some(index: int) -> None:
        for _ in range(count // at_once):
            answer = await prober.probe(keys[index])
            if not answer.result.success:
                raise RuntimeError(f"the probe failed: {answer.result.outcome}: {answer.result.message}")
            encode(families(answer))

    await asyncio.gather(*(some(index) for index in range(at_once)))


async def _soak(simulator: SimulatorControl, kind: str, count: int) -> None:
    prober = prober_for(simulator.api_url)
    await prober.warm()
    await _many(prober, kind, count // 10, AT_ONCE)
    gc.collect()
    before, found = processes.resident_mib(os.getpid()), []
    for _ in range(10):
        await _many(prober, kind, count // 10, AT_ONCE)
        found.append(processes.resident_mib(os.getpid()))
    print(
        f"resident, {kind}: {before:.1f} MiB after {count // 10:,} probes, {found[-1]:.1f} MiB after {count:,} more, "
        f"{max(found):.1f} MiB at most"
    )
    await prober.close()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Half an hour of 20 probes a second, half of them failing, with /usage and /metrics: what grows, what is logged.

Slopes are least squares over the samples after the first five minutes; `python -m bench.soak 60` takes an hour.
The failing half meets 500s, resets, broken streams and hangs in turn.
"""

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import processes, scrapers
from bench.process import KEYS, chat_models, simulator_limits
from openai_simulator.testing import SimulatorControl, running_simulator

MINUTES = 30
SETTLING = 300.0
"""Seconds at the start that no slope counts."""
RATE = 20
MODELS = 20
SAMPLE = 10.0
FAULTS = ("status", "reset", "truncate", "hang", "html")


def main(minutes: float = MINUTES) -> None:
    """Print the figures."""
    with running_simulator(latency_scale=0) as simulator, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = chat_models(simulator, MODELS)
        simulator_limits(simulator, models)
        paths = targets(simulator, models, folder)
        with serving(folder) as (pid, port), scrapers.checking(port) as health:
            samples, answers = soak(pid, port, paths, minutes * 60)
        print(", ".join(f"{count} {name}" for name, count in sorted(answers.items())))
        show(samples, (folder / "log").stat().st_size / minutes)
        for each in health:
            print(f"health, {each['name']:16} {scrapers.shown(each['seconds'])}")


def targets(simulator: SimulatorControl, models: list[str], folder: Path) -> list[str]:
    """Write the configuration: half of the models answer, the others meet a fault; returns what to scrape in turn."""
    half = len(models) // 2
    for model, fault in zip(models[half:], FAULTS * len(models), strict=False):
        simulator.fault(fault, "/v1/chat/completions", model=model)
    chat = {"endpoint": "chat", "timeout": "900ms"}
    read = {"admin_key_env": "OPENAI_ADMIN_KEY", "refresh_interval": "60s"}
    document = {
        "targets": [{"name": "api", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"chat": chat, "stream": {**chat, "stream": True}},
        "probes": [{"target": "api", "module": module, "models": models} for module in ("chat", "stream")],
        "organizations": [{"name": "org", "base_url": simulator.api_url, **read}],
    }
    (folder / "exporter.yml").write_text(yaml.safe_dump(document))
    order = [model for pair in zip(models[:half], models[half:], strict=True) for model in pair]
    return [f"/probe?target=api&module={module}&model={model}" for module in ("chat", "stream") for model in order]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """An exporter whose log is the file `log`; yields its process and port."""
    port = processes.free_port()
    argv = processes.exporter_argv(port, "--config.file", str(folder / "exporter.yml"))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **KEYS})
        try:
            processes.wait_until_ok(port, "/-/healthy")
            yield child.pid, port
        finally:
            child.terminate()
            child.wait(20)


@dataclass(frozen=True)
class Sample:
    """The process at one moment, in seconds from the start."""

    at: float
    resident_mib: float
    descriptors: int
    threads: int


def soak(pid: int, port: int, paths: list[str], seconds: float) -> tuple[list[Sample], Counter[str]]:
    """Ask as Prometheus would, each path on a connection of its own: samples of each ten seconds, and the answers."""
    scrape = [("/metrics", 15.0), ("/usage?organization=org", 60.0), *((path, len(paths) / RATE) for path in paths)]
    began, over = time.monotonic(), threading.Event()
    answers: Counter[str] = Counter()
    with ThreadPoolExecutor(len(scrape)) as pool:
        asking = [
            pool.submit(ask, port, path, every, number / RATE, over, answers)
            for number, (path, every) in enumerate(scrape)
        ]
        samples = []
        while (at := time.monotonic() - began) < seconds:
            samples.append(sample(pid, at))
            over.wait(SAMPLE)
        over.set()
    for each in asking:
        each.result()
    return samples, answers


def ask(port: int, path: str, every: float, first: float, over: threading.Event, answers: Counter[str]) -> None:
    """One path, again and again on a kept connection, until it is over; counts what came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    due = time.monotonic() + first
    while not over.wait(max(0.0, due - time.monotonic())):
        connection.request("GET", path, headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})
        answer = connection.getresponse()
        good = b"\nprobe_success 1\n" in answer.read()
        what = path.partition("?")[0] if "/probe" not in path else f"/probe {'good' if good else 'failing'}"
        answers[what if answer.status == 200 else f"{what} with status {answer.status}"] += 1
        due += every
    connection.close()


def sample(pid: int, at: float) -> Sample:
    """What the kernel says of the process now."""
    proc = Path(f"/proc/{pid}")
    return Sample(
        at, processes.resident_mib(pid), len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir()))
    )


def show(samples: list[Sample], log_bytes: float) -> None:
    """First, last and slope of each figure after the settling time."""
    later = [each for each in samples if each.at >= SETTLING] or samples
    times = [each.at / 3600 for each in later]
    for name in ("resident_mib", "descriptors", "threads"):
        values = [float(getattr(each, name)) for each in later]
        slope = statistics.linear_regression(times, values).slope
        print(
            f"{name:12} {values[0]:8.1f} -> {values[-1]:8.1f}, at most {max(values):8.1f}, slope {slope:+.2f} an hour"
        )
    print(f"log          {log_bytes:8.0f} bytes a minute")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)

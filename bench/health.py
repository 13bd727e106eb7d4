# SPDX-License-Identifier: Apache-2.0
"""Health checks over HTTP while 100 probes begin, hang and expire; the client is a process of its own.

Three shapes: scrapes spread over time as Prometheus does it, all begun at the same moment, and all cut by their
deadlines at the same moment. A health check comes every 5 ms, on a kept connection and on a new one.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import processes, scrapers
from openai_simulator.testing import SimulatorControl, running_simulator

HANGING = 100
SPREAD = 10.0
"""Seconds over which scrapes are spread."""
TIMEOUT = 5.0
KEYS = {"OPENAI_API_KEY": "sk-bench-0123456789"}

Shape = list[tuple[float, str, float]]


def main() -> None:
    """Print the figures."""
    with running_simulator(latency_scale=0) as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.fault("hang", path="/v1/responses")
        config = Path(folder, "exporter.yml")
        config.write_text(json.dumps(configuration(simulator)))
        for name, shape in shapes().items():
            _measure(name, shape, config)


def shapes() -> dict[str, Shape]:
    """Name to (start, path, scrape timeout) of each scrape."""
    paths = [f"/probe?target=api&module=hang&model=m{number}" for number in range(HANGING)]
    step = SPREAD / HANGING
    starts = [number * step for number in range(HANGING)]
    return {
        "none": [],
        "spread": [(start, path, TIMEOUT) for start, path in zip(starts, paths, strict=True)],
        "at once": [(0.0, path, TIMEOUT) for path in paths],
        "expire at once": [(start, path, SPREAD + 2 - start) for start, path in zip(starts, paths, strict=True)],
    }


def configuration(simulator: SimulatorControl) -> dict[str, Any]:
    """As many models as scrapes, since a probe has one run in flight."""
    models = [f"m{number}" for number in range(HANGING)]
    return {
        "targets": [{"name": "api", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"hang": {"endpoint": "responses", "timeout": 30}},
        "probes": [{"target": "api", "module": "hang", "models": models}],
    }


def _measure(name: str, shape: Shape, config: Path) -> None:
    port = processes.free_port()
    argv = processes.exporter_argv(port, "--config.file", str(config), "--log.level", "error")
    with processes.running(argv, KEYS):
        processes.wait_until_ok(port, "/-/healthy")
        time.sleep(1.0)  # the warm-up
        with scrapers.checking(port) as found:
            took = scrapers.scrape(port, shape)
            if not shape:
                time.sleep(2)
    print(f"{HANGING if shape else 'no'} probes, {name}:")
    for each in found:
        print(f"  {each['name']:16} {scrapers.shown(each['seconds'])}")
    if shape:
        over = [seconds - timeout + 0.5 for seconds, (_, _, timeout) in zip(took, shape, strict=True)]
        print(f"  {'past deadline':16} {scrapers.shown(over)}")


if __name__ == "__main__":
    main()

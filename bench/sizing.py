# SPDX-License-Identifier: Apache-2.0
"""What an installation of a given size needs: series, memory, CPU, API calls, and what Prometheus makes of it.

Exporter, simulator and Prometheus are the real programs. Hours are shortened: with every interval of the exporter
divided by 60, a minute holds the reads of an hour. `python -m bench sizing` prints the table of docs/sizing.md.
"""

import http.client
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from bench import processes
from bench.process import chat_models, simulator_limits
from openai_simulator.testing import SimulatorControl, running_simulator

KEYS = {"OPENAI_API_KEY": "sk-bench", "OPENAI_ADMIN_KEY": "sk-admin-bench"}
SCALE = 60
MINUTE = 60.0
PROBES = 300
MODELS = 10
RULES = Path(__file__).parents[1] / "prometheus/rules"
DEFAULTS = {"refresh_interval": 60, "full_refresh_interval": 3600, "names_interval": 900}
COSTS_INTERVAL = 600


@dataclass(frozen=True, slots=True)
class Size:
    """One line of the table."""

    name: str
    keys: int = 8
    users: int = 6
    projects: int = 4
    by_user: bool = False


SIZES = (
    Size("100 keys, 10 projects", keys=100, users=50, projects=10),
    Size("1,000 users, a key each, label user_id", keys=1000, users=1000, projects=40, by_user=True),
)


def main() -> None:
    """Print the table."""
    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} processors", flush=True)
    print("| what | series | page | memory of the exporter | CPU of the exporter | API calls | series in Prometheus |")
    print("|---|---|---|---|---|---|---|", flush=True)
    probing()
    for size in SIZES:
        reading(size)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")


def row(*cells: str) -> None:
    """Print one line of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def probing() -> None:
    """Ten models, each probed with a streamed chat completion, as a scrape every 60 s would."""
    with running_simulator(latency_scale=0) as simulator, exporter(simulator, probes(simulator)) as (pid, port):
        paths = [path for path in targets(port) if path.startswith("/probe")]
        assert len(paths) == MODELS, paths
        for path in paths * 3:
            page(port, path)
        before = processes.cpu_seconds(pid)
        for number in range(PROBES):
            page(port, paths[number % MODELS])
        cpu = (processes.cpu_seconds(pid) - before) / PROBES
        found = [page(port, path) for path in paths]
        own = page(port, "/metrics")
        total = sum(map(series, [*found, own]))
        size = sum(map(len, [*found, own]))
        row(
            f"{MODELS} models, 1 module, every 60 s", f"{total:,}", f"{size / 1024:,.0f} KiB",
            f"{processes.resident_mib(pid):.0f} MiB", f"{cpu * MODELS / MINUTE * 100:.2f} %",
            f"{MODELS * 60}/h (probes)", stored(port),
        )  # fmt: skip


def reading(size: Size) -> None:
    """One organization: the first read, then an hour in a minute."""
    counts = {"projects": size.projects, "keys": size.keys, "users": size.users}
    with (
        running_simulator(latency_scale=0, **counts) as simulator,
        exporter(simulator, organization(simulator, size)) as (pid, port),
    ):
        wait_for_usage(port)
        before, cpu = calls(port), processes.cpu_seconds(pid)
        end = time.monotonic() + MINUTE
        while time.monotonic() < end:
            page(port, "/usage?organization=bench")
            time.sleep(1)
        spent, made = processes.cpu_seconds(pid) - cpu, calls(port) - before
        text = page(port, "/usage?organization=bench")
        row(
            size.name, f"{series(text):,}", f"{len(text) / 1024:,.0f} KiB",
            f"{processes.resident_mib(pid):.0f} MiB", f"{spent / 3600 * 100:.2f} %",
            f"{made:,.0f}/h (admin)", stored(port),
        )  # fmt: skip


def probes(simulator: SimulatorControl) -> dict[str, Any]:
    """A configuration that probes ten models."""
    models = chat_models(simulator, MODELS)
    simulator_limits(simulator, models)
    return {
        "targets": [{"name": "openai", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"chat_stream": {"endpoint": "chat", "stream": True}},
        "probes": [{"target": "openai", "module": "chat_stream", "models": models}],
    }


def organization(simulator: SimulatorControl, size: Size) -> dict[str, Any]:
    """A configuration that reads one organization, every interval divided by SCALE."""
    entry: dict[str, Any] = {"name": "bench", "base_url": simulator.api_url, "admin_key_env": "OPENAI_ADMIN_KEY"}
    entry |= {key: f"{seconds // SCALE}s" for key, seconds in DEFAULTS.items()}
    entry["costs"] = {"refresh_interval": f"{COSTS_INTERVAL // SCALE}s"}
    if size.by_user:
        labels = ["project_id", "api_key_id", "user_id", "model"]
        entry["usage"] = {"completions": {"group_by": labels}, "embeddings": {"group_by": labels}}
    return {"organizations": [entry]}


@contextmanager
def exporter(simulator: SimulatorControl, document: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Run the exporter; yields its process id and port."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "exporter.yml"
        config.write_text(yaml.safe_dump(document))
        port = processes.free_port()
        argv = processes.exporter_argv(port, "--config.file", str(config))
        with processes.running(argv, KEYS) as child:
            processes.wait_until_ok(port, "/-/healthy")
            yield child.pid, port


def page(port: int, path: str) -> str:
    """The text of a page; it must be there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}: {text[:500]}")
    return text


def targets(port: int) -> list[str]:
    """Path and query of everything that /sd lists."""
    found = []
    for group in json.loads(page(port, "/sd")):
        labels = group["labels"]
        query = "&".join(
            f"{name.removeprefix('__param_')}={quote(value)}"
            for name, value in labels.items()
            if name.startswith("__param_")
        )
        found.append(f"{labels['__metrics_path__']}?{query}" if query else labels["__metrics_path__"])
    return found


def series(text: str) -> int:
    """Samples of a page."""
    return sum(1 for line in text.splitlines() if line and not line.startswith("#"))


def wait_for_usage(port: int, seconds: float = 300) -> None:
    """Scrape until everything has been read once."""
    end = time.monotonic() + seconds
    while "\nopenai_usage_requests_total{" not in page(port, "/usage?organization=bench"):
        if time.monotonic() > end:
            raise TimeoutError(f"no usage within {seconds} s")
        time.sleep(0.5)
    time.sleep(3)


def calls(port: int) -> float:
    """Calls to the organization's API so far."""
    lines = page(port, "/metrics").splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("openai_exporter_upstream_calls_total{")
    )


def _hurried(folder: Path) -> list[Path]:
    """The rules without intervals of their own: some groups are evaluated every ten minutes, and would not be seen."""
    made = []
    for path in RULES.glob("*-*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        made.append(folder / path.name)
        made[-1].write_text(yaml.safe_dump(rules))
    return made


def stored(port: int, seconds: float = 75) -> str:
    """Series in the head of a Prometheus that scrapes it with all rules, and that Prometheus' memory."""
    program = os.environ.get("PROMETHEUS_BINARY") or shutil.which("prometheus")
    if program is None:
        return "not measured: no Prometheus"
    with tempfile.TemporaryDirectory() as folder:
        own = processes.free_port()
        config = Path(folder) / "prometheus.yml"
        document = {
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "10s"},
            "rule_files": [str(path) for path in _hurried(Path(folder))],
            "scrape_configs": [{"job_name": "openai", "http_sd_configs": [{"url": f"http://127.0.0.1:{port}/sd"}]}],
        }
        config.write_text(yaml.safe_dump(document))
        argv = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb"]
        with processes.running([*argv, f"--web.listen-address=127.0.0.1:{own}"]) as child:
            processes.wait_until_ok(own, "/-/ready", 60)
            time.sleep(seconds)
            (line,) = [
                each for each in page(own, "/metrics").splitlines() if each.startswith("prometheus_tsdb_head_series ")
            ]
            return f"{float(line.split()[1]):,.0f} ({processes.resident_mib(child.pid):.0f} MiB)"


if __name__ == "__main__":
    main()

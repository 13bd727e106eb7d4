# SPDX-License-Identifier: Apache-2.0
"""How long Prometheus takes for every range query of every page, over 30 days with 100,000 usage series.

`python -m bench.dashboards --data FOLDER` keeps the database there, so that it is built once (ten minutes and more);
bench/month.py says what is in it. Queries have their variables at All, and the step that Grafana chooses for a window
1600 pixels wide. `cold` is the first answer of a Prometheus that has just started (the kernel may still hold its
files), `median` that of three after it, `CPU` what it costs the processors, garbage collection with it: on a busy
machine look at that. Tiles over the whole range are asked, too, where they read recorded growth or
probes; those of the rarer usage counters (audio, images, tools) are not, as these are only recent here. The rules of
growth that read counters are asked as well, at the end: what one evaluation costs.
PROMETHEUS_BINARY and PROMTOOL_BINARY choose the programs.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from bench import month, processes
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, ask
from tests.dashboards.pages import Json, Page, Panel, pages

WIDTH = 1600
ROUNDS = 3
WHEN = Range(month.END - month.DAYS * 86_400, month.END)


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel that is as wide as in a window of 1600 pixels."""

    page: Page
    panel: Panel
    target: Json

    def ask(self, server: Server) -> tuple[float, int]:
        """Seconds, and series of the answer."""
        start = time.perf_counter()
        answer = ask(server, self.page, self.panel, self.target, WHEN, {})
        taken = time.perf_counter() - start
        if answer["status"] != "success":
            raise RuntimeError(f"{self.panel}: {answer}")
        return taken, len(answer["data"]["result"])


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of a query: the first time, and later; and of the processor, on which other work has little influence."""

    query: Query
    cold: float
    median: float
    cpu: float
    series: int


def main(argv: list[str] | None = None) -> None:
    """Build the database where there is none, ask, and print a table, slowest first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="where the database is kept; a temporary folder by default")
    options = parser.parse_args(argv or [])
    prometheus = os.environ.get("PROMETHEUS_BINARY") or shutil.which("prometheus")
    promtool = os.environ.get("PROMTOOL_BINARY") or shutil.which("promtool")
    if prometheus is None or promtool is None:
        print("not measured: needs prometheus and promtool")
        return
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "month"
        if not (data / "series").is_file():
            began = time.monotonic()
            print("building 30 days, which takes ten minutes and more", flush=True)
            month.build(data, promtool)
            print(f"built in {time.monotonic() - began:.0f} s", flush=True)
        report(prometheus, data)


def report(prometheus: str, data: Path) -> None:
    """Ask everything and print it."""
    version = subprocess.run([prometheus, "--version"], capture_output=True, text=True).stdout
    load = os.getloadavg()[0]
    series = (data / "series").read_text()
    print(f"{' '.join(version.split()[:3])}, {series} series, load average {load:.1f}", flush=True)
    with serving(prometheus, data / "tsdb"):
        settle(data / "tsdb")
    with serving(prometheus, data / "tsdb") as (server, pid):
        found = [timed(query, server, pid) for query in queries()]
        rules = {name: evaluated(server, pid, rules) for name, rules in growth().items()}
    print("| page / panel | query | kind | cold, s | median, s | CPU, s | series |\n|---|---|---|---|---|---|---|")
    for each in sorted(found, key=lambda each: -each.median):
        kind = "instant" if each.query.target["instant"] else "range"
        times = (f"{each.cold:.2f}", f"{each.median:.3f}", f"{each.cpu:.2f}")
        cells = (str(each.query.panel), each.query.target["refId"], kind, *times)
        print(f"| {' | '.join(cells)} | {each.series} |")
    for kind, instant in (("range", False), ("instant, over the range", True)):
        of_kind = [each for each in found if each.query.target["instant"] is instant]
        median, cold = max(each.median for each in of_kind), max(each.cold for each in of_kind)
        over = sum(each.median >= 1 for each in of_kind)
        print(f"{kind}: {len(of_kind)} queries, worst {median:.2f} s (cold {cold:.2f} s), {over} take 1 s or more")

    for name, seconds in rules.items():
        print(f"group {name}: {seconds:.2f} s of a processor for one evaluation")


def settle(folder: Path, seconds: float = 900.0) -> None:
    """Wait until Prometheus has made one block of those that overlap, which it does by itself soon after the start."""
    end = time.monotonic() + seconds
    while len(list(folder.glob("*/meta.json"))) > 1 and time.monotonic() < end:
        time.sleep(1)


def growth() -> dict[str, list[str]]:
    """Expressions of the groups that record growth, without its sums by fewer labels."""
    document = yaml.safe_load((month.RULES / "recording-growth.yml").read_text())
    return {
        group["name"]: [rule["expr"] for rule in group["rules"] if ":growth" not in rule["expr"]]
        for group in document["groups"]
    }


def evaluated(server: Server, pid: int, expressions: list[str]) -> float:
    """Processor seconds of one evaluation of each, the mean of three."""
    before = processes.cpu_seconds(pid)
    for expression in expressions * 3:
        answer = server.ask("/api/v1/query", query=expression, time=month.END)
        if not answer["data"]["result"]:
            raise RuntimeError(f"no growth: {expression}")
    return (processes.cpu_seconds(pid) - before) / 3


def queries() -> Iterator[Query]:
    """Every range query, and those at an instant that read the whole range of what the database has."""
    for page in pages():
        for panel in page.panels:
            wide = panel.json["gridPos"]["w"] * WIDTH // 24
            sized = replace(panel, json={"maxDataPoints": wide, **panel.json})
            for target in panel.targets:
                if not target["instant"] or _over_range(target["expr"]):
                    yield Query(page, sized, target)


def _over_range(text: str) -> bool:
    read = ("growth5m", "growth10m", "openai_probe_", "openai_api_")
    return "$__range" in text and any(name in text for name in read)


def timed(query: Query, server: Server, pid: int) -> Timed:
    """One query: once, and then the medians of three."""
    cold, series = query.ask(server)
    taken, spent = [], []
    for _ in range(ROUNDS):
        before = processes.cpu_seconds(pid)
        taken.append(query.ask(server)[0])
        spent.append(processes.cpu_seconds(pid) - before)
    return Timed(query, cold, statistics.median(taken), statistics.median(spent), series)


@contextmanager
def serving(prometheus: str, folder: Path) -> Iterator[tuple[Server, int]]:
    """Prometheus on the database, and its process; it scrapes nothing and deletes nothing."""
    port = processes.free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write("{}\n")
        config.flush()
        argv = [prometheus, f"--config.file={config.name}", f"--storage.tsdb.path={folder}"]
        argv += ["--storage.tsdb.retention.time=10y", f"--web.listen-address=127.0.0.1:{port}"]
        with processes.running(argv) as child:
            processes.wait_until_ok(port, "/-/ready", 120)
            yield Server(f"http://127.0.0.1:{port}"), child.pid


if __name__ == "__main__":
    main(sys.argv[1:])

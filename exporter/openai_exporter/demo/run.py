# SPDX-License-Identifier: Apache-2.0
"""Runs a plan: starts everything, shows it, and ends it all on Ctrl-C, SIGTERM or a failure."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from rich.console import Console

from openai_exporter.demo import history, processes, watch
from openai_exporter.demo.plan import Plan, Planner, held
from openai_exporter.errors import StartError

INTERVAL = 5.0
START_TIMEOUT = 60.0


class Scraper(threading.Thread):
    """Scrapes what `/sd` lists, for a demo without Prometheus: the exporter's pages still show recent results.

    Attributes:
        targets, up: how many targets there are, and how many of them answer.
    """

    def __init__(self, exporter: str, interval: float = INTERVAL) -> None:
        super().__init__(name="scraper", daemon=True)
        self._exporter = exporter
        self._interval = interval
        self._over = threading.Event()
        self.targets = 0
        self.up = 0

    def run(self) -> None:
        """Scrape until `stop`."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            while not self._over.is_set():
                listed = self._get("/sd")
                groups = listed.json() if listed else []
                self.up = sum(pool.map(self._scrape, groups))
                self.targets = len(groups)
                self._over.wait(self._interval)

    def stop(self) -> None:
        """End the thread after the round that is under way."""
        self._over.set()

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> requests.Response | None:
        """The response when it is 200."""
        try:
            response = requests.get(f"{self._exporter}{path}", params=params, timeout=2 * self._interval)
        except requests.RequestException:
            return None
        return response if response.status_code == 200 else None

    def _scrape(self, group: Mapping[str, Any]) -> bool:
        labels, prefix = group["labels"], "__param_"
        params = {name.removeprefix(prefix): labels[name] for name in labels if name.startswith(prefix)}
        return self._get(labels.get("__metrics_path__", "/metrics"), params) is not None


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line asks for.

    Attributes:
        data: folder for logs and databases; emptied first.
        bundle: folder with the rules and dashboards.
        real: probe the API of the environment instead of the simulator.
        config: configuration of the exporter when `real`; None for the built-in one.
        seed: seed of the simulated organization.
        history_days: how much of its past is filled in.
        schedule: what happens by itself.
    """

    data: Path
    bundle: Path
    real: bool = False
    config: Path | None = None
    seed: int = 1
    history_days: int = 30
    schedule: watch.Schedule = field(default_factory=watch.Schedule)


def run_demo(settings: DemoSettings, console: Console) -> int:
    """Run the demo until it is told to end; returns the exit status.

    Raises:
        StartError: the folder is taken, or a service did not start; everything that had started is stopped again.
    """
    data = settings.data.resolve()
    installed = (processes.PROMETHEUS, processes.PROMTOOL, processes.ALERTMANAGER, processes.GRAFANA)
    programs = {program: path for program in installed if (path := program.find())}
    began = time.monotonic()
    with held(data), _stopping(settings.schedule.end) as stop:
        planner = Planner(data, programs, settings.bundle.resolve(), settings.seed, settings.history_days)
        supervisor = processes.Supervisor(data / "logs")
        try:
            plan = planner.plan(real=settings.real, config=settings.config)
            plan = _start(plan, planner.ports, supervisor, stop, console)
            if not stop.is_set():
                _watch(plan, supervisor, stop, settings.schedule, console, began)
            elif settings.schedule.end is not None:
                console.print("the time of --seconds was over before everything ran", markup=False)
            return 0
        finally:
            planner.ports.close()
            supervisor.stop()
            console.print(f"stopped; logs are in {data / 'logs'}", soft_wrap=True, markup=False)


def _start(
    plan: Plan, ports: processes.Ports, supervisor: processes.Supervisor, stop: threading.Event, console: Console
) -> Plan:
    """Start the services one after the other, until `stop`; returns the plan with more notes."""
    for service in plan.services:
        if stop.is_set():
            break
        if service.name == "prometheus":
            plan = _with_past(plan, stop, console)
        console.print(f"starting {service.name} …", style="dim")
        ports.release(urlsplit(service.url).port)
        supervisor.start(service, timeout=START_TIMEOUT, stopping=stop.is_set)
    return plan


def _watch(
    plan: Plan,
    supervisor: processes.Supervisor,
    stop: threading.Event,
    schedule: watch.Schedule,
    console: Console,
    began: float,
) -> None:
    watch.overview(plan, console)
    scraper = Scraper(plan.exporter)

    def read() -> watch.State:
        if plan.prometheus is not None:
            return watch.read_state(plan.prometheus, plan.pages)
        return watch.State(targets=scraper.targets, targets_up=scraper.up)

    def windows() -> Mapping[str, float]:
        return watch.read_windows(plan.prometheus) if plan.prometheus else {}

    def check() -> None:
        for service, status in supervisor.ended():
            raise StartError(f"{service.name} ended by itself with status {status}; see its log")

    if plan.prometheus is None:
        scraper.start()
    try:
        watch.Watch(read, check, windows, plan.simulator, schedule, console, began).run(stop)
    finally:
        scraper.stop()


def _with_past(plan: Plan, stop: threading.Event, console: Console) -> Plan:
    """Fill the database before its Prometheus starts; what goes wrong becomes a note."""
    if plan.past is None:
        return plan
    began = time.monotonic()

    def report(text: str) -> None:
        console.print(f"filling in the past: {text} …", style="dim", soft_wrap=True)

    problem = history.fill(plan.past, report, stop.is_set)
    if not problem:
        console.print(f"historical data imported in {time.monotonic() - began:.0f} s", style="dim")
    return replace(plan, notes=(*plan.notes, *([problem] if problem else [])))


@contextmanager
def _stopping(seconds: float | None) -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of ending the process half-way; or so many seconds do."""
    stop = threading.Event()
    timer = threading.Timer(seconds or 0, stop.set)
    if seconds is not None:
        timer.start()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        timer.cancel()
        for number, old in before.items():
            signal.signal(number, old)

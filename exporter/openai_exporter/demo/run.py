# SPDX-License-Identifier: Apache-2.0
"""Runs a plan: starts everything, shows it, and ends it all on Ctrl-C, SIGTERM or a failure."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import requests
from rich.console import Console

from openai_exporter.demo import watch
from openai_exporter.demo.files import held
from openai_exporter.demo.history import fill
from openai_exporter.demo.plan import Plan, Planner
from openai_exporter.demo.processes import (
    ALERTMANAGER,
    GRAFANA,
    PROMETHEUS,
    PROMTOOL,
    Ports,
    Supervisor,
    find,
)
from openai_exporter.demo.state import State, answers, read_state
from openai_exporter.demo.watch import Schedule, Switch, Watch
from openai_exporter.errors import StartError

# Scrapes what `/sd` lists, for a demo on a machine without Prometheus, so that the pages still live.

INTERVAL = 5.0


class Scraper(threading.Thread):
    """A thread that scrapes every target each few seconds, as Prometheus would, and keeps two counts."""

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
                groups = self._groups()
                self.up = sum(pool.map(self._scrape, groups))
                self.targets = len(groups)
                self._over.wait(self._interval)

    def stop(self) -> None:
        """End the thread after the round that is under way."""
        self._over.set()

    def _groups(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = requests.get(f"{self._exporter}/sd", timeout=self._interval).json()
        except (requests.RequestException, ValueError):
            return []
        return found

    def _scrape(self, group: dict[str, Any]) -> bool:
        labels: dict[str, str] = group["labels"]
        prefix = "__param_"
        params = {
            name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)
        }
        url = f"{self._exporter}{labels.get('__metrics_path__', '/metrics')}"
        try:
            return requests.get(url, params=params, timeout=2 * self._interval).status_code == 200
        except requests.RequestException:
            return False


# Runs a plan: starts everything, shows it, and ends it all on Ctrl-C, SIGTERM or a failure.

START_TIMEOUT = 60.0


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
    schedule: Schedule = field(default_factory=Schedule)


def run_demo(settings: DemoSettings, console: Console) -> int:
    """Run the demo until it is told to end; returns the exit status.

    Raises:
        StartError: the folder is taken, or a service did not start; everything that had started is stopped again.
    """
    data = settings.data.resolve()
    with held(data):
        return _in_folder(data, settings, console)


def _in_folder(data: Path, settings: DemoSettings, console: Console) -> int:
    found = {each: path for each in (PROMETHEUS, PROMTOOL, ALERTMANAGER, GRAFANA) if (path := find(each))}
    planner = Planner(data, found, settings.bundle.resolve(), settings.seed, settings.history_days)
    supervisor = Supervisor(data / "logs", answers)
    with _stopping() as stop:
        try:
            plan = planner.plan(real=settings.real, config=settings.config)
            return _run(plan, planner.ports, supervisor, stop, settings, console)
        finally:
            planner.ports.close()
            supervisor.stop()
            console.print(f"stopped; logs are in {data / 'logs'}", soft_wrap=True, markup=False)


def _run(
    plan: Plan,
    ports: Ports,
    supervisor: Supervisor,
    stop: threading.Event,
    settings: DemoSettings,
    console: Console,
) -> int:
    for service in plan.services:
        if service.name == "prometheus":
            plan = _with_past(plan, stop, console)
        console.print(f"starting {service.name} …", style="dim")
        ports.release(urlsplit(service.ready_url).port)
        supervisor.start(service, timeout=START_TIMEOUT, stopping=stop.is_set)
        if stop.is_set():
            return 0
    watch.overview(plan, console)
    scraper = None if plan.prometheus else Scraper(plan.exporter)
    if scraper is not None:
        scraper.start()
    try:
        switch = None if plan.simulator is None else Switch(plan.simulator)
        Watch(_reader(plan, scraper), lambda: _complain(supervisor), switch, settings.schedule, console).run(
            stop
        )
    finally:
        if scraper is not None:
            scraper.stop()
    return 0


def _with_past(plan: Plan, stop: threading.Event, console: Console) -> Plan:
    """Fill the database before its Prometheus starts; what goes wrong becomes a note."""
    if plan.past is None or stop.is_set():
        return plan
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"filling in the past: {text} …", style="dim", soft_wrap=True)

    problem = fill(plan.past, tell, stop.is_set)
    if not problem:
        console.print(f"the past is there, in {time.monotonic() - began:.0f} s", style="dim")
    return replace(plan, notes=(*plan.notes, *([problem] if problem else [])))


def _reader(plan: Plan, scraper: Scraper | None) -> Callable[[], State]:
    if plan.prometheus is not None:
        prometheus, pages = plan.prometheus, plan.pages
        return lambda: read_state(prometheus, pages)
    return lambda: replace(State(), targets=scraper.targets, targets_up=scraper.up) if scraper else State()


def _complain(supervisor: Supervisor) -> None:
    for service, status in supervisor.ended():
        raise StartError(f"{service.name} ended by itself with status {status}; see its log")


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of ending the process half-way."""
    stop = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)

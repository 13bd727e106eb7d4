# SPDX-License-Identifier: Apache-2.0
"""Prometheus servers on made-up data: one that ends in an outage, one with many keys, one that is empty."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.demo.plan import exporter_document
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.dashboards.data import scenarios
from tests.dashboards.data.organization import small_organization
from tests.dashboards.data.rules import fill_in, needed, recorded_names
from tests.dashboards.data.timeline import HOUR
from tests.dashboards.data.tsdb import PROMTOOL, Server, load, serving
from tests.dashboards.grafana import Range
from tests.dashboards.pages import expressions, pages
from tests.mixin.bundle import mixin
from tests.stack.programs import KEYS, PROMETHEUS, running_exporter

END = int(datetime(2026, 11, 18, 15, 0, tzinfo=UTC).timestamp())
"""A Wednesday in the middle of a month, so that forecasts are due whatever the day of the test."""
OUTAGE = END - 40 * 60


@dataclass(frozen=True)
class World:
    """A server and the two moments at which it is looked at."""

    server: Server
    healthy: Range
    outage: Range


def _groups(settings: str = "{}") -> list[Mapping[str, Any]]:
    """The recording rules that pages need."""
    wanted = {name for page in pages() for _, text in expressions(page) for name in recorded_names(text)}
    return needed(mixin("prometheusRules", settings)["groups"], wanted)


def _needs_programs() -> None:
    if PROMETHEUS is None or PROMTOOL is None:
        pytest.skip("prometheus and promtool are not installed")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days and a half, the last forty minutes of it an outage."""
    _needs_programs()
    folder = tmp_path_factory.mktemp("world") / "data"
    # Two days of comparison are enough to see a band.
    groups = _groups("{ anomaly+: { minDays: 2 } }")
    scenarios.build(folder, scenarios.timeline(END, 2.2, fine=7 * HOUR), groups, OUTAGE)
    with serving(folder) as server:
        yield World(server, Range(OUTAGE - 6 * HOUR, OUTAGE - 60), Range(END - 6 * HOUR, END))


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Range]]:
    """Thirty projects with a hundred and fifty keys."""
    _needs_programs()
    folder = tmp_path_factory.mktemp("crowd") / "data"
    groups = [
        group for group in _groups() if group["name"].startswith(("openai-usage", "openai-budgets", "openai-limits"))
    ]
    scenarios.build_large(folder, scenarios.timeline(END, 0.15, fine=HOUR), groups)
    with serving(folder) as server:
        yield server, Range(END - 3 * HOUR, END)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three hours of usage of which names are known in the last one only, as where the past was imported."""
    _needs_programs()
    folder = tmp_path_factory.mktemp("imported") / "data"
    when = scenarios.timeline(END, 0.125, fine=3 * HOUR)
    known = [None if moment < END - HOUR else 1.0 for moment in when.times]
    found = scenarios.all_series(small_organization(), when, scenarios.NEVER)
    load(folder, when, (replace(each, values=known) if each.name.endswith("_info") else each for each in found))
    fill_in(folder, when, [group for group in _groups() if group["name"].startswith("openai-usage-growth")])
    with serving(folder) as server:
        yield server


@dataclass(frozen=True)
class Chain:
    """Simulator, exporter and Prometheus with our rules and the alerts on availability, scraped every two seconds."""

    server: Server
    simulator: SimulatorControl
    started: float

    @property
    def so_far(self) -> Range:
        """From the first scrape until now."""
        return Range(self.started, time.time(), hurried=5.0)


@contextmanager
def running_chain(
    folder: Path, change: Callable[[dict[str, Any]], object] = dict, scale: float = 0.02, **simulated: Any
) -> Iterator[Chain]:
    """Args: `change` adapts the exporter's configuration, `scale` the rules' times; `simulated`: of the simulator."""
    _needs_programs()
    rules = folder / "rules.yml"
    hurried = f"{{ probeInterval: '2s', timeScale: {scale} }}"
    alerts = [each for each in mixin("prometheusAlerts", hurried)["groups"] if each["name"].endswith("availability")]
    rules.write_text(json.dumps({"groups": mixin("prometheusRules", hurried)["groups"] + alerts}))
    with running_simulator(**simulated) as simulator:
        document = exporter_document(simulator.base_url)
        change(document)
        storage = ("--storage.path", str(folder / "kept"))
        with running_exporter(folder, KEYS, document, *storage) as exporter:
            config = _scraping(f"{exporter.url}/sd?scrape_interval=2s", str(rules))
            with serving(folder / "data", config) as server:
                yield Chain(server, simulator, time.time())


def few_probes(document: dict[str, Any]) -> None:
    """One of each kind: a busy machine sends them in time."""
    kinds = {each["module"]: each | {"models": each["models"][:1]} for each in document["probes"] if "models" in each}
    document["probes"] = [{"target": "openai", "module": "models"}, kinds["chat_stream"], kinds["embeddings"]]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The simulated organization as the demo shows it, with answers that a busy machine has within two seconds."""
    with running_chain(tmp_path_factory.mktemp("chain"), latency_scale=0.1) as found:
        yield found


@pytest.fixture(scope="module")
def probes_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """An exporter without an admin key: no organization, no budgets."""

    def without(document: dict[str, Any]) -> None:
        del document["organizations"], document["budgets"]

    with running_chain(tmp_path_factory.mktemp("probes"), without, latency_scale=0.1) as found:
        yield found


@pytest.fixture(scope="module")
def many_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A simulated organization of twenty projects with two hundred keys."""
    large = {"projects": 20, "keys": 200, "users": 60, "latency_scale": 0}
    with running_chain(tmp_path_factory.mktemp("many"), few_probes, **large) as found:
        yield found


def _scraping(discovery: str, rules: str) -> dict[str, object]:
    pace = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    job = {"job_name": "openai", "http_sd_configs": [{"url": discovery, "refresh_interval": "1s"}]}
    return {"global": pace, "rule_files": [rules], "scrape_configs": [job]}


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An empty database."""
    _needs_programs()
    with serving(tmp_path_factory.mktemp("nothing") / "data") as server:
        yield server

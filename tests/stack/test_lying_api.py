# SPDX-License-Identifier: Apache-2.0
"""Two days with an API whose answers are valid but wrong for a moment, after an imported past, in a real Prometheus."""

import asyncio
import json
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.dashboards.grafana import Range, expression
from tests.dashboards.pages import pages
from tests.exporter.report.commands import done, run, total, unix, usage
from tests.exporter.report.test_import import record_growth
from tests.exporter.usage.scraping import Now, document, service
from tests.stack.programs import Prometheus, get, samples
from tests.stack.tsdb import MISSING, Recording, make_blocks, prometheus_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(MISSING, reason="prometheus and promtool are not installed")]

MINUTE, HOUR, DAY = 60, 3600, 86_400
BEGAN = "2026-11-18T09:00:00Z"
PAST, JOINT = unix("2026-11-16"), unix(BEGAN)
END = JOINT + 48 * HOUR
USAGE, COSTS, ALL = "/v1/organization/usage", "/v1/organization/costs", "/v1/organization"
Lie = list[dict[str, Any]]
LIES: dict[str, Lie] = {
    "the running hour vanishes": [{"kind": "lost_buckets", "path": USAGE, "seconds_ago": 0}],
    "an open hour vanishes": [{"kind": "lost_buckets", "path": USAGE, "seconds_ago": 2 * HOUR}],
    "an open hour is empty": [{"kind": "lost_buckets", "path": USAGE, "seconds_ago": 2 * HOUR, "shape": "empty"}],
    "a settled day vanishes": [{"kind": "lost_buckets", "path": USAGE, "seconds_ago": 2 * DAY}],
    "every bucket vanishes": [{"kind": "lost_buckets", "path": ALL}],
    "every bucket is empty": [{"kind": "lost_buckets", "path": ALL, "shape": "empty"}],
    "replicas differ": [{"kind": "revise_down", "path": USAGE, "factor": 0.9, "running": True, "probability": 0.5}],
    "closed hours shrink": [{"kind": "revise_down", "path": USAGE, "factor": 0.5}],
    "projects and keys are null": [{"kind": "null_labels", "path": USAGE}],
    "models are null": [{"kind": "null_labels", "path": USAGE, "names": ["model"]}],
    "page 2 repeats page 1": [{"kind": "repeated_buckets", "path": ALL}],
    "a bucket is twice in a page": [{"kind": "repeated_buckets", "path": ALL, "where": "page"}],
    "pages without has_more": [
        {"kind": "short_pages", "path": ALL},
        {"kind": "missing_fields", "path": ALL, "fields": ["has_more"]},
    ],
    "buckets without results": [{"kind": "missing_fields", "path": ALL, "fields": ["results"]}],
    "rows without a count": [{"kind": "missing_fields", "path": USAGE, "fields": ["input_tokens"]}],
    "costs without an amount": [{"kind": "missing_fields", "path": COSTS, "fields": ["amount"]}],
    "cursors go round": [{"kind": "page_loop", "path": ALL}],
    "Date is 40 days ahead": [{"kind": "odd_date", "path": ALL}],
    "Date is 40 days behind": [{"kind": "odd_date", "path": ALL, "offset_seconds": -40 * DAY}],
    "one Date in two is of another month": [
        {"kind": "odd_date", "path": ALL, "offset_seconds": 20 * DAY, "probability": 0.5}
    ],
    "days lag behind hours": [{"kind": "late_buckets", "path": USAGE, "by_seconds": DAY, "width": "1d"}],
    "no list of users, none of projects": [
        {"kind": "status", "path": f"{ALL}/users", "status": 404},
        {"kind": "status", "path": f"{ALL}/projects", "status": 403},
    ],
    "usage is an hour late": [{"kind": "late_buckets", "path": USAGE, "by_seconds": HOUR}],
    "several of these at once": [
        {"kind": "lost_buckets", "path": USAGE, "seconds_ago": HOUR, "probability": 0.5},
        {"kind": "revise_down", "path": USAGE, "factor": 0.9, "running": True, "probability": 0.5},
        {"kind": "short_pages", "path": ALL, "buckets": 1},
    ],
}
TITLE = "48 hours of a lying API, and the days before"
RESTARTS = {(2, 15), (3, 30), (3, 45)}
"""In which hour of five, and in which minute of it, the exporter is stopped and started."""
MORE = """
  refresh_interval: 500ms
  full_refresh_interval: 50m
  names_interval: 20m
  limits: false
"""
"""Full reads fall on all minutes of an hour."""


def summed(page: dict[str, float], metric: str) -> float:
    return sum(value for series, value in page.items() if series.startswith(metric + "{"))


@dataclass
class Walk:
    """Two days: in each hour the API lies from the first quarter to a later one, and says the truth at its end.

    Attributes:
        hours: the lie of each hour, and the last page of it.
        highest: each counter's highest value.
        fallen: counters that fell, with the lie.
        nameless: lies during which there was no project's or no user's name.
        refused: the datasets that were not up during each lie; "" for the truth.
    """

    simulator: SimulatorControl
    folder: Path
    now: Now = field(default_factory=lambda: Now(JOINT))
    recording: Recording = field(
        default_factory=lambda: Recording(job="openai", organization="acme", instance="exporter:9985")
    )
    hours: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    highest: dict[str, float] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    refused: dict[str, set[str]] = field(default_factory=dict)

    def started(self) -> UsageService:
        return service(self.simulator.api_url, self.now, more=MORE, storage=self.folder)

    async def go(self) -> None:
        """All of it."""
        usage = self.started()
        self.hours.append(("", await self.scrape(usage, JOINT)))
        for number, start in enumerate(range(JOINT, END, HOUR)):
            usage = await self.hour(usage, start, number)
        await usage.close()

    async def scrape(self, usage: UsageService, moment: int, lie: str = "") -> dict[str, float]:
        """One scrape at a time, recorded."""
        self.now.seconds = self.simulator.clock(now=moment)
        page = samples((await usage.page()).body().decode())
        self.recording.add(moment, page)
        for series, value in page.items():
            if "_total{" in series and "_corrections_" not in series:
                if value < self.highest.get(series, 0):
                    self.fallen.append(f"{lie}: {series}")
                self.highest[series] = value
        if not summed(page, metrics.PROJECT_INFO.name) or not summed(page, metrics.USER_INFO.name):
            self.nameless.append(lie)
        down = {
            series.partition('"')[2].rstrip('"}') for series, up in page.items() if up == 0 and "usage_up{" in series
        }
        self.refused.setdefault(lie, set()).update(down)
        return page

    async def hour(self, usage: UsageService, start: int, number: int) -> UsageService:
        """One hour: the lie begins after a quarter, and what is scraped last is true.

        Nothing is scraped in the first ten minutes, so that what the rules record then is of the hour before.
        """
        lie = list(LIES)[number % len(LIES)]
        # What all answers of ten minutes repeat of the time is believed.
        ends = 30 if "Date" in lie or number >= len(LIES) else 45
        for minute in range(15, 60, 15):
            for fault in LIES[lie] if minute == 15 else ():
                self.simulator.fault(**fault)
            if minute == ends:
                self.simulator.clear()
            if (number % 5, minute) in RESTARTS:
                await usage.close()
                usage = self.started()
            await self.scrape(usage, start + minute * MINUTE, lie if minute < ends else "")
        # Series that began in the last minutes show 0 in the one, their value in the other.
        await self.scrape(usage, start + HOUR - 1)
        self.hours.append((lie, await self.scrape(usage, start + HOUR)))
        return usage


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator(
        latency_scale=0, seed=5, clock=JOINT, speed=0, late_seconds=0, projects=3, keys=6, users=4
    ) as control:
        yield control


@pytest.fixture(scope="module")
def walk(simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    made = Walk(simulator, tmp_path_factory.mktemp("kept"))
    asyncio.run(made.go())
    return made


FIGURES = {
    "openai_usage_requests_total": "num_model_requests",
    "openai_usage_input_tokens_total": "input_tokens",
    "openai_usage_input_cached_tokens_total": "input_cached_tokens",
    "openai_usage_output_tokens_total": "output_tokens",
}
"""Counters, and their fields in the ledger."""


def test_counters_grow_by_what_was_used_in_each_hour_and_never_fall(walk: Walk, note: Note) -> None:
    differences = {}
    for hour, ((_, before), (lie, after)) in enumerate(pairwise(walk.hours)):
        start = JOINT + hour * HOUR
        rows = usage(walk.simulator, start, start + HOUR)
        for counter, name in FIGURES.items():
            differences[hour, lie, name] = summed(after, counter) - summed(before, counter) - total(rows, name)
    note(TITLE, f"counters, 48 hours: {largest(differences.values())}")
    assert {} == {key: off for key, off in differences.items() if off}
    assert [] == walk.fallen


def largest(differences: Iterable[float]) -> str:
    return f"largest difference from the ledger {max(map(abs, differences)):.0f}"


def test_each_lie_that_makes_an_answer_incomplete_is_told(walk: Walk) -> None:
    both = {"completions", "embeddings"}
    expected = {lie: set[str]() for lie in ["", *LIES]} | {
        "every bucket vanishes": both | {"costs"},
        "every bucket is empty": {"costs"},
        "projects and keys are null": both,
        "models are null": both,
        "page 2 repeats page 1": both | {"costs"},
        "a bucket is twice in a page": both | {"costs"},
        "buckets without results": both | {"costs", "cost_drift"},
        "rows without a count": both,
        "costs without an amount": {"costs"},
        "cursors go round": both | {"costs"},
        "no list of users, none of projects": {"names"},
        # Of an exporter that starts in that minute: it knows no time that it could go on with.
        "Date is 40 days ahead": both | {"costs"},
        "Date is 40 days behind": both | {"costs"},
    }
    assert expected == walk.refused
    assert [] == walk.nameless


@pytest.fixture(scope="module")
def prometheus(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """What was scraped and recorded of it, and an import of the days before that was made in the end."""
    folder, simulator = tmp_path_factory.mktemp("prometheus"), walk.simulator
    config, past = folder / "exporter.yml", folder / "past.om"
    config.write_text(document(simulator.api_url, MORE).replace("KEY", "OPENAI_ADMIN_KEY"))
    make_blocks(walk.recording.write(folder / "live.om"), folder / "data")
    record_growth(folder, JOINT, END + 600)
    arguments = (
        "backfill", "--config.file", str(config), "-o", str(past), "--from", "2026-11-15",
        "--scraped-since", BEGAN, "--label", "instance=exporter:9985", "--no-resume",
    )  # fmt: skip
    with prometheus_of(folder, folder / "data") as live:
        for kind in ("repeated_buckets", "page_loop"):
            simulator.fault(kind, USAGE)
            assert run(simulator, *arguments, "--prometheus", live.url).exit_code == 1
            simulator.clear()
        for fault in LIES["pages without has_more"]:
            simulator.fault(**fault)
        done(run(simulator, *arguments, "--prometheus", live.url))
        simulator.clear()
    make_blocks(past, folder / "data")
    with prometheus_of(folder, folder / "data") as found:
        yield found


HOURS = range(PAST + HOUR, END + 1, HOUR)
"""The ends of hours before and after the joint."""


def series(prometheus: Prometheus, query: str, when: range) -> dict[int, float]:
    """A query of one series at some times."""
    parameters = {"query": query, "start": when[0], "end": when[-1], "step": when.step}
    status, body = get(f"{prometheus.url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}")
    assert status == 200, body
    (found,) = json.loads(body)["data"]["result"]
    return {int(at): float(value) for at, value in found["values"]}


@pytest.mark.parametrize(("counter", "name"), FIGURES.items(), ids=FIGURES.values())
def test_increase_is_what_was_used_in_each_hour(
    prometheus: Prometheus, walk: Walk, note: Note, counter: str, name: str
) -> None:
    # The millisecond takes in the sample at the window's start.
    increase = f"sum(round(increase({counter}[3600001ms]) * 3600000 / 3600001))"
    assert_ledger(series(prometheus, increase, HOURS), walk, note, f"increase() of {name}", name)


BARS = {
    ("Total tokens", "A"): ("input_tokens", "output_tokens"),
    ("Input and output tokens", "A"): ("input_tokens",),
    ("Input and output tokens", "B"): ("output_tokens",),
    ("Requests per hour", "A"): ("num_model_requests",),
}


@pytest.mark.parametrize(("panel", "fields"), BARS.items(), ids=lambda text: " ".join(text))
def test_bars_of_the_dashboard_are_what_was_used_in_each_hour(
    prometheus: Prometheus, walk: Walk, note: Note, panel: tuple[str, str], fields: tuple[str, ...]
) -> None:
    (page,) = (each for each in pages() if each.name == "usage")
    (found,) = (each for each in page.panels if each.title == panel[0])
    (target,) = (each for each in found.targets if each["refId"] == panel[1])
    query = expression(page, found, target, Range(HOURS[0], HOURS[-1]), {})
    # Bars stand at the start of their hour; rules run every ten minutes, at a second of their own.
    begins = range(HOURS[0] - HOUR + 599, HOURS[-1] - HOUR + 600, HOUR)
    bars = series(prometheus, query, begins)
    assert_ledger(
        {start - 599 + HOUR: bar for start, bar in bars.items()}, walk, note, f"bars of {' '.join(panel)}", *fields
    )


def assert_ledger(found: dict[int, float], walk: Walk, note: Note, what: str, *fields: str) -> None:
    """Each hour has what the ledger has, to the token."""
    differences = {}
    for end in HOURS:
        rows = usage(walk.simulator, end - HOUR, end)
        differences[(end - JOINT) // HOUR] = round(found[end]) - sum(total(rows, field) for field in fields)
    note(TITLE, f"{what}, {len(HOURS)} hours: {largest(differences.values())}")
    assert {} == {hour: off for hour, off in differences.items() if off}


def test_the_joint_is_no_fall_and_all_of_it_is_what_was_used(prometheus: Prometheus, walk: Walk, note: Note) -> None:
    seconds, rows = END - PAST, usage(walk.simulator, PAST, END)
    for counter, name in FIGURES.items():
        window = f"{counter}[{seconds}001ms] @ {END}"
        assert 0 == prometheus.value(f"sum(resets({window}))")
        grown = prometheus.value(f"sum(round(increase({window}) * {seconds}000 / {seconds}001))") or 0
        off = grown - total(rows, name)
        note(TITLE, f"increase() of {name} over the joint: {largest([off])}")
        assert off == 0

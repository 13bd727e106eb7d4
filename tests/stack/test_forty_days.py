# SPDX-License-Identifier: Apache-2.0
"""Forty days over a month's end: a real exporter that is broken in every way, its books, and a real Prometheus.

Prepaid credit goes the same way, with an exporter that nothing breaks.
"""

import json
import os
import random
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.rows import OPERATIONS, Column
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.report.commands import total, unix, usage
from tests.exporter.usage.test_credits import bill
from tests.stack.programs import Exporter, running_exporter, wait_for
from tests.stack.test_books import money, same_money
from tests.stack.tsdb import MISSING, Recording, make_blocks, prometheus_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(MISSING, reason="prometheus and promtool are not installed")]

START, END, MONTH, NEXT = (
    unix(text) for text in ("2026-10-12T10:20:00Z", "2026-11-21T10:20:00Z", "2026-10-01", "2026-11-01")
)
HOUR = 3600
GROUPS = {
    "completions": ("project_id", "model", "batch", "service_tier"),
    "embeddings": ("project_id", "model"),
    "images": ("project_id",),
}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "outage", "mode": "503", "scope": "organization"},
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "page_loop"},
    {"kind": "outage", "mode": "reset", "scope": "organization"},
    {"kind": "truncate", "after_bytes": 3000},
    {"kind": "late_buckets", "by_seconds": 7200},
    {"kind": "status", "status": 500, "probability": 0.5},
    {"kind": "malformed_json", "probability": 0.5},
    {"kind": "empty"},
    {"kind": "wrong_types"},
)
PATH = "/v1/organization/*"
SEEDS = [int(each) for each in os.environ.get("FORTY_DAYS_SEEDS", "3").split()]
"""Seed 3 has credits in both months; give others, such as "3 8 23 64", to sail on other courses."""
BELIEVING = "from openai_exporter.client.organization import Doubt\nDoubt.answers, Doubt.seconds = 1, 0.0\n"
"""Run as the exporter starts: its days are those of header Date, far from this machine's and hours apart."""
Series = dict[str, int]


def columns() -> Iterator[tuple[str, Column]]:
    """Every figure that the API gives."""
    return ((name, column) for name in GROUPS for column in OPERATIONS[name].sources)


def document(simulator: SimulatorControl) -> dict[str, Any]:
    organization = {
        "name": "acme",
        "base_url": simulator.api_url,
        "admin_key_env": "OPENAI_ADMIN_KEY",
        "refresh_interval": "20ms",
        "full_refresh_interval": "5h",
        "names": False,
        "limits": False,
        "costs": {"refresh_interval": "20ms"},
        "usage": {name: {"group_by": list(group)} for name, group in GROUPS.items()},
    }
    return {"organizations": [organization]}


@dataclass
class Voyage:
    """The exporter on its way through the days; each scrape is recorded at the simulated time."""

    simulator: SimulatorControl
    exporter: Exporter
    random: random.Random
    recording: Recording = field(default_factory=lambda: Recording(job="openai", organization="acme"))
    pages: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    kills: int = 0

    def scrape(self) -> dict[str, float]:
        """One scrape, now."""
        page = self.exporter.samples("/usage?organization=acme")
        moment = self.simulator.clock(advance=1)
        self.recording.add(moment, page)
        self.pages.append((moment, page))
        return page

    def sail(self, end: float, faults: Iterator[dict[str, Any]]) -> None:
        """Steps of minutes and hours; each few of them something breaks for a while."""
        number = 0
        while self.pages[-1][0] < end:
            number += 1
            self.simulator.clock(advance=self.random.choice((20 * 60, 2 * HOUR, 6 * HOUR, 8 * HOUR, 12 * HOUR)))
            if number % 9 == 3:
                self.simulator.fault(path=PATH, **next(faults))
            if number % 9 == 6:
                self.mend()
            if number % 40 == 5:  # while something is broken
                self.kill()
            self.scrape()
        self.mend()

    def mend(self) -> None:
        """End what is broken, and let the exporter find out: it waits a real second when told so by a 429."""
        self.simulator.clear()
        wait_for(self.up, 120, "every dataset is read again")

    def up(self) -> bool:
        """Whether the last read of each dataset succeeded, after a scrape."""
        page = self.scrape()
        return all(page.get(f'{metrics.UP.name}{{dataset="{name}"}}') == 1 for name in (*GROUPS, "costs"))

    def kill(self) -> None:
        """`kill -9` and a start."""
        self.kills += 1
        self.exporter.kill()
        self.exporter.start()

    def settle(self) -> None:
        """Scrape until the page says what the books say."""
        wait_for(lambda: differences(self.scrape(), self.simulator) == {}, 120, "the page equals the books")


def labels(operation: str, row: dict[str, Any], column: Column) -> str:
    """A row's labels as the page writes them."""
    named = {"operation": operation} | {name: row[name] for name in GROUPS[operation]}
    texts = ((name, named.get(name)) for name in column.metric.labels)
    pairs = ((name, str(value).lower() if isinstance(value, bool) else value) for name, value in texts)
    return ",".join(f'{name}="{value}"' for name, value in pairs if value)


def booked(simulator: SimulatorControl) -> Series:
    """Every counter that this month's books give."""
    rows = simulator.state()["books"]["arrived"]
    sums: Series = {}
    for operation, column in columns():
        for row in rows[operation]:
            series = f"{column.metric.name}{{{labels(operation, row, column)}}}"
            sums[series] = sums.get(series, 0) + (row.get(column.source) or 0)
    return {series: value for series, value in sums.items() if value}


def shown(page: dict[str, float]) -> Series:
    """Every such counter of a page."""
    names = {column.metric.name for _, column in columns()}
    return {s: int(value) for s, value in page.items() if s.partition("{")[0] in names and value}


def differences(page: dict[str, float], simulator: SimulatorControl) -> dict[str, Any]:
    """Where page and books differ: series, and (page, books)."""
    found, expected = shown(page), booked(simulator)
    wrong: dict[str, Any] = {
        series: (found.get(series), expected.get(series))
        for series in found.keys() | expected.keys()
        if found.get(series) != expected.get(series)
    }
    billed = simulator.state()["books"]["billed_cost_usd"]["arrived"]
    for dimension in ("project_id", "line_item"):
        told, month = billed[f"by_{dimension.removesuffix('_id')}"], metrics.COSTS_MONTH.name
        if not same_money(told, money(page, month, dimension)):
            wrong[dimension] = (money(page, month, dimension), told)
    for window in ("today", "yesterday"):
        told, begin = float(billed[window]), f'{metrics.COSTS_DAY.name}{{window="{window}"'
        found_usd = sum(usd for series, usd in page.items() if series.startswith(begin))
        if found_usd != pytest.approx(told, rel=1e-12):
            wrong[window] = (found_usd, told)
    if page.get(metrics.COSTS_PREVIOUS_MONTH.name) != pytest.approx(float(billed["previous_month"])):
        wrong["previous_month"] = (page.get(metrics.COSTS_PREVIOUS_MONTH.name), billed["previous_month"])
    return wrong


def figure(page: dict[str, float], metric: str, operation: str, column: Column) -> float:
    """A gauge or counter of one operation and field."""
    return page.get(f'{metric}{{operation="{operation}",field="{column.name}"}}', 0.0)


def summed(page: dict[str, float], operation: str, column: Column) -> float:
    """A counter over all its series."""
    start = f'{column.metric.name}{{operation="{operation}"'
    return sum(value for series, value in page.items() if series.startswith(start))


def stop_usage(simulator: SimulatorControl) -> None:
    """Let no more usage happen."""
    url = f"{simulator.base_url}/_simulator/organization/stop"
    body = json.dumps({"at": simulator.clock()}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body), timeout=10).close()


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def voyage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voyage]:
    folder = tmp_path_factory.mktemp("forty days")
    (folder / "sitecustomize.py").write_text(BELIEVING)
    keys = {"OPENAI_ADMIN_KEY": "sk-admin-test", "PYTHONPATH": str(folder)}
    rng = random.Random(request.param)
    with (
        running_simulator(clock=START, speed=0, latency_scale=0, seed=request.param) as simulator,
        running_exporter(folder, keys, document(simulator), "--storage.path", str(folder / "kept")) as exporter,
    ):
        made = Voyage(simulator, exporter, rng)
        made.settle()
        sailing = iter(FAULTS * 9)
        made.sail(NEXT - 5 * 24 * HOUR, sailing)
        simulator.fault("revise_down", path="/v1/organization/usage/*", factor=0.8)
        made.scrape()
        simulator.clock(advance=6 * HOUR)
        made.scrape()
        simulator.clear()
        made.sail(END, sailing)
        stop_usage(simulator)
        simulator.clock(advance=26 * HOUR)
        yield made


def test_every_figure_equals_the_books_in_the_end(voyage: Voyage) -> None:
    voyage.settle()

    assert voyage.kills >= 4
    assert len(booked(voyage.simulator)) > 60
    billed = voyage.simulator.state()["books"]["billed_cost_usd"]["arrived"]["by_line_item"]
    assert float(billed["credit"]) < 0


def test_the_closed_month_is_told_to_the_end(voyage: Voyage) -> None:
    page = voyage.pages[-1][1]
    for operation, column in columns():
        expected = total(usage(voyage.simulator, MONTH, NEXT, (operation,)), column.source)
        assert expected == figure(page, metrics.PREVIOUS_MONTH.name, operation, column)


def test_nothing_goes_down_but_at_the_beginning_of_the_month(voyage: Voyage) -> None:
    fallen: dict[str, list[tuple[float, float]]] = {}
    for (_, before), (moment, after) in pairwise(voyage.pages):
        for series, value in before.items():
            name = series.partition("{")[0]  # corrections fall when the API pays back
            if "_total" in name and name != metrics.CORRECTIONS.name and after.get(series, value) < value:
                fallen.setdefault(series, []).append((moment, after[series]))

    assert len(fallen) > 60
    assert {1} == {len(falls) for falls in fallen.values()}
    assert {0.0} == {value for falls in fallen.values() for _, value in falls}
    moments = {moment for falls in fallen.values() for moment, _ in falls}
    assert NEXT <= min(moments) <= max(moments) < NEXT + 24 * HOUR


def test_increase_in_prometheus_is_what_was_used(voyage: Voyage, tmp_path: Path) -> None:
    blocks = tmp_path / "blocks"
    make_blocks(voyage.recording.write(tmp_path / "scrapes.om"), blocks)
    (begun, first), (ended, last) = voyage.pages[0], voyage.pages[-1]
    closing = [page for moment, page in voyage.pages if moment < NEXT][-1]
    window = f"[{int(ended - begun) + 2}s] @ {ended:.3f}"
    with prometheus_of(tmp_path, blocks) as found:
        for operation, column in columns():
            used = total(usage(voyage.simulator, MONTH, int(ended), (operation,)), column.source)
            flow = used - summed(first, operation, column)
            counted = found.value(f'sum(increase({column.metric.name}{{operation="{operation}"}}{window}))')
            taken = sum(figure(page, metrics.CORRECTIONS.name, operation, column) for page in (closing, last))
            late = figure(last, metrics.PREVIOUS_MONTH_LATE.name, operation, column)
            assert counted is not None
            assert flow == pytest.approx(counted - taken + late, rel=1e-4, abs=2), (operation, column.name)


CREDITS = (
    {"date": "2026-10-26", "amount_usd": 5000},
    {"date": "2026-10-26", "amount_usd": 6000, "expires": "2026-11-09"},
    {"date": "2026-11-03", "amount_usd": 1234.56, "expires": "2027-11-03"},
)


def left(billed: Mapping[int, Decimal], moment: float) -> Decimal:
    """What is left of CREDITS: what is billed before the expiry comes from what expires."""
    begun = sum((Decimal(str(each["amount_usd"])) for each in CREDITS if unix(str(each["date"])) <= moment), Decimal(0))
    expiry = unix("2026-11-09")
    early = sum((usd for day, usd in billed.items() if day < expiry), Decimal(0))
    lost = max(6000 - early, Decimal(0)) if moment >= expiry else Decimal(0)
    return begun - sum(billed.values(), Decimal(0)) - lost


def test_the_prepaid_credit_in_prometheus_is_what_the_books_leave_of_it_to_the_cent(tmp_path: Path) -> None:
    """Twice a day over a month's end, an expiry, a further credit, and days that are corrected after their end."""
    (tmp_path / "sitecustomize.py").write_text(BELIEVING)
    keys = {"OPENAI_ADMIN_KEY": "sk-admin-test", "PYTHONPATH": str(tmp_path)}
    recording, books = Recording(job="openai", organization="acme"), list[tuple[float, dict[int, Decimal]]]()
    with running_simulator(clock="2026-10-26T09:00:00Z", speed=0, late_seconds=0, seed=3) as simulator:
        organization = document(simulator)["organizations"][0] | {"usage": {}, "credits": [*CREDITS]}
        with running_exporter(tmp_path, keys, {"organizations": [organization]}) as exporter:
            while simulator.clock() < unix("2026-11-18"):
                billed, moment = bill(simulator, unix("2026-10-26"), int(simulator.clock())), simulator.clock()
                expected = float(left(billed, moment))
                page = wait_for(partial(shows, exporter, expected), 60, f"{expected} USD")
                recording.add(moment, page)
                books.append((moment, billed))
                simulator.clock(advance=12 * HOUR)
    blocks = tmp_path / "blocks"
    make_blocks(recording.write(tmp_path / "scrapes.om"), blocks)
    with prometheus_of(tmp_path, blocks) as found:
        for moment, billed in books:
            value = found.value(f"{metrics.CREDIT_BALANCE.name} @ {moment:.3f}")
            assert value is not None
            assert round(value, 2) == float(round(left(billed, moment), 2)), moment
        expired = found.value(f"max_over_time({metrics.CREDIT_EXPIRED.name}[30d] @ {books[-1][0]:.3f})")
    early = sum(usd for day, usd in books[-1][1].items() if day < unix("2026-11-09"))
    assert expired == pytest.approx(float(6000 - early), abs=0.005)
    corrected = {day for (_, before), (_, after) in pairwise(books) for day in before if after[day] < before[day]}
    assert corrected == {unix("2026-10-29"), unix("2026-11-11")}, "credits entered after the day has ended"


def shows(exporter: Exporter, usd: float) -> dict[str, float]:
    """The page, once it has that balance."""
    page = exporter.samples("/usage")
    return page if page.get(metrics.CREDIT_BALANCE.name) == pytest.approx(usd, abs=0.001) else {}

# SPDX-License-Identifier: Apache-2.0
"""Forty days across a month's end: faults, restarts, revisions, real calls; the books agree all the way."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.ledger import month_start
from openai_exporter.usage.rows import OPERATIONS
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.scraping import Now, Scrape, counters, net, of, scrape, service

MORE = """
  names: false
  limits: false
  full_refresh_interval: 6h
  usage:
    completions: {group_by: [project_id, model, batch, service_tier]}
    embeddings: {group_by: [api_key_id, model]}
    images: {group_by: [project_id]}
    web_search_calls: {group_by: [user_id]}
"""
READ = ("completions", "embeddings", "images", "web_search_calls")
PATH = "/v1/organization/*"
DAYS, HOUR = 40, 3600
FAULTS: list[dict[str, Any]] = [
    {"kind": "outage", "mode": "503", "scope": "organization"},
    {"kind": "status", "status": 500, "probability": 0.5},
    {"kind": "truncate", "after_bytes": 3000},
    {"kind": "page_loop"},
    {"kind": "rate_limit", "retry_after": 90},
    {"kind": "malformed_json", "probability": 0.5},
    {"kind": "late_buckets", "by_seconds": 7200},
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator(
        latency_scale=0, seed=11, clock="2026-10-28T22:50:00Z", speed=0, projects=2, keys=3, users=2
    ) as control:
        yield control


class Run:
    """One walk through the days.

    Attributes:
        compared: how often the books were compared.
    """

    def __init__(self, simulator: SimulatorControl, folder: Path, seed: int) -> None:
        self.simulator = simulator
        self.folder = folder
        self.random = random.Random(seed)
        self.now = Now()
        self.time = simulator.clock()
        self.usage = self.started()
        self.last: Scrape = {}
        self.months: dict[str, int] = {}
        self.compared = 0

    def started(self) -> UsageService:
        return service(self.simulator.api_url, self.now, more=MORE, storage=self.folder)

    async def step(self) -> None:
        seconds = self.random.choice((61, 600, 3 * HOUR, 9 * HOUR, 30 * HOUR))
        self.time = self.simulator.clock(advance=seconds)
        self.now.advance(max(seconds, 301))
        await self.something_happens()
        found = scrape(await self.usage.page())
        self.check_direction(found)
        if set(READ) <= self.fresh(found) and not self.simulator.faults():
            await self.compare(found)
        self.last = found

    def fresh(self, found: Scrape) -> set[str]:
        """The datasets that were read just now."""
        read = of(found, metrics.LAST_SUCCESS)
        return {dict(labels)["dataset"] for labels, value in read.items() if value == self.now.seconds}

    async def something_happens(self) -> None:
        match self.random.randrange(8):
            case 0:
                self.simulator.fault(path=PATH, **self.random.choice(FAULTS))
            case 1 | 2:
                self.simulator.clear()
            case 3:
                await self.usage.close()
                self.usage = self.started()

    def check_direction(self, found: Scrape) -> None:
        """Nothing goes down but at the month's beginning."""
        month = month_start(self.time)
        for operation in READ:
            if self.months.get(operation) == month:
                before = {k: v for k, v in counters(self.last).items() if ("operation", operation) in k[1]}
                assert {k: v for k, v in before.items() if found[k] < v} == {}
            elif operation in self.fresh(found):
                self.months[operation] = month

    async def compare(self, found: Scrape) -> None:
        self.now.advance(301)
        found = scrape(await self.usage.page())  # new series have shown their 0
        rows = self.simulator.state()["books"]["arrived"]
        for operation in READ:
            columns = OPERATIONS[operation].sources
            expected = {each.name: sum(row[each.source] for row in rows[operation]) for each in columns}
            actual = net(found, operation)
            assert expected == {name: actual[name] for name in expected}, operation
        self.compared += 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_books_agree_for_forty_days(simulator: SimulatorControl, tmp_path: Path, seed: int) -> None:
    simulator.clear()
    end = simulator.clock(now="2026-10-28T22:50:00Z") + DAYS * 86_400
    run = Run(simulator, tmp_path, seed)
    while run.time < end:
        await run.step()
    await run.usage.close()
    assert run.compared > 20

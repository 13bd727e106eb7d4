# SPDX-License-Identifier: Apache-2.0
"""When series appear, begin anew, and what it takes to read them."""

import json
import time
import urllib.request
from typing import Any

from openai_exporter.metrics import usage as metrics
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ALL, Now, counters, of, scrape, service, text
from tests.exporter.usage.walking import HOUR, MINUTE, arrived, later

DECEMBER = 1796083200


async def test_the_month_begins_at_zero_and_then_counts_only_itself(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    simulator.clock(now="2026-11-30T22:30:00Z")
    each = make()
    last = scrape(await each.page())
    begun = await later(simulator, now, each, 3 * HOUR)
    assert {0.0} == set(counters(begun).values())
    assert counters(begun).keys() >= counters(last).keys()
    found = await later(simulator, now, each, 0)
    kept = {series: value for series, value in counters(found).items() if value}
    assert {series: value for series, value in arrived(simulator).items() if value} == kept
    assert set(of(begun, metrics.CORRECTIONS).values()) == {0.0}


async def test_a_new_series_shows_zero_once_before_its_value(make: Make, simulator: SimulatorControl, now: Now) -> None:
    each = make()
    known = counters(scrape(await each.page()))
    embed(simulator, "text-embedding-ada-002")
    appeared: dict[Any, list[float]] = {}
    for _ in range(4):
        found = counters(await later(simulator, now, each, HOUR))
        for series in found.keys() - known.keys():
            appeared.setdefault(series, []).append(found[series])
    assert all(values[0] == 0 for values in appeared.values())
    named = {dict(labels)["model"] for _, labels in appeared}
    assert {"text-embedding-ada-002"} == named
    assert arrived(simulator) == found


def embed(simulator: SimulatorControl, model: str) -> None:
    """Really call the API, which enters its books."""
    body = json.dumps({"model": model, "input": "one two three"}).encode()
    headers = {"Authorization": "Bearer sk-test-0123456789", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{simulator.api_url}/embeddings", body, headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 200


async def test_levels_show_the_newest_day(make: Make, simulator: SimulatorControl) -> None:
    found = scrape(await make().page())
    rows = simulator.state()["books"]["arrived"]["vector_stores"]
    expected = {(("project_id", text(row["project_id"])),): float(row["usage_bytes"]) for row in rows}
    assert expected == of(found, metrics.VECTOR_STORE_BYTES)


async def test_a_refresh_costs_one_page_per_endpoint(make: Make, simulator: SimulatorControl, now: Now) -> None:
    each = make(more=ALL + "  names: false\n  limits: false\n  cost_drift: null\n")
    await each.page()
    found = await later(simulator, now, each, 11 * MINUTE)
    assert {1.0} == set(of(found, metrics.REFRESH_CALLS).values())


class Running(Now):
    """Our clock, at the same speed as the simulator's."""

    speed = 36_000

    def __call__(self) -> float:
        return self.seconds + (time.monotonic() - self.begun) * self.speed

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.begun = time.monotonic()


async def test_clocks_that_run_ten_hours_a_second_cross_a_month() -> None:
    with running_simulator(
        latency_scale=0, seed=7, clock="2026-11-30T06:00:00Z", speed=Running.speed, late_seconds=60
    ) as fast:
        now = Running(fast.clock())
        each = service(fast.api_url, now, more=ALL + "  names: false\n  limits: false\n")
        deadline = time.monotonic() + 120
        while fast.clock() < DECEMBER + 4 * HOUR:
            assert time.monotonic() < deadline
            await each.page()
        now.seconds, now.speed = fast.clock(speed=0), 0
        for _ in range(2):
            now.advance(301)
            found = scrape(await each.page())
        await each.close()
        kept = {series: value for series, value in counters(found).items() if value}
        assert {series: value for series, value in arrived(fast).items() if value} == kept

# SPDX-License-Identifier: Apache-2.0
"""How many calls are made, and what happens when an hour's are spent."""

import asyncio
import time

import pytest

from openai_exporter.metrics import usage as metrics
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.conftest import START, Make
from tests.exporter.usage.scraping import ALL, Now, Scrape, asked, counters, of, one, scrape, service, since, up
from tests.exporter.usage.walking import GROUPS, MINUTE, later


def logged(simulator: SimulatorControl) -> int:
    """All calls of the organization API so far, as the simulator logged them."""
    calls = simulator.state()["calls"]
    return sum(each["count"] for each in calls if each["path"].startswith("/v1/organization"))


async def test_a_refresh_reads_one_page_of_each_endpoint(make: Make, simulator: SimulatorControl, now: Now) -> None:
    usage = make()
    await usage.page()
    for _ in range(5):
        before = asked(usage)
        await later(simulator, now, usage, MINUTE)
        calls = since(usage, before)
        assert {*GROUPS, "vector_stores"} == calls.keys()
        assert set(calls.values()) == {1}


async def test_what_was_read_late_or_long_ago_is_caught_up_in_one_page_too(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    usage = make(more=f"{ALL}\n  full_refresh_interval: 12h\n  names: false\n  limits: false\n  cost_drift: null\n")
    await usage.page()
    before = asked(usage)
    await later(simulator, now, usage, 300 * MINUTE)
    assert set(since(usage, before).values()) == {1}


async def test_ten_scrapers_cause_no_call_more_than_one(make: Make, simulator: SimulatorControl, now: Now) -> None:
    usage = make()
    await asyncio.gather(*(usage.page() for _ in range(10)))
    alone = sum(asked(usage).values())
    before = asked(usage)
    now.advance(MINUTE)
    simulator.clock(advance=MINUTE)
    pages = await asyncio.gather(*(usage.page() for _ in range(10)))
    calls = since(usage, before)
    assert all(count == 1 for count in calls.values())
    assert len({page.body() for page in pages}) == 1
    assert one(scrape(pages[0]), metrics.CALLS) <= alone + sum(calls.values())


async def test_the_calls_of_the_last_hour_are_those_that_the_api_saw(now: Now) -> None:
    with running_simulator(latency_scale=0, clock=START, speed=0) as unused:
        usage = service(unused.api_url, now, more="  calls_per_hour: 500\n")
        found = scrape(await usage.page())
        await usage.close()
        made = one(found, metrics.CALLS)
        deadline = time.monotonic() + 30
        while logged(unused) < made:  # it logs a call after its answer
            assert time.monotonic() < deadline
        assert made == logged(unused) == sum(asked(usage).values())
    assert one(found, metrics.CALLS_LIMIT) == 500
    assert made == sum(of(found, metrics.REFRESH_CALLS).values())


async def test_when_the_calls_are_spent_the_last_figures_stay_until_the_hour_has_passed(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    usage = make(more=f"{ALL}\n  names: false\n  limits: false\n  cost_drift: null\n  calls_per_hour: 60\n")
    first = scrape(await usage.page())
    found: Scrape = {}
    for _ in range(6):
        found = await later(simulator, now, usage, MINUTE)
    before = asked(usage)
    assert one(found, metrics.CALLS) == 60
    assert 0.0 in up(found).values()
    spent = next(each for each in usage.summary().datasets if each.error)
    assert spent.reason == "call_budget"
    assert "all 60 API calls of an hour are made; raise calls_per_hour" in spent.error
    for _ in range(20):
        stale = await later(simulator, now, usage, MINUTE)
    assert counters(stale) == counters(found)
    assert not since(usage, before)
    assert counters(first).keys() <= counters(stale).keys()
    again = await later(simulator, now, usage, 60 * MINUTE)
    again = await later(simulator, now, usage, 2 * MINUTE)
    assert set(up(again).values()) == {1.0}


async def test_names_leave_calls_for_usage(make: Make, simulator: SimulatorControl, now: Now) -> None:
    more = "  usage: {completions: {group_by: [model]}}\n  cost_drift: null\n  calls_per_hour: 60\n"
    usage = make(more=f"{more}  names_interval: 1m\n")
    await usage.page()
    states: dict[str, str] = {}
    for _ in range(6):
        found = await later(simulator, now, usage, MINUTE)
        states |= {each.name: each.reason for each in usage.summary().datasets if each.error}
        assert up(found)["completions"] == 1
    assert set(states) <= {"names", "limits"}
    assert "call_budget" in states.values()
    with pytest.raises(KeyError):
        states["completions"]

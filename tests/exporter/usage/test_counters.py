# SPDX-License-Identifier: Apache-2.0
"""The month before: its books to the end, and what came too late for its counters."""

from pathlib import Path
from typing import Any

import pytest

from openai_exporter.metrics import Metric, usage as metrics
from openai_exporter.usage.counters import UNSETTLED_MONTH, PreviousMonth
from openai_exporter.usage.rows import OPERATIONS
from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import total, usage
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import Now, Scrape, of, scrape
from tests.exporter.usage.walking import DAY, HOUR, MINUTE, later

NOVEMBER, DECEMBER = 1793491200, 1796083200
MORE = """
  names: false
  limits: false
  costs: null
  usage:
    completions: {group_by: [model]}
    images: {group_by: [size]}
    web_search_calls: {group_by: [user_id]}
"""
READ = ("completions", "images", "web_search_calls")


def figures(found: Scrape, metric: Metric) -> dict[tuple[str, str], float]:
    """A gauge by operation and field."""
    named = ((dict(labels), value) for labels, value in of(found, metric).items())
    return {(labels["operation"], labels["field"]): value for labels, value in named}


def truth(simulator: SimulatorControl) -> dict[tuple[str, str], int]:
    """All that was used in November, by operation and field."""
    return {
        (operation, column.name): total(usage(simulator, NOVEMBER, DECEMBER, (operation,)), column.source)
        for operation in READ
        for column in OPERATIONS[operation].sources
    }


def counted(found: Scrape) -> dict[tuple[str, str], float]:
    """What the counters say, by operation and field."""
    sums: dict[tuple[str, str], float] = {}
    for operation in READ:
        for column in OPERATIONS[operation].sources:
            values = of(found, column.metric).items()
            sums[operation, column.name] = sum(v for k, v in values if ("operation", operation) in k)
    return sums


async def over_the_end(simulator: SimulatorControl, now: Now, each: Any) -> Scrape:
    """Scrapes up to the month's end; the last one before it."""
    await each.page()
    for _ in range(6):
        await later(simulator, now, each, 14 * MINUTE)
    return scrape(await each.page())


@pytest.fixture
def november(simulator: SimulatorControl, now: Now) -> SimulatorControl:
    now.seconds = simulator.clock(now="2026-11-30T22:30:00Z")
    return simulator


async def test_counters_and_what_came_late_are_together_the_whole_month(
    make: Make, november: SimulatorControl, now: Now
) -> None:
    each = make(more=MORE)
    last = await over_the_end(november, now, each)
    assert {} == figures(last, metrics.PREVIOUS_MONTH_LATE)
    await later(november, now, each, 10 * MINUTE)
    for _ in range(3):
        found = await later(november, now, each, HOUR + 1)
    told, late = (figures(found, each) for each in (metrics.PREVIOUS_MONTH, metrics.PREVIOUS_MONTH_LATE))
    assert truth(november) == told
    assert late["completions", "input_tokens"] > 0
    assert told == {key: value + late[key] for key, value in counted(last).items()}
    assert counted(found)["completions", "requests"] < counted(last)["completions", "requests"] / 10


async def test_whoever_did_not_count_the_month_says_what_it_was_and_not_what_was_late(
    make: Make, november: SimulatorControl, now: Now
) -> None:
    now.seconds = november.clock(now=DECEMBER + DAY)
    found = scrape(await make(more=MORE).page())
    assert truth(november) == figures(found, metrics.PREVIOUS_MONTH)
    assert {} == figures(found, metrics.PREVIOUS_MONTH_LATE)


@pytest.mark.parametrize("ended", ["before the end", "after it"])
async def test_a_restart_with_storage_knows_what_was_late(
    make: Make, november: SimulatorControl, now: Now, tmp_path: Path, ended: str
) -> None:
    each = make(more=MORE, storage=tmp_path)
    last = await over_the_end(november, now, each)
    if ended == "after it":
        await later(november, now, each, 30 * MINUTE)
    await each.close()
    now.seconds = november.clock(now=DECEMBER + DAY)
    found = scrape(await make(more=MORE, storage=tmp_path).page())
    told, late = (figures(found, each) for each in (metrics.PREVIOUS_MONTH, metrics.PREVIOUS_MONTH_LATE))
    assert truth(november) == told
    assert told == {key: value + late[key] for key, value in counted(last).items()}


async def test_what_the_api_takes_back_after_the_end_was_counted_too_much(
    make: Make, november: SimulatorControl, now: Now
) -> None:
    each = make(more=MORE)
    last = await over_the_end(november, now, each)
    november.fault("revise_down", path="/v1/organization/usage/*", factor=0.5)
    found = await later(november, now, each, HOUR)
    late = figures(found, metrics.PREVIOUS_MONTH_LATE)
    assert late["completions", "requests"] < 0
    told = figures(found, metrics.PREVIOUS_MONTH)
    assert told == {key: value + late[key] for key, value in counted(last).items()}


def test_it_is_read_with_each_audit_at_first_and_once_a_day_then() -> None:
    last = PreviousMonth(OPERATIONS["completions"])
    last.begin(DECEMBER, None)
    assert last.due(DECEMBER, HOUR)
    last.finish([], DECEMBER + 5)
    assert not last.due(DECEMBER + HOUR, HOUR)
    assert last.due(DECEMBER + 5 + HOUR, HOUR)
    late = DECEMBER + UNSETTLED_MONTH + 1
    last.finish([], late)
    assert not last.due(late + 2 * HOUR, HOUR)
    assert last.due(late + DAY, HOUR)
    assert last.due(late - HOUR, HOUR)  # the clock went back


def test_an_answer_without_a_day_of_the_month_says_nothing() -> None:
    last = PreviousMonth(OPERATIONS["images"])
    last.begin(DECEMBER, (7, 7))
    days: list[tuple[int, ...]] = []
    last.add(days, DECEMBER, [((), (1, 5))])
    last.add(days, NOVEMBER - DAY, [((), (1, 5))])
    last.finish(days, DECEMBER + 5)
    assert [] == list(last.families())
    last.add(days, NOVEMBER, [((), (1, 5))])
    last.add(days, DECEMBER - DAY, [((), (2, 6))])
    last.finish(days, DECEMBER + 9)
    assert (3, 11) == last.sums


async def test_it_costs_one_call_per_endpoint_and_audit(make: Make, november: SimulatorControl, now: Now) -> None:
    now.seconds = november.clock(now=DECEMBER + HOUR)
    each = make(more=MORE)
    await each.page()  # learns the API's time
    audited = await later(november, now, each, HOUR)
    assert {2.0} == set(of(audited, metrics.REFRESH_CALLS).values())  # this month, and the one before
    found = await later(november, now, each, 10 * MINUTE)
    assert {1.0} == set(of(found, metrics.REFRESH_CALLS).values())

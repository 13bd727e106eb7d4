# SPDX-License-Identifier: Apache-2.0
"""Figures equal the simulator's own books, whatever happens between two scrapes."""

from decimal import Decimal
from pathlib import Path

import pytest

from openai_exporter.metrics import usage as metrics
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ALL, Now, counters, of, one, scrape, up
from tests.exporter.usage.walking import GROUPS, HOUR, MINUTE, arrived, expect_net, later


async def test_every_counter_of_every_endpoint_equals_the_books(make: Make, simulator: SimulatorControl) -> None:
    found = scrape(await make().page())
    assert dict.fromkeys(up(found), 1.0) == up(found)
    assert len(up(found)) == 15
    assert arrived(simulator) == counters(found)


async def test_they_still_do_after_a_day_of_scrapes(make: Make, simulator: SimulatorControl, now: Now) -> None:
    each = make()
    await each.page()
    for minutes in (1, 7, 30, 61, 5, 240, 1, 700, 3, 390):
        found = await later(simulator, now, each, minutes * MINUTE)
    found = await later(simulator, now, each, 0)
    assert arrived(simulator) == counters(found)
    assert set(of(found, metrics.CORRECTIONS).values()) == {0.0}


async def test_how_fresh_a_page_is_depends_on_our_clock_and_not_on_the_apis(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    """However far the API's clock moves: scrapes share a reading for the interval, and the next one is whole."""
    each = make()
    shared = await each.page()
    simulator.clock(advance=15 * MINUTE)
    now.advance(50)
    assert shared is await each.page()
    now.advance(10)
    assert shared is not await each.page()  # series that are new show 0 here
    assert arrived(simulator) == counters(await later(simulator, now, each, 0))


async def test_estimated_costs_equal_the_books_by_project_and_model(make: Make, simulator: SimulatorControl) -> None:
    more = ALL.replace("[model]", "[project_id, model]").replace("[user_id, model]", "[project_id, model]")
    found = scrape(await make(more=more).page())
    sums: dict[tuple[str, str], float] = {}
    for labels, value in of(found, metrics.ESTIMATED_COST).items():
        named = dict(labels)
        if "model" in named:
            key = (named["project_id"], named["model"])
            sums[key] = sums.get(key, 0.0) + value
    told = simulator.state()["books"]["estimated_cost_usd"]["arrived"]
    expected = {(row["project_id"], row["model"]): float(row["usd"]) for row in told["by_project_and_model"]}
    assert {key: pytest.approx(usd, abs=1e-9) for key, usd in expected.items() if usd} == {
        key: usd for key, usd in sums.items() if usd
    }
    unpriced = {dict(k)["model"]: v for k, v in of(found, metrics.UNPRICED_TOKENS).items() if v}
    assert sum(told["unpriced_tokens"].values()) == sum(unpriced.values())


async def test_costs_equal_the_bill_to_the_last_digit(make: Make, simulator: SimulatorControl) -> None:
    found = scrape(await make().page())
    told = simulator.state()["books"]["billed_cost_usd"]["arrived"]
    by_project: dict[str, float] = {}
    by_item: dict[str, float] = {}
    for labels, usd in of(found, metrics.COSTS_MONTH).items():
        project, item = dict(labels).get("project_id", ""), dict(labels)["line_item"]
        by_project[project] = by_project.get(project, 0.0) + usd
        by_item[item] = by_item.get(item, 0.0) + usd
    for actual, expected in ((by_project, told["by_project"]), (by_item, told["by_line_item"])):
        kept = {name: usd for name, usd in actual.items() if usd}
        assert {name: pytest.approx(float(usd)) for name, usd in expected.items() if float(usd)} == kept
    for window in ("today", "yesterday"):
        days = {labels: usd for labels, usd in of(found, metrics.COSTS_DAY).items() if ("window", window) in labels}
        assert float(told[window]) == pytest.approx(sum(days.values()))
        assert {*by_project} == {dict(labels).get("project_id", "") for labels in days}, "each of the month"
    assert float(told["previous_month"]) == one(found, metrics.COSTS_PREVIOUS_MONTH)


async def test_costs_by_key_user_and_source_equal_the_bill_too(make: Make, simulator: SimulatorControl) -> None:
    whole = simulator.state()["books"]["billed_cost_usd"]["arrived"]["month_to_date"]
    for dimension in ("api_key_id", "user_id", "api_source"):
        found = scrape(await make(more=f"  costs: {{group_by: [{dimension}]}}").page())
        sums = of(found, metrics.COSTS_MONTH)
        assert len(sums) > 1
        assert all({name for name, _ in labels} <= {dimension} for labels in sums)
        assert float(whole) == pytest.approx(sum(sums.values()))


async def test_the_summary_says_the_same_as_the_books(make: Make, simulator: SimulatorControl) -> None:
    each = make()
    await each.page()
    state = simulator.state()["books"]
    assert Decimal(state["billed_cost_usd"]["arrived"]["month_to_date"]) == each.summary().month_to_date_usd
    rows = [row for operation in GROUPS for row in state["arrived"][operation]]
    assert sum(row.get("input_tokens", 0) for row in rows) == each.summary().input_tokens
    assert sum(row.get("output_tokens", 0) for row in rows) == each.summary().output_tokens


async def test_a_restart_computes_the_same_counters(make: Make, simulator: SimulatorControl, now: Now) -> None:
    before = make()
    await before.page()
    await later(simulator, now, before, 3 * HOUR)
    last = await later(simulator, now, before, 0)
    assert counters(last) == counters(scrape(await make().page()))


async def test_two_exporters_side_by_side_say_the_same(make: Make, simulator: SimulatorControl, now: Now) -> None:
    one_, other = make(), make()
    await one_.page()
    for _ in range(3):
        await later(simulator, now, one_, 50 * MINUTE)
    await other.page()
    last = await later(simulator, now, one_, 0)
    assert counters(last) == counters(scrape(await other.page()))


async def test_an_outage_of_ten_minutes_loses_and_doubles_nothing(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    each = make()
    await each.page()
    before = await later(simulator, now, each, 5 * MINUTE)
    simulator.fault("outage", mode="503", scope="organization")
    for _ in range(10):
        during = await later(simulator, now, each, MINUTE)
        assert counters(before) == counters(during)
    # Cost drift is read every six hours.
    assert {0.0} == {value for dataset, value in up(during).items() if dataset != "cost_drift"}
    simulator.clear()
    await later(simulator, now, each, 5 * MINUTE)
    after = await later(simulator, now, each, 0)
    assert arrived(simulator) == counters(after)
    assert {1.0} == set(up(after).values())


async def test_figures_that_the_api_takes_back_become_corrections(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    each = make()
    before = scrape(await each.page())
    simulator.fault("revise_down", path="/v1/organization/usage/*", factor=0.5)
    after = await later(simulator, now, each, HOUR + 1)
    assert all(after[series] >= value for series, value in counters(before).items())
    assert one(after, metrics.CORRECTIONS, operation="completions", field="input_tokens") > 0
    expect_net(simulator, after)
    simulator.clear()
    again = await later(simulator, now, each, HOUR + 1)
    assert all(again[series] >= value for series, value in counters(after).items())
    expect_net(simulator, again)


async def test_corrections_survive_a_restart_with_storage(
    make: Make, simulator: SimulatorControl, now: Now, tmp_path: Path
) -> None:
    each = make(storage=tmp_path)
    before = scrape(await each.page())
    await each.close()
    simulator.fault("revise_down", path="/v1/organization/usage/*", factor=0.5)
    after = scrape(await make(storage=tmp_path).page())
    assert all(after[series] >= value for series, value in counters(before).items())
    expect_net(simulator, after)

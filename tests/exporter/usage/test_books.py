# SPDX-License-Identifier: Apache-2.0
"""Figures equal the simulator's own books, whatever happens between two scrapes."""

from datetime import UTC, datetime
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ALL, Now, counters, net, of, one, scrape, service, up
from tests.exporter.usage.serving import answering
from tests.exporter.usage.walking import DAY, GROUPS, HOUR, MINUTE, arrived, expect_net, later

NOVEMBER_20 = datetime(2026, 11, 20, tzinfo=UTC)


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
    for _ in range(2):  # what lacks most of its usage is believed when it is said twice
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
    again = make(storage=tmp_path)
    after = scrape(await again.page())
    assert all(after[series] >= value for series, value in counters(before).items())
    after = await later(simulator, now, again, HOUR + 1)
    assert all(after[series] >= value for series, value in counters(before).items())
    expect_net(simulator, after)


QUIET = """
  usage: {completions: {group_by: [project_id, model]}}
  costs: null
  names: false
  limits: false
"""


def usage_of(day: list[tuple[str | None, int]], hour: list[tuple[str | None, int]]) -> dict[str, Any]:
    """Tokens by project of yesterday and of the running hour."""

    def answer(start: int, width: int, tokens: list[tuple[str | None, int]]) -> dict[str, Any]:
        rows = [
            {"project_id": project, "model": "gpt-6-luna", "num_model_requests": 1, "input_tokens": count,
             "output_tokens": 0}
            for project, count in tokens
        ]  # fmt: skip
        return {"data": [{"start_time": start, "end_time": start + width, "results": rows}]}

    start = int(NOVEMBER_20.timestamp())
    return {
        "/usage/completions 1d": answer(start, DAY, day),
        "/usage/completions 1h": answer(start + DAY + 9 * HOUR, HOUR, hour),
    }


@pytest.mark.parametrize("day", [pytest.param([], id="nothing"), pytest.param([(None, 500)], id="the project is null")])
async def test_a_full_read_that_lacks_most_is_believed_when_the_next_one_says_the_same(
    day: list[tuple[str | None, int]], caplog: pytest.LogCaptureFixture
) -> None:
    now = Now(NOVEMBER_20.timestamp() + DAY + 9.5 * HOUR)
    whole = usage_of([("proj_a", 400), ("proj_b", 100)], [("proj_a", 7)])
    seen = []
    headers = {"Date": formatdate(now(), usegmt=True)}
    with answering(served := dict(whole), headers) as url:
        each = service(url, now, more=QUIET)
        await each.page()
        # A read that lacks it, new usage meanwhile, all of it again, and at last twice the same.
        for answer, hours in (
            (usage_of(day, [("proj_a", 7)]), 1.1),
            (usage_of(day, [("proj_a", 9)]), 0.1),
            (usage_of([("proj_a", 400), ("proj_b", 100)], [("proj_a", 9)]), 1.1),
            (usage_of(day, [("proj_a", 9)]), 1.1),
            (usage_of(day, [("proj_a", 9)]), 1.1),
        ):
            served |= answer
            now.advance(hours * HOUR)
            headers["Date"] = formatdate(now(), usegmt=True)
            found = scrape(await each.page())
            counted = {
                dict(labels).get("project_id", ""): value for labels, value in of(found, metrics.INPUT_TOKENS).items()
            }
            loss = one(found, metrics.LOSS, operation="completions")
            seen.append((counted["proj_a"], loss, up(found)["completions"], net(found, "completions")["input_tokens"]))
        await each.close()
    # A series that is new, be it of no project, shows 0 first.
    assert seen == [
        (407, 1, 0, 507), (409, 1, 1, 509), (409, 0, 1, 509), (409, 1, 0, 509), (409, 0, 1, 9)
    ]  # fmt: skip
    [told] = {each.getMessage() for each in caplog.records if "loss_limit" in each.getMessage()}
    assert "500 of 500 tokens that were settled" in told
    assert "400 of them in project_id=proj_a, model=gpt-6-luna" in told

# SPDX-License-Identifier: Apache-2.0
"""The costs endpoint on a socket."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from openai_exporter.simulator.organization.billing import COST_DIMENSIONS
from openai_exporter.simulator.organization.costs import plain
from openai_exporter.simulator.testing import SimulatorControl, running_simulator
from tests.exporter.simulator.conformance import Facts

from .conftest import ADMIN, DAY, MONTH, NOW, Get

GROUPINGS = [(), *((name,) for name in COST_DIMENSIONS), COST_DIMENSIONS, ("project_id", "line_item")]


def amounts(page: Any) -> list[Decimal]:
    return [Decimal(str(row["amount"]["value"])) for bucket in page["data"] for row in bucket["results"]]


def total(page: Any) -> Decimal:
    return sum(amounts(page), Decimal(0))


@pytest.fixture(scope="module")
def numbers() -> Iterator[SimulatorControl]:
    """A simulator that gives amounts as JSON numbers, as described, and shows everything at once."""
    with running_simulator(
        seed=7, clock=NOW, speed=0, amounts="number", late_seconds=0, latency_scale=0
    ) as control:
        yield control


@pytest.mark.parametrize("group_by", GROUPINGS, ids=lambda by: ",".join(by) or "ungrouped")
def test_replies_conform_however_they_are_grouped(get: Get, facts: Facts, group_by: tuple[str, ...]) -> None:
    page = get("/costs", start_time=MONTH, limit=20, group_by=list(group_by))
    facts.assert_conforms("costs_page", page)
    rows = [row for bucket in page["data"] for row in bucket["results"]]
    assert rows
    for row in rows:
        assert {name for name in COST_DIMENSIONS if row[name] is not None} <= set(group_by)
        assert (row["quantity"] is not None) == ("line_item" in group_by)


def test_amounts_as_numbers_conform_too(numbers: SimulatorControl, facts: Facts) -> None:
    reply = httpx2.get(
        f"{numbers.api_url}/organization/costs", params={"start_time": MONTH}, headers=ADMIN, trust_env=False
    )
    facts.assert_conforms("costs_page", reply.json())
    values = [row["amount"]["value"] for bucket in reply.json()["data"] for row in bucket["results"]]
    assert {float} == {type(value) for value in values}


def test_amounts_are_numeric_strings_by_default(get: Get) -> None:
    page = get("/costs", start_time=MONTH)
    assert {str} == {type(row["amount"]["value"]) for bucket in page["data"] for row in bucket["results"]}


@pytest.mark.parametrize("group_by", GROUPINGS[1:], ids=lambda by: ",".join(by))
def test_every_grouping_sums_to_the_same_money(get: Get, group_by: tuple[str, ...]) -> None:
    span = {"start_time": MONTH - 30 * DAY, "end_time": NOW, "limit": 60}
    assert total(get("/costs", **span)) == total(get("/costs", **span, group_by=list(group_by)))


def test_pages_are_together_the_whole(get: Get) -> None:
    span = {"start_time": MONTH, "end_time": NOW, "group_by": "project_id"}
    found = [get("/costs", **span, limit=6)]
    while found[-1]["has_more"]:
        found.append(get("/costs", **span, limit=6, page=found[-1]["next_page"]))
    assert len(found) == 4
    assert total(get("/costs", **span, limit=31)) == sum(map(total, found))


def test_line_items_can_be_filtered_by_their_full_name(get: Get) -> None:
    everything = get("/costs", start_time=MONTH, limit=5, group_by="line_item")
    wanted = "gpt-6-luna, output"
    only = get("/costs", start_time=MONTH, limit=5, group_by="line_item", line_items=wanted)
    rows = [row for bucket in everything["data"] for row in bucket["results"] if row["line_item"] == wanted]
    assert rows == [row for bucket in only["data"] for row in bucket["results"]]
    assert len(rows) == 5


def test_costs_come_later_than_usage(get: Get, still: SimulatorControl) -> None:
    still.clock(now=NOW - NOW % DAY + 3000)
    day = NOW - NOW % DAY
    assert get("/usage/completions", start_time=day)["data"][0]["results"]
    assert get("/costs", start_time=day)["data"][0]["results"] == []


def test_settled_costs_are_the_bill_of_the_books(get: Get, still: SimulatorControl) -> None:
    day = NOW - NOW % DAY
    still.clock(now=day + 3 * DAY)
    page = get("/costs", start_time=day, limit=1, group_by=list(COST_DIMENSIONS))
    reply = httpx2.get(
        f"{still.base_url}/_simulator/organization/bill", params={"start": day, "end": day + DAY},
        trust_env=False,
    )  # fmt: skip
    bill = {tuple(row[name] for name in COST_DIMENSIONS): row["usd"] for row in reply.json()["data"]}
    shown = {
        tuple(row[name] for name in COST_DIMENSIONS): row["amount"]["value"]
        for row in page["data"][0]["results"]
    }
    assert {key: usd for key, usd in bill.items() if key[-1] != "credit"} == {
        key: usd for key, usd in shown.items() if key[-1] != "credit"
    }


def test_a_credit_is_a_negative_amount(get: Get) -> None:
    page = get("/costs", start_time=NOW - 120 * DAY, limit=121, group_by="line_item")
    credits = [row for bucket in page["data"] for row in bucket["results"] if row["line_item"] == "credit"]
    assert len(credits) >= 3
    assert all(Decimal(row["amount"]["value"]) < 0 for row in credits)


def test_a_credit_shows_also_when_its_day_was_read_before(numbers: SimulatorControl) -> None:
    def lines(day: int, now: int) -> set[str]:
        numbers.clock(now=now)
        url = f"{numbers.api_url}/organization/costs?start_time={day}&limit=1&group_by=line_item"
        reply = httpx2.get(url, headers=ADMIN, trust_env=False).json()
        return {row["line_item"] for row in reply["data"][0]["results"]}

    days = range(NOW - NOW % DAY - 61 * DAY, NOW - DAY, DAY)
    credited = next(day for day in days if "credit" in lines(day, day + 9 * DAY))
    assert "credit" not in lines(credited, credited + DAY + 60)
    assert "credit" in lines(credited, credited + DAY + 11 * 3600)


def test_costs_are_revised_down_too(get: Get, still: SimulatorControl) -> None:
    span = {"start_time": MONTH, "end_time": MONTH + DAY}
    before = total(get("/costs", **span))
    still.fault("revise_down", "/v1/organization/costs", factor=0.5)
    assert total(get("/costs", **span)) < before


def test_a_paging_loop_goes_on_for_ever(get: Get, still: SimulatorControl) -> None:
    still.fault("page_loop", "/v1/organization/costs")
    first = get("/costs", start_time=MONTH)
    second = get("/costs", start_time=MONTH, page=first["next_page"])
    assert (True, first["next_page"]) == (second["has_more"], second["next_page"])


def test_a_project_key_may_not_read(still: SimulatorControl) -> None:
    headers = {"authorization": "Bearer sk-proj-0123456789"}
    reply = httpx2.get(f"{still.api_url}/organization/costs?start_time=1", headers=headers, trust_env=False)
    assert reply.status_code == 403
    assert "api.usage.read" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"),
        ("1.500", "1.5"),
        ("-2.00", "-2"),
        ("1E-12", "0.000000000001"),
        ("1E+3", "1000"),
        ("100", "100"),
    ],
)
def test_decimals_are_written_plainly(number: str, text: str) -> None:
    assert text == plain(Decimal(number))

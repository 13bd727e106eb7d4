# SPDX-License-Identifier: Apache-2.0
"""The statement of the books: it says what the endpoints say, and its parts add up."""

from decimal import Decimal
from typing import Any

import pytest

from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.statement import month_start
from openai_simulator.testing import SimulatorControl
from tests.simulator.organization.conftest import DAY, MONTH, NOW, Get, Sandbox


@pytest.fixture(scope="module")
def books() -> Any:
    return Sandbox().organization.state()


@pytest.mark.parametrize("name", OPERATIONS)
def test_arrived_usage_is_what_the_api_shows(get: Get, still: SimulatorControl, name: str) -> None:
    grouping = [*OPERATIONS[name].dimensions]
    books = still.state()["books"]
    shown: dict[tuple[Any, ...], dict[str, int]] = {}
    for bucket in get(f"/usage/{name}", start_time=MONTH, limit=31, group_by=grouping)["data"]:
        for row in bucket["results"]:
            found = shown.setdefault(tuple(row[dimension] for dimension in grouping), {})
            for field in OPERATIONS[name].fields:
                found[field] = row[field] if OPERATIONS[name].level else found.get(field, 0) + row[field]
    stated = {
        tuple(row[dimension] for dimension in grouping): {
            field: row[field] for field in OPERATIONS[name].fields
        }
        for row in books["arrived"][name]
    }
    assert shown == stated


def test_arrived_costs_are_what_the_api_shows(get: Get, still: SimulatorControl) -> None:
    by_line: dict[str, Decimal] = {}
    for bucket in get("/costs", start_time=MONTH, limit=31, group_by="line_item")["data"]:
        for row in bucket["results"]:
            name = row["line_item"]
            by_line[name] = by_line.get(name, Decimal(0)) + Decimal(row["amount"]["value"])
    billed = still.state()["books"]["billed_cost_usd"]["arrived"]
    assert by_line == {name: Decimal(usd) for name, usd in billed["by_line_item"].items()}
    assert sum(by_line.values()) == Decimal(billed["month_to_date"])


@pytest.mark.parametrize("which", ["true", "arrived"])
def test_the_parts_of_the_bill_add_up(books: Any, which: str) -> None:
    billed = books["billed_cost_usd"][which]
    total = Decimal(billed["month_to_date"])
    assert total == sum(map(Decimal, billed["by_project"].values()))
    assert total == sum(map(Decimal, billed["by_line_item"].values()))
    assert Decimal(billed["today"]) + Decimal(billed["yesterday"]) < total


def test_the_estimate_is_the_bill_of_what_is_on_a_list(books: Any) -> None:
    estimated = books["estimated_cost_usd"]["true"]["by_model"]
    billed = books["billed_cost_usd"]["true"]["by_line_item"]
    for model, usd in estimated.items():
        lines = [Decimal(cost) for line, cost in billed.items() if line.rpartition(", ")[0] == model]
        if model != "gpt-image-2-2026-04-21":  # its images are billed by the piece, beside its tokens
            assert Decimal(usd) == sum(lines)


def test_tokens_on_no_list_are_named(books: Any) -> None:
    unpriced = books["estimated_cost_usd"]["true"]["unpriced_tokens"]
    assert [*unpriced] == ["ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"]
    assert unpriced["ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"] > 1_000_000


def test_the_truth_of_days_adds_up_to_the_month(sandbox: type[Sandbox]) -> None:
    organization = sandbox().organization
    whole = organization.truth(MONTH, MONTH + 3 * DAY)
    days = [organization.truth(MONTH + n * DAY, MONTH + (n + 1) * DAY) for n in range(3)]

    def tokens(rows: list[dict[str, Any]]) -> int:
        return sum(row["output_tokens"] for row in rows if row["operation"] == "completions")

    assert tokens(whole) == sum(map(tokens, days)) > 0


def test_the_bill_of_a_period_is_by_day_and_adds_up(sandbox: type[Sandbox]) -> None:
    organization = sandbox().organization
    rows = organization.bill(MONTH, NOW)
    assert {*range(MONTH, NOW, DAY)} == {row["day"] for row in rows}
    total = sum(Decimal(row["usd"]) for row in rows)
    assert total == Decimal(organization.state()["billed_cost_usd"]["true"]["month_to_date"])


def test_at_midnight_of_the_first_the_month_is_empty(sandbox: type[Sandbox]) -> None:
    state = sandbox(now=MONTH).organization.state()
    assert state["month_start"] == MONTH
    assert state["true"]["completions"] == []
    billed = state["billed_cost_usd"]["true"]
    assert (billed["month_to_date"], billed["today"]) == ("0", "0")
    assert Decimal(billed["previous_month"]) > Decimal(billed["yesterday"]) > 0


@pytest.mark.parametrize(
    ("moment", "start"),
    [(MONTH, MONTH), (MONTH - 1, MONTH - 31 * DAY), (NOW, MONTH), (1709251199, 1706745600)],
    ids=["first", "last-second", "within", "leap-day"],
)
def test_months_begin_on_the_first_at_midnight_utc(moment: float, start: int) -> None:
    assert start == month_start(moment)

# SPDX-License-Identifier: Apache-2.0
"""Budgets: whose spend counts, and where it is taken from."""

from decimal import Decimal
from pathlib import Path

import pytest

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.usage.budgets import pinned, states
from openai_exporter.usage.costs import Bill
from openai_exporter.usage.counters import CounterDataset
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.rows import CostRow
from openai_exporter.usage.service import budgets_of

NOW = 1795253400.0
TODAY = 1795219200


class Endpoint(CounterDataset):
    """A usage endpoint with given estimates."""

    def __init__(self, group_by: tuple[str, ...], **periods: dict[str, dict[str, str]] | None) -> None:
        self.group_by = group_by
        self._periods = periods

    def estimated(self, dimension: str | None, period: str) -> dict[str, Decimal | None] | None:
        found = self._periods.get(period)
        if found is None:
            return None
        return {key: Decimal(usd) if usd else None for key, usd in found[dimension or ""].items()}


ENDPOINTS = (
    Endpoint(
        ("project_id", "api_key_id", "model"),
        month={"": {"": "10"}, "api_key_id": {"k1": "6", "k2": "4"}, "model": {"m1": "10"}},
        day={"": {"": "2"}, "api_key_id": {"k1": "2"}, "model": {"m1": "2"}},
    ),
    Endpoint(
        ("model",),
        month={"": {"": "1"}, "model": {"m1": "0.5", "m2": "0.5"}},
        day={"": {"": "1"}, "model": {}},
    ),
)


def bill() -> Bill:
    made = Bill(NOW, ("project_id", "line_item"))
    for start, project, usd in ((TODAY, "p1", "3"), (TODAY - 86_400, "p1", "4"), (TODAY - 86_400, "p2", "5")):
        made.add(start, [CostRow((project, ""), Decimal(usd))])
    return made


def config(budgets: str, costs: str = "{}") -> Config:
    text = (
        "organizations:\n- name: acme\n  admin_key_env: KEY\n"
        f"  costs: {costs}\nbudgets:\n- {{name: b, limit_usd: 20, {budgets}}}\n"
    )
    return parse_config(text, "test", {"KEY": "sk-admin-1"}, Path())


def found(budgets: str, costs: str = "{}", *, with_bill: bool = True) -> list[BudgetState]:
    made = config(budgets, costs)
    acme = made.organizations[0]
    return list(states(budgets_of(made, acme), acme, bill() if with_bill else None, ENDPOINTS))


CASES = [
    # budget, basis, scope, id, spent
    ("period: month", "billed", [("organization", "", "12")]),
    ("period: day", "billed", [("organization", "", "3")]),
    ("scope: {project: p1}", "billed", [("project", "p1", "7")]),
    ("scope: {project: p1}, period: day", "billed", [("project", "p1", "3")]),
    ("scope: {project: p2}, period: day", "billed", [("project", "p2", "0")]),
    ("scope: {project: p9}", "billed", [("project", "p9", "0")]),
    ("each: project_id", "billed", [("project", "p1", "7"), ("project", "p2", "5")]),
    ("each: project_id, period: day", "billed", [("project", "p1", "3"), ("project", "p2", "0")]),
    ("scope: {key: k2}", "estimated", [("key", "k2", "4")]),
    ("scope: {key: k2}, period: day", "estimated", [("key", "k2", "0")]),
    ("each: api_key_id", "estimated", [("key", "k1", "6"), ("key", "k2", "4")]),
    ("each: model, period: day", "estimated", [("model", "m1", "2"), ("model", "m2", "0")]),
    ("each: model", "estimated", [("model", "m1", "10.5"), ("model", "m2", "0.5")]),
]


@pytest.mark.parametrize(("budget", "basis", "expected"), CASES, ids=[case[0] for case in CASES])
def test_spent_is_billed_where_the_bill_can_tell_and_estimated_elsewhere(
    budget: str, basis: str, expected: list[tuple[str, str, str]]
) -> None:
    rows = [(each.scope, each.id, each.spent_usd) for each in found(budget)]
    assert [(scope, id, Decimal(usd)) for scope, id, usd in expected] == rows
    assert {basis} == {each.basis for each in found(budget)}


def test_without_costs_everything_is_estimated() -> None:
    (only,) = found("period: month", "null")
    assert ("estimated", Decimal(11)) == (only.basis, only.spent_usd)


def test_costs_that_are_not_grouped_by_project_cannot_tell_a_project() -> None:
    (only,) = found("scope: {key: k1}", "{group_by: [line_item]}")
    assert "estimated" == only.basis


def test_what_is_not_known_yet_has_a_limit_but_nothing_spent() -> None:
    (only,) = found("period: month", with_bill=False)
    assert (Decimal(20), None, None) == (only.limit_usd, only.spent_usd, only.ratio)


def test_spend_of_what_has_no_price_is_unknown_and_not_zero() -> None:
    endpoints = (
        Endpoint(("model",), month={"": {"": "3"}, "model": {"listed": "3", "ft:mine": ""}}),
        Endpoint(("model",), month={"": {"": ""}, "model": {"brush": "", "listed": ""}}),
    )
    made = config("each: model")
    acme = made.organizations[0]
    rows = {each.id: each.spent_usd for each in states(made.budgets, acme, None, endpoints)}
    assert rows == {"brush": None, "ft:mine": None, "listed": Decimal(3)}
    whole = config("period: month", "null")
    (only,) = states(whole.budgets, whole.organizations[0], None, endpoints)
    assert only.spent_usd == Decimal(3)
    (only,) = states(whole.budgets, whole.organizations[0], None, endpoints[1:])
    assert only.spent_usd is None


def test_the_ratio_is_of_the_limit() -> None:
    (only,) = found("period: month, warn_ratio: 0.5")
    assert (0.6, 0.5) == (only.ratio, only.warn_ratio)


def test_ids_of_budgets_are_pinned() -> None:
    made = config("scope: {key: k2}")
    assert {"k2"} == pinned(made.budgets)

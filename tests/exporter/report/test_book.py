# SPDX-License-Identifier: Apache-2.0
"""What is in no sum, and what a reader is told of it."""

from decimal import Decimal
from pathlib import Path

import pytest

from openai_exporter.config import Config, load_config
from openai_exporter.errors import UpstreamError
from openai_exporter.report.book import Book, By, read_costs, read_usage
from openai_exporter.report.source import Restart, Source, TakeCosts, TakeUsage
from openai_exporter.usage.ledger import Range
from openai_exporter.usage.rows import OPERATIONS, CostRow
from tests.exporter.report.commands import unix

DAY = unix("2026-11-02")
COSTS = [
    CostRow(("gpt-6-luna, input",), Decimal("1.25")),
    CostRow(("gpt-6-luna, output",), Decimal("2.25")),
    CostRow(("web search tool calls",), None, "eur"),
]


class Canned(Source):
    """A source that has the same costs and one row of usage for each query, and fails once before."""

    error: UpstreamError | None = None

    def usage(self, name: str, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeUsage) -> None:
        columns = [column.name for column in OPERATIONS[name].columns]
        values = tuple(7 if column.startswith("unpriced") else 0 for column in columns)
        labels = tuple("odd-model" if dimension == "model" else "x" for dimension in group_by)
        for _ in range(2):
            restart()
            take(DAY, labels, values)

    def costs(self, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeCosts) -> None:
        if self.error is not None:
            raise self.error
        for _ in range(2):
            restart()
            for row in COSTS:
                take(DAY, row)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "exporter.yml"
    path.write_text("organizations: [{name: acme, admin_key_env: KEY, usage: {completions: {group_by: [model]}}}]\n")
    return load_config(path, {"KEY": "sk-admin-0123456789abcdef"})


def book(config: Config, by: By, error: UpstreamError | None = None) -> Book:
    with Canned(config, config.organizations[0], {}) as source:
        source.error = error
        made = Book(by)
        read_usage(made, source, DAY, None)
        read_costs(made, source, DAY, None)
    return made


def test_amounts_in_another_currency_are_in_no_sum_and_counted_once(config: Config) -> None:
    made = book(config, "line_item")

    assert Decimal("3.5") == made.total(DAY, DAY + 1).billed
    assert ["1 rows of costs in eur are in no sum."] == made.notes


def test_usage_without_a_price_names_its_model_and_is_counted_once(config: Config) -> None:
    made = book(config, "model")

    assert {(DAY, "odd-model")} == made.unpriced
    assert 7 == made.groups(DAY, DAY + 1)["odd-model"].count("unpriced_tokens")


@pytest.mark.parametrize("by", ["key", "user"])
def test_costs_that_the_api_does_not_group_so_are_list_prices(config: Config, by: By) -> None:
    made = book(config, by, UpstreamError("HTTP 400", api="costs", reason="bad_request", status=400))

    assert made.total(DAY, DAY + 1).billed is None
    assert [f"The API does not tell costs by {by}; amounts are list prices of the usage."] == made.notes


@pytest.mark.parametrize(("by", "status"), [("project", 400), ("key", 500)])
def test_other_failures_of_costs_are_failures(config: Config, by: By, status: int) -> None:
    with pytest.raises(UpstreamError):
        book(config, by, UpstreamError("no", api="costs", reason="bad_request", status=status))

# SPDX-License-Identifier: Apache-2.0
"""The summary of an organization, from its datasets. Reads nothing."""

from decimal import Decimal

from openai_exporter.usage.bill import total
from openai_exporter.usage.datasets import Datasets
from openai_exporter.usage.operations import PICO
from openai_exporter.usage.summary import BudgetState, UsageSummary
from openai_exporter.usage.track import DatasetState


def summarized(
    organization: str,
    datasets: Datasets,
    states: tuple[DatasetState, ...],
    spending: tuple[BudgetState, ...],
    waiting: float,
) -> UsageSummary:
    """The figures of the landing page."""
    bill = datasets.costs.bill if datasets.costs else None
    sums = _sums(datasets)
    estimated = sums.get("estimated_cost_usd")
    return UsageSummary(
        organization,
        month_to_date_usd=total(bill.month) if bill else None,
        today_usd=total(bill.today) if bill else None,
        yesterday_usd=total(bill.yesterday) if bill else None,
        previous_month_usd=bill.previous_month if bill else None,
        estimated_usd=None if estimated is None else Decimal(estimated) / PICO,
        requests=sums.get("requests"),
        input_tokens=sums.get("input_tokens"),
        output_tokens=sums.get("output_tokens"),
        datasets=states,
        budgets=spending,
        waiting=waiting,
    )


def _sums(datasets: Datasets) -> dict[str, int]:
    """This month's figures over all endpoints that have been read."""
    found: dict[str, int] = {}
    for flow in datasets.flows:
        if flow.ledger.complete:
            for name, value in flow.sums().items():
                found[name] = found.get(name, 0) + value
    return found

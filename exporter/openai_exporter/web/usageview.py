# SPDX-License-Identifier: Apache-2.0
"""What the landing page says of an organization."""

from dataclasses import dataclass

from openai_exporter.config.organization import Organization
from openai_exporter.usage.summary import BudgetState, UsageSummary
from openai_exporter.usage.track import DatasetState
from openai_exporter.web import words
from openai_exporter.web.probeview import OLD, OLD_INTERVALS

MOST_BUDGETS = 8
"""Budgets shown, those used most first; `each:` can make one per user."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A named figure, ready to show."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DatasetView:
    """How one dataset is read."""

    name: str
    state: str
    word: str
    error: str
    age: str


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One budget; `width` is the bar's, in percent and never above 100."""

    name: str
    period: str
    scope: str
    state: str
    ratio: float | None
    warn: float
    width: float
    spent: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """One organization."""

    name: str
    month: float | None
    today: float | None
    figures: tuple[Figure, ...]
    datasets: tuple[DatasetView, ...]
    budgets: tuple[BudgetView, ...]
    more_budgets: int


def organization_view(
    summary: UsageSummary, now: float, organization: Organization | None = None
) -> OrganizationView:
    """The view of an organization as of its last reads; its intervals say what is old."""
    budgets = sorted(summary.budgets, key=lambda each: -(each.ratio if each.ratio is not None else -1))
    return OrganizationView(
        summary.organization,
        _float(summary.month_to_date_usd),
        _float(summary.today_usd),
        _figures(summary),
        tuple(_dataset(each, now, _interval(each.name, organization)) for each in summary.datasets),
        tuple(_budget(each) for each in budgets[:MOST_BUDGETS]),
        max(0, len(budgets) - MOST_BUDGETS),
    )


def _figures(summary: UsageSummary) -> tuple[Figure, ...]:
    return (
        Figure("billed this month", words.dollars(_float(summary.month_to_date_usd))),
        Figure("billed today", words.dollars(_float(summary.today_usd))),
        Figure("billed yesterday", words.dollars(_float(summary.yesterday_usd))),
        Figure("billed last month", words.dollars(_float(summary.previous_month_usd))),
        Figure("list price of usage", words.dollars(_float(summary.estimated_usd))),
        Figure("requests this month", words.count(summary.requests)),
        Figure("input tokens", words.count(summary.input_tokens)),
        Figure("output tokens", words.count(summary.output_tokens)),
    )


def _interval(dataset: str, organization: Organization | None) -> float:
    """Seconds between two reads of a dataset while it is scraped; 0 when that is not known."""
    if organization is None:
        return 0.0
    if dataset == "costs" and organization.costs is not None:
        return organization.costs.refresh_interval
    return organization.names_interval if dataset in ("names", "limits") else organization.refresh_interval


def _dataset(each: DatasetState, now: float, interval: float) -> DatasetView:
    state, word = {None: ("none", "not read yet"), True: ("good", "up to date"), False: ("bad", "failing")}[
        each.up
    ]
    if each.up is False and each.last_success is not None:
        word = "failing; last good figures shown"
    elif (
        each.up and each.last_success is not None and now - each.last_success > OLD + OLD_INTERVALS * interval
    ):
        state, word = "none", "old; nothing has scraped it since"
    return DatasetView(each.name, state, word, each.error, words.ago(each.last_success, now))


def _budget(each: BudgetState) -> BudgetView:
    ratio = each.ratio
    state = (
        "none" if ratio is None else "bad" if ratio >= 1 else "ours" if ratio >= each.warn_ratio else "good"
    )
    return BudgetView(
        each.name,
        each.period,
        each.whose,
        state,
        ratio,
        each.warn_ratio,
        round(min(1.0, max(0.0, ratio or 0.0)) * 100, 1),
        _float(each.spent_usd),
        float(each.limit_usd),
    )


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))

# SPDX-License-Identifier: Apache-2.0
"""The figures of an organization for the landing page. Plain data."""

from dataclasses import dataclass
from decimal import Decimal

from openai_exporter.usage.track import DatasetState


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget in its running period.

    Attributes:
        scope, id: `organization` and empty, or such as `project` and its id.
        title: the name of what the id is of; empty where that is not known.
        spent_usd: None while unknown.
        basis: `billed` or `estimated`.
    """

    name: str
    scope: str
    id: str
    period: str
    basis: str
    limit_usd: Decimal
    warn_ratio: float
    spent_usd: Decimal | None
    title: str = ""

    @property
    def whose(self) -> str:
        """Whose budget it is, by name where that is known: `project Search`, `organization`."""
        return f"{self.scope} {self.title or self.id}".strip()

    @property
    def ratio(self) -> float | None:
        """The share of the limit that is spent; None while unknown."""
        return None if self.spent_usd is None else float(self.spent_usd / self.limit_usd)


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """An organization as of its last reads; None is unknown.

    Attributes:
        month_to_date_usd, today_usd, yesterday_usd, previous_month_usd: billed.
        estimated_usd: list price of this month's usage.
        requests, input_tokens, output_tokens: this month.
        datasets: how each is.
        waiting: seconds for which the API asked not to be called.
    """

    organization: str
    month_to_date_usd: Decimal | None = None
    today_usd: Decimal | None = None
    yesterday_usd: Decimal | None = None
    previous_month_usd: Decimal | None = None
    estimated_usd: Decimal | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    datasets: tuple[DatasetState, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    waiting: float = 0.0

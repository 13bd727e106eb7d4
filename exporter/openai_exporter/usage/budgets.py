# SPDX-License-Identifier: Apache-2.0
"""Budgets of the configuration beside what was spent: billed where the bill can tell, estimated elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from openai_exporter.config.organization import Budget, Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.costs import Bill, total
from openai_exporter.usage.dataset import BudgetState

BILLED = "billed"
ESTIMATED = "estimated"
_SCOPES = {"project": "project_id", "key": "api_key_id", "user": "user_id", "model": "model"}


Spent = Mapping[str, Decimal | None]
"""USD by the values of a dimension; None where nothing of what was used has a price."""


class Estimates(Protocol):
    """What budgets need of one usage endpoint."""

    group_by: tuple[str, ...]

    def estimated(self, dimension: str | None, period: str) -> Spent | None:
        """USD by the values of a dimension (under `` for all when it is None); None before the first read."""
        ...


def pinned(budgets: Iterable[Budget]) -> frozenset[str]:
    """Ids whose usage must keep its labels, whatever the series limit."""
    scopes = [each.scope for each in budgets]
    return frozenset(
        value for scope in scopes for name in _SCOPES if (value := getattr(scope, name)) is not None
    )


def states(
    budgets: Iterable[Budget],
    organization: Organization,
    bill: Bill | None,
    flows: Sequence[Estimates],
    title: Callable[[str, str], str] = lambda scope, id: "",
) -> Iterator[BudgetState]:
    """Each budget, or each of its parts, with what was spent of it.

    Args:
        title: the name of what a scope and an id mean, empty where it is not known.
    """
    for budget in budgets:
        scope, wanted = _scope(budget)
        dimension = _SCOPES.get(scope)
        basis = _basis(organization, dimension)
        spent = _spent(basis, bill, flows, dimension, budget.period)
        ids = [wanted]
        if budget.each is not None:
            # Whoever spent in this month has a budget today, also before the first request of the day.
            ids = sorted(_spent(basis, bill, flows, dimension, "month") or {})
        for id in ids:
            if id or dimension is None:
                usd = None if spent is None else spent.get(id, Decimal(0))
                yield _state(budget, scope, id, basis, usd, title(scope, id))


def _spent(
    basis: str, bill: Bill | None, flows: Sequence[Estimates], dimension: str | None, period: str
) -> Spent | None:
    if basis == BILLED:
        return _billed(bill, dimension, period)
    return _estimated(flows, dimension, period)


def families(found: Iterable[BudgetState]) -> Iterator[Family]:
    """Limits, warning shares, and what was spent and is left as far as it is known."""
    limit, spent, warn = (
        Family(metrics.BUDGET_LIMIT),
        Family(metrics.BUDGET_SPENT),
        Family(metrics.BUDGET_WARN_RATIO),
    )
    remaining, ratio = Family(metrics.BUDGET_REMAINING), Family(metrics.BUDGET_RATIO)
    for each in found:
        labels = (each.name, each.scope, each.id, each.period)
        limit.add(float(each.limit_usd), *labels)
        warn.add(each.warn_ratio, *labels)
        if each.spent_usd is not None:
            spent.add(float(each.spent_usd), *labels, each.basis)
            remaining.add(float(each.limit_usd - each.spent_usd), *labels, each.basis)
            ratio.add(float(each.spent_usd / each.limit_usd), *labels, each.basis)
    yield from (limit, spent, remaining, ratio, warn)


def _scope(budget: Budget) -> tuple[str, str]:
    if budget.each is not None:
        return next(name for name, dimension in _SCOPES.items() if dimension == budget.each), ""
    for name in _SCOPES:
        value = getattr(budget.scope, name)
        if value is not None:
            return name, value
    return "organization", ""


def _basis(organization: Organization, dimension: str | None) -> str:
    """Costs tell spend of the organization and, where grouped so, of projects; nothing finer."""
    costs = organization.costs
    told = costs is not None and (dimension is None or dimension in costs.group_by)
    return BILLED if told else ESTIMATED


def _billed(bill: Bill | None, dimension: str | None, period: str) -> dict[str, Decimal] | None:
    if bill is None:
        return None
    if dimension is None:
        return {"": total(bill.month if period == "month" else bill.today)}
    return bill.by(dimension, period=period)


def _estimated(flows: Sequence[Estimates], dimension: str | None, period: str) -> Spent | None:
    """The sum over all endpoints that are grouped so; None while any of them is unknown."""
    spent: dict[str, Decimal | None] = {}
    for flow in flows:
        if dimension is not None and dimension not in flow.group_by:
            continue
        found = flow.estimated(dimension, period)
        if found is None:
            return None
        for id, usd in found.items():
            before = spent.get(id)
            spent[id] = before if usd is None else usd if before is None else before + usd
    return spent


def _state(budget: Budget, scope: str, id: str, basis: str, usd: Decimal | None, title: str) -> BudgetState:
    return BudgetState(
        budget.name,
        scope,
        id,
        budget.period,
        basis,
        Decimal(str(budget.limit_usd)),
        budget.warn_ratio,
        usd,
        title,
    )

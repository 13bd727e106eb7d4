# SPDX-License-Identifier: Apache-2.0
"""Budgets of the configuration beside what was spent: billed where the bill can tell, estimated elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from openai_exporter.config.sections import Budget, Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.costs import Bill, total
from openai_exporter.usage.counters import CounterDataset
from openai_exporter.usage.dataset import BudgetState

BILLED = "billed"
ESTIMATED = "estimated"
_SCOPES = {"project": "project_id", "key": "api_key_id", "user": "user_id", "model": "model"}

Spent = Mapping[str, Decimal | None]
"""USD by the values of a dimension; None where nothing of what was used has a price."""


def pinned(budgets: Iterable[Budget]) -> frozenset[str]:
    """Ids whose usage must keep its labels, whatever the series limit."""
    ids = (getattr(budget.scope, name) for budget in budgets for name in _SCOPES)
    return frozenset(id for id in ids if id is not None)


def states(
    budgets: Iterable[Budget],
    organization: Organization,
    bill: Bill | None,
    counters: Sequence[CounterDataset],
    title: Callable[[str, str], str] = lambda scope, id: "",
) -> Iterator[BudgetState]:
    """Each budget, or each of its parts, with what was spent of it.

    Args:
        counters: the usage endpoints that are priced.
        title: the name of what a scope and an id mean, empty where it is not known.
    """
    for budget in budgets:
        scope, own_id = _scope(budget)
        dimension = _SCOPES.get(scope)
        # Costs tell spend of the organization and, where grouped so, of projects; nothing finer.
        costs = organization.costs
        basis = BILLED if costs and (dimension is None or dimension in costs.group_by) else ESTIMATED

        def spent(period: str, basis: str = basis, dimension: str | None = dimension) -> Spent | None:
            billed = basis == BILLED
            return _billed(bill, dimension, period) if billed else _estimated(counters, dimension, period)

        # Whoever spent in this month has a budget today, also before the first request of the day.
        ids = [own_id] if budget.each is None else sorted(spent("month") or {})
        usd = spent(budget.period)
        for id in ids:
            if id or dimension is None:
                yield BudgetState(
                    budget.name, scope, id, budget.period, basis,
                    Decimal(str(budget.limit_usd)), budget.warn_ratio,
                    None if usd is None else usd.get(id, Decimal(0)), title(scope, id),
                )  # fmt: skip


def families(states: Iterable[BudgetState]) -> Iterator[Family]:
    """Limits, warning shares, and what was spent and is left as far as it is known."""
    limit, spent, warn = (
        Family(metrics.BUDGET_LIMIT),
        Family(metrics.BUDGET_SPENT),
        Family(metrics.BUDGET_WARN_RATIO),
    )
    remaining, ratio = Family(metrics.BUDGET_REMAINING), Family(metrics.BUDGET_RATIO)
    for state in states:
        labels = (state.name, state.scope, state.id, state.period)
        limit.add(float(state.limit_usd), *labels)
        warn.add(state.warn_ratio, *labels)
        if state.spent_usd is not None:
            spent.add(float(state.spent_usd), *labels, state.basis)
            remaining.add(float(state.limit_usd - state.spent_usd), *labels, state.basis)
            ratio.add(float(state.spent_usd / state.limit_usd), *labels, state.basis)
    yield from (limit, spent, remaining, ratio, warn)


def _scope(budget: Budget) -> tuple[str, str]:
    if budget.each is not None:
        return next(name for name, dimension in _SCOPES.items() if dimension == budget.each), ""
    scopes = ((name, getattr(budget.scope, name)) for name in _SCOPES)
    return next(((name, id) for name, id in scopes if id is not None), ("organization", ""))


def _billed(bill: Bill | None, dimension: str | None, period: str) -> Spent | None:
    if bill is None:
        return None
    if dimension is None:
        return {"": total(bill.month if period == "month" else bill.today)}
    return bill.by(dimension, period=period)


def _estimated(counters: Sequence[CounterDataset], dimension: str | None, period: str) -> Spent | None:
    """The sum over all endpoints that are grouped so; None while any of them is unknown."""
    spent: dict[str, Decimal | None] = {}
    for dataset in counters:
        if dimension is not None and dimension not in dataset.group_by:
            continue
        estimates = dataset.estimated(dimension, period)
        if estimates is None:
            return None
        for id, usd in estimates.items():
            before = spent.get(id)
            spent[id] = before if usd is None else usd if before is None else before + usd
    return spent

# SPDX-License-Identifier: Apache-2.0
"""A report as JSON. Amounts are strings of USD with all their digits, as a float would lose some."""

import json
from decimal import Decimal
from typing import Any

from openai_exporter.report.figures import COUNTS, Figures
from openai_exporter.report.forecast import Forecast
from openai_exporter.report.moments import iso, shown
from openai_exporter.report.report import Part, Report
from openai_exporter.report.words import plain
from openai_exporter.usage.summary import BudgetState


def render(report: Report) -> str:
    """The document as text."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The document as plain data."""
    period = report.period
    return {
        "organization": report.organization,
        "as_of": iso(report.as_of),
        "by": report.by,
        "period": {"from": period.first, "to": period.last},
        "before": {"from": shown(period.before_start), "to": shown(period.before_end - 1)},
        "total": _part(report.total),
        "parts": [{"id": each.id, "name": each.name, **_part(each)} for each in report.parts],
        "days": [{"date": shown(day), **figures(each)} for day, each in report.days],
        "movers": [
            {"id": each.id, "name": each.name, "difference_usd": plain(each.difference)}
            for each in report.movers
        ],
        "forecast": forecast(report.forecast),
        "budgets": [budget(each) for each in report.budgets],
        "notes": list(report.notes),
    }


def figures(found: Figures) -> dict[str, Any]:
    """Figures as plain data."""
    return {
        "billed_usd": usd(found.billed),
        "list_price_usd": usd(found.list_price),
        **{name: found.count(name) for name in COUNTS},
        "output_per_input": found.output_per_input,
        "cached_share": found.cached_share,
        "tokens_per_request": found.tokens_per_request,
    }


def forecast(found: Forecast | None) -> dict[str, Any] | None:
    """A forecast as plain data; per day and at the end to the cent and no finer."""
    if found is None:
        return None
    return {
        "month_to_date_usd": plain(found.so_far),
        "per_day_usd": f"{found.per_day:.2f}",
        "month_end_usd": f"{found.at_end:.2f}",
    }


def budget(each: BudgetState) -> dict[str, Any]:
    """A budget as plain data."""
    left = None if each.spent_usd is None else each.limit_usd - each.spent_usd
    return {
        "budget": each.name,
        "scope": each.scope,
        "id": each.id,
        "name": each.title or each.id,
        "period": each.period,
        "basis": each.basis,
        "limit_usd": plain(each.limit_usd),
        "spent_usd": usd(each.spent_usd),
        "remaining_usd": usd(left),
        "ratio": each.ratio,
        "warn_ratio": each.warn_ratio,
    }


def usd(amount: Decimal | None) -> str | None:
    """An amount; None is unknown."""
    return None if amount is None else plain(amount)


def _part(part: Part) -> dict[str, Any]:
    return {**figures(part.now), "before": figures(part.before), "change": part.change}

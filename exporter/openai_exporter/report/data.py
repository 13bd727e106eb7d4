# SPDX-License-Identifier: Apache-2.0
"""A report as JSON and CSV. Amounts are strings of USD with all their digits."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from openai_exporter.exposition import clean
from openai_exporter.report.book import COUNTS, Figures
from openai_exporter.report.dates import iso, shown
from openai_exporter.report.report import Forecast, Part, Report
from openai_exporter.report.tables import plain
from openai_exporter.usage.dataset import BudgetState

# A report as JSON. Amounts are strings of USD with all their digits, as a float would lose some.


def render_json(report: Report) -> str:
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


# Comma-separated values that a spreadsheet opens, and that run nothing there.

Cell = str | int | float | Decimal | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HEAD = (
    "row", "organization", "from", "to", "by", "id", "name", "billed_usd", "billed_usd_before",
    "list_price_usd", "list_price_usd_before", "change_ratio", *COUNTS,
    "output_per_input", "cached_share", "tokens_per_request",
)  # fmt: skip


def render_csv(report: Report) -> str:
    """One row per part, and one that is their total; amounts with all their digits."""
    rows = [_row("part", report, each) for each in report.parts]
    return table(HEAD, [*rows, _row("total", report, report.total)])


def table(head: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Rows as text; a missing cell is empty."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in head])
    return out.getvalue()


def cell(value: Cell) -> str:
    """Numbers as they are; text such that no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if not isinstance(value, str):
        return repr(value)
    text = f"'{value}" if value.lstrip(" ").startswith(_FORMULA) or value.startswith(_FORMULA) else value
    return clean(text)


def _row(kind: str, report: Report, part: Part) -> dict[str, Cell]:
    now, before = part.now, part.before
    return {
        "row": kind,
        "organization": report.organization,
        "from": report.period.first,
        "to": report.period.last,
        "by": report.by,
        "id": part.id,
        "name": part.name,
        "billed_usd": now.billed,
        "billed_usd_before": before.billed,
        "list_price_usd": now.list_price,
        "list_price_usd_before": before.list_price,
        "change_ratio": part.change,
        **{name: now.count(name) for name in COUNTS},
        **_ratios(now),
    }


def _ratios(figures: Figures) -> dict[str, Cell]:
    return {
        "output_per_input": figures.output_per_input,
        "cached_share": figures.cached_share,
        "tokens_per_request": figures.tokens_per_request,
    }

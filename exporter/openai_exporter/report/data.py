# SPDX-License-Identifier: Apache-2.0
"""A report as JSON and CSV. Amounts are strings of USD with all their digits, as a float would lose some."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from openai_exporter.exposition import clean
from openai_exporter.report.book import COUNTS, Totals
from openai_exporter.report.dates import format_date, iso
from openai_exporter.report.report import Forecast, Part, Report
from openai_exporter.report.tables import plain
from openai_exporter.usage.dataset import BudgetState

Cell = str | int | float | Decimal | None
_RATIOS = ("output_per_input", "cached_share", "tokens_per_request")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HEAD = (
    "row", "organization", "from", "to", "by", "id", "name", "billed_usd", "billed_usd_before",
    "list_price_usd", "list_price_usd_before", "change_ratio", *COUNTS, *_RATIOS,
)  # fmt: skip


def render_json(report: Report) -> str:
    """The document as text."""
    period = report.period
    document = {
        "organization": report.organization,
        "as_of": iso(report.as_of),
        "by": report.by,
        "period": {"from": period.first, "to": period.last},
        "before": {"from": format_date(period.before_start), "to": format_date(period.before_end - 1)},
        "total": _part(report.total),
        "parts": [{"id": part.id, "name": part.name, **_part(part)} for part in report.parts],
        "days": [{"date": format_date(day), **totals(of_day)} for day, of_day in report.days],
        "movers": [
            {"id": part.id, "name": part.name, "difference_usd": plain(part.difference)} for part in report.movers
        ],
        "forecast": forecast(report.forecast),
        "budgets": [budget(state) for state in report.budgets],
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def totals(group: Totals) -> dict[str, Any]:
    """Totals as plain data."""
    return {
        "billed_usd": _usd(group.billed),
        "list_price_usd": _usd(group.list_price),
        **_counts_and_ratios(group),
    }


def forecast(of_month: Forecast | None) -> dict[str, Any] | None:
    """A forecast as plain data; per day and at the end to the cent and no finer."""
    if of_month is None:
        return None
    return {
        "month_to_date_usd": plain(of_month.so_far),
        "per_day_usd": f"{of_month.per_day:.2f}",
        "month_end_usd": f"{of_month.at_end:.2f}",
    }


def budget(state: BudgetState) -> dict[str, Any]:
    """A budget as plain data."""
    return {
        "budget": state.name,
        "scope": state.scope,
        "id": state.id,
        "name": state.title or state.id,
        "period": state.period,
        "basis": state.basis,
        "limit_usd": plain(state.limit_usd),
        "spent_usd": _usd(state.spent_usd),
        "remaining_usd": _usd(None if state.spent_usd is None else state.limit_usd - state.spent_usd),
        "ratio": state.ratio,
        "warn_ratio": state.warn_ratio,
    }


def render_csv(report: Report) -> str:
    """One row per part, and one that is their total; amounts with all their digits."""
    rows = [_row("part", report, part) for part in report.parts]
    return table(HEAD, [*rows, _row("total", report, report.total)])


def table(head: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Rows as comma-separated values that a spreadsheet opens; a missing cell is empty."""
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


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _counts_and_ratios(group: Totals) -> dict[str, Any]:
    counts = {name: group.count(name) for name in COUNTS}
    return counts | {name: getattr(group, name) for name in _RATIOS}


def _part(part: Part) -> dict[str, Any]:
    return {**totals(part.now), "before": totals(part.before), "change": part.change}


def _row(kind: str, report: Report, part: Part) -> dict[str, Cell]:
    return {
        "row": kind,
        "organization": report.organization,
        "from": report.period.first,
        "to": report.period.last,
        "by": report.by,
        "id": part.id,
        "name": part.name,
        "billed_usd": part.now.billed,
        "billed_usd_before": part.before.billed,
        "list_price_usd": part.now.list_price,
        "list_price_usd_before": part.before.list_price,
        "change_ratio": part.change,
        **_counts_and_ratios(part.now),
    }

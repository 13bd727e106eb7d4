# SPDX-License-Identifier: Apache-2.0
"""Comma-separated values that a spreadsheet opens, and that run nothing there."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO

from openai_exporter.exposition import clean
from openai_exporter.report.figures import COUNTS, Figures
from openai_exporter.report.report import Part, Report
from openai_exporter.report.words import plain

Cell = str | int | float | Decimal | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HEAD = (
    "row", "organization", "from", "to", "by", "id", "name", "billed_usd", "billed_usd_before",
    "list_price_usd", "list_price_usd_before", "change_ratio", *COUNTS,
    "output_per_input", "cached_share", "tokens_per_request",
)  # fmt: skip


def render(report: Report) -> str:
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

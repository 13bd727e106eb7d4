# SPDX-License-Identifier: Apache-2.0
"""A report as data: JSON, CSV, and the columns of FOCUS. Amounts are decimals with all their digits.

FOCUS (FinOps Open Cost and Usage Specification) has one row per charge and day. Columns, values and nulls are those of
version 1.2, https://focus.finops.org; ServiceProviderName and HostProviderName are those of 1.3, which replace
ProviderName and PublisherName there. The API reports no discounts, no contract and no unit price: all four costs are
what is billed, and ListUnitPrice and ContractedUnitPrice are omitted.
"""

import csv
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from openai_exporter.config.secret import json_text
from openai_exporter.errors import StartError
from openai_exporter.exposition import clean
from openai_exporter.report.report import COUNTS, Forecast, Part, Period, Report, Totals, format_date, iso
from openai_exporter.report.source import Source
from openai_exporter.usage.costs import COST_DAYS
from openai_exporter.usage.credits import Balance
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.ledger import DAY, Range, month_start, next_month_start
from openai_exporter.usage.rows import CostRow

Cell = str | int | float | Decimal | None
_RATIOS = ("output_per_input", "cached_share", "tokens_per_request")
_FORMULA = frozenset("=+-@\N{MINUS SIGN}")


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
        **({"credit": _credit(report.credit)} if report.credit else {}),
        "budgets": [budget(state) for state in report.budgets],
        "notes": list(report.notes),
    }
    return json_text(document, indent=2) + "\n"


def totals(group: Totals) -> dict[str, Any]:
    """Totals as plain data."""
    return {"billed_usd": _usd(group.billed), "list_price_usd": _usd(group.list_price), **_counts_and_ratios(group)}


def _credit(left: Balance) -> dict[str, Any]:
    until = None if left.exhausted_at is None else iso(left.exhausted_at)
    return {"computed": True, "remaining_usd": _usd(left.remaining), "exhausted_at": until}


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
    rows = [*(_csv_row("part", report, part) for part in report.parts), _csv_row("total", report, report.total)]
    return table(tuple(rows[0]), rows)


def table(head: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Rows as comma-separated values that a spreadsheet opens; a missing cell is empty."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in head])
    return out.getvalue()


def cell(value: Cell) -> str:
    """Numbers as they are; text such that no spreadsheet takes it for a formula, in full-width characters neither."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if not isinstance(value, str):
        return repr(value)
    seen = (char for char in unicodedata.normalize("NFKC", value) if char.isprintable() and not char.isspace())
    return clean(f"'{value}" if next(seen, "") in _FORMULA else value)


def plain(number: Decimal) -> str:
    """All digits, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _counts_and_ratios(group: Totals) -> dict[str, Any]:
    counts = {name: group.count(name) for name in COUNTS}
    return counts | {name: getattr(group, name) for name in _RATIOS}


def _part(part: Part) -> dict[str, Any]:
    return {**totals(part.now), "before": totals(part.before), "change": part.change}


def _csv_row(kind: str, report: Report, part: Part) -> dict[str, Cell]:
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


FOCUS_HEAD = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency",
    "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingPeriodStart", "BillingPeriodEnd",
    "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "InvoiceIssuerName", "InvoiceId", "ServiceProviderName", "HostProviderName",
    "ServiceCategory", "ServiceSubcategory", "ServiceName",
    "SubAccountId", "SubAccountName", "SubAccountType", "SkuId", "SkuPriceId", "SkuMeter",
)  # fmt: skip
_FOCUS_GROUP_BY = ("project_id", "line_item")
_COST_COLUMNS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_SAME_IN_EACH_ROW = {
    **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "OpenAI"),
    **dict.fromkeys(("ServiceProviderName", "HostProviderName"), "OpenAI"),
    "BillingCurrency": "USD",
    "BillingAccountType": "Organization",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
    "ServiceName": "OpenAI API",
}
_UNITS = {
    "1000_tokens": "1000 Tokens",
    "duration_seconds": "Seconds",
    "duration_minutes": "Minutes",
    "duration_hours": "Hours",
    "gibibyte_hours": "GiB-Hours",
    "": "Units",
}
"""Units of the API in FOCUS's unit format; of others the first letter is made a capital, as it asks."""


def render_focus(source: Source, period: Period, now: float) -> str:
    """Every billed amount of a period as comma-separated values, with the names of projects if they can be read.

    Raises:
        UpstreamError: costs could not be read.
        StartError: an amount is in another currency, whose column would be wrong.
    """
    charges: list[tuple[int, CostRow]] = []

    def take(start: int, row: CostRow) -> None:
        if period.start <= start < period.end:
            charges.append((start, row))

    end = period.end if period.end <= now else None
    days = Range(period.start, end, "1d", COST_DAYS)
    source.costs(_FOCUS_GROUP_BY, days, charges.clear, take, quantities=True)
    names = {project.id: project.name for project in source.directory([]).projects.values()}
    return table(FOCUS_HEAD, [_charge(source.organization.name, day, row, names) for day, row in charges])


def _charge(organization: str, day: int, row: CostRow, names: Mapping[str, str]) -> dict[str, Cell]:
    if row.usd is None:
        raise StartError(f"costs have an amount in {row.currency}; only usd can be reported")
    project_id, line_item = row.labels
    credit = row.usd < 0
    quantity = None if credit else row.quantity
    unit = "" if quantity is None else _UNITS.get(row.unit, row.unit.capitalize())
    return {
        **dict.fromkeys(_COST_COLUMNS, row.usd),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), quantity),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), unit),
        **dict.fromkeys(("ChargeDescription", "SkuId", "SkuPriceId"), line_item),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), organization),
        **_SAME_IN_EACH_ROW,
        "BillingPeriodStart": iso(month_start(day)),
        "BillingPeriodEnd": iso(next_month_start(day)),
        "ChargePeriodStart": iso(day),
        "ChargePeriodEnd": iso(day + DAY),
        "ChargeCategory": "Credit" if credit else "Usage",
        "ChargeFrequency": "One-Time" if credit else "Usage-Based",
        "SkuMeter": line_item.rpartition(", ")[2].capitalize(),
        "SubAccountId": project_id,
        "SubAccountName": names.get(project_id, ""),
        "SubAccountType": "Project" if project_id else None,
    }

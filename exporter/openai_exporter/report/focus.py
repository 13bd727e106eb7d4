# SPDX-License-Identifier: Apache-2.0
"""Billed costs in the columns of FOCUS (FinOps Open Cost and Usage Specification), one row per charge and day.

Columns, values and nulls are those of version 1.2, https://focus.finops.org; ServiceProviderName and HostProviderName
are those of 1.3, which take the place of ProviderName and PublisherName there. The API tells no discounts, no contract
and no unit price: all four costs are what is billed, and ListUnitPrice and ContractedUnitPrice are left out.
"""

from collections.abc import Mapping

from openai_exporter.errors import StartError
from openai_exporter.report.data import Cell, table
from openai_exporter.report.dates import Period, iso
from openai_exporter.report.source import Source
from openai_exporter.usage.ledger import DAY, Range, month_start, next_month_start
from openai_exporter.usage.rows import CostRow

HEAD = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency",
    "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingPeriodStart", "BillingPeriodEnd",
    "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName",
    "ServiceCategory", "ServiceSubcategory", "ServiceName",
    "SubAccountId", "SubAccountName", "SubAccountType", "SkuId", "SkuPriceId", "SkuMeter",
)  # fmt: skip
_GROUP_BY = ("project_id", "line_item")
_COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_FIXED = {
    **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "OpenAI"),
    **dict.fromkeys(("ServiceProviderName", "HostProviderName"), "OpenAI"),
    "BillingCurrency": "USD",
    "BillingAccountType": "Organization",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
    "ServiceName": "OpenAI API",
}
_MOST_DAYS = 180
_UNITS = {
    "1000_tokens": "1000 Tokens",
    "duration_seconds": "Seconds",
    "duration_minutes": "Minutes",
    "duration_hours": "Hours",
    "gibibyte_hours": "GiB-Hours",
    "": "Units",
}
"""Units of the API in FOCUS's unit format; of others the first letter is made a capital, as it asks."""


def render(source: Source, period: Period, now: float) -> str:
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
    source.costs(_GROUP_BY, Range(period.start, end, "1d", _MOST_DAYS), charges.clear, take)
    names = {project.id: project.name for project in source.directory([]).projects.values()}
    return table(HEAD, [_row(source.organization.name, day, row, names) for day, row in charges])


def _row(organization: str, day: int, row: CostRow, names: Mapping[str, str]) -> dict[str, Cell]:
    if row.usd is None:
        raise StartError(f"costs have an amount in {row.currency}; only usd can be reported")
    project_id, line_item = row.labels
    credit = row.usd < 0
    quantity = None if credit else row.quantity
    unit = "" if quantity is None else _UNITS.get(row.unit, row.unit.capitalize())
    return {
        **dict.fromkeys(_COSTS, row.usd),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), quantity),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), unit),
        **dict.fromkeys(("ChargeDescription", "SkuId", "SkuPriceId"), line_item),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), organization),
        **_FIXED,
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

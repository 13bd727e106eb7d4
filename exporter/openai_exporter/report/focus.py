# SPDX-License-Identifier: Apache-2.0
"""Billed costs in the columns of FOCUS (FinOps Open Cost and Usage Specification), one row per charge and day.

Columns, values and nulls are those of version 1.2, https://focus.finops.org; ServiceProviderName and HostProviderName
are those of 1.3, which take the place of ProviderName and PublisherName there. The API tells no discounts, no contract
and no unit price: all four costs are what is billed, and ListUnitPrice and ContractedUnitPrice are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from openai_exporter.config.organization import Organization
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.report.data import Cell, table
from openai_exporter.report.dates import Period, iso
from openai_exporter.report.source import Source, TakeCosts
from openai_exporter.usage.rows import CostRow
from openai_exporter.usage.window import DAY, Range, month_start, next_month_start

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
_OPENAI = "OpenAI"
_PROVIDERS = (
    "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName",
)  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class Charge:
    """One billed amount of a day."""

    day: int
    project_id: str
    line_item: str
    row: CostRow


def charges(source: Source, period: Period, now: float) -> list[Charge]:
    """Every billed amount of a period.

    Raises:
        UpstreamError: costs could not be read.
    """
    found: list[Charge] = []

    def take(start: int, row: CostRow) -> None:
        if period.start <= start < period.end:
            project_id, line_item = row.labels
            found.append(Charge(start, project_id, line_item, row))

    def begin() -> TakeCosts:
        found.clear()
        return take

    end = period.end if period.end <= now else None
    source.costs(_GROUP_BY, Range(period.start, end, "1d", _MOST_DAYS), begin)
    return found


def names_of(source: Source, organization: Organization) -> dict[str, str]:
    """Names of the projects by id; empty where names are not to be read, or cannot be."""
    if not organization.names:
        return {}
    try:
        return {each.id: each.name for each in source.directory().projects.values()}
    except UpstreamError:
        return {}


def render(organization: Organization, found: Iterable[Charge], names: Mapping[str, str]) -> str:
    """The charges as comma-separated values.

    Raises:
        StartError: an amount is in another currency, whose column would be wrong.
    """
    return table(HEAD, _rows(organization.name, found, names))


def _rows(organization: str, found: Iterable[Charge], names: Mapping[str, str]) -> Iterator[dict[str, Cell]]:
    for each in found:
        usd = each.row.usd
        if usd is None:
            raise StartError(f"costs have an amount in {each.row.currency}; only usd can be reported")
        yield {
            **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), usd),
            **_times(each.day),
            **_kind(each, usd),
            "BillingCurrency": "USD",
            "BillingAccountId": organization,
            "BillingAccountName": organization,
            "BillingAccountType": "Organization",
            **dict.fromkeys(_PROVIDERS, _OPENAI),
            "ServiceCategory": "AI and Machine Learning",
            "ServiceSubcategory": "Generative AI",
            "ServiceName": "OpenAI API",
            "SubAccountId": each.project_id,
            "SubAccountName": names.get(each.project_id, ""),
            "SubAccountType": "Project" if each.project_id else None,
        }


def _times(day: int) -> dict[str, Cell]:
    return {
        "BillingPeriodStart": iso(month_start(day)),
        "BillingPeriodEnd": iso(next_month_start(day)),
        "ChargePeriodStart": iso(day),
        "ChargePeriodEnd": iso(day + DAY),
    }


def _kind(each: Charge, usd: Decimal) -> dict[str, Cell]:
    credit = usd < 0
    quantity = None if credit else each.row.quantity
    unit = "" if quantity is None else _UNITS.get(each.row.unit, each.row.unit.capitalize())
    return {
        "ChargeCategory": "Credit" if credit else "Usage",
        "ChargeDescription": each.line_item,
        "ChargeFrequency": "One-Time" if credit else "Usage-Based",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "SkuId": each.line_item,
        "SkuPriceId": each.line_item,
        "SkuMeter": each.line_item.rpartition(", ")[2].capitalize(),
    }

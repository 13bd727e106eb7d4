# SPDX-License-Identifier: Apache-2.0
"""The FOCUS file against the specification: columns, values and nulls of version 1.2, and the two names of 1.3.

https://focus.finops.org/focus-specification/; what is written here of each column is its feature level, its data
type, whether it may be null, and its allowed values.
"""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest

from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import done, run

MANDATORY, CONDITIONAL, RECOMMENDED = "mandatory", "conditional", "recommended"
COLUMNS: dict[str, tuple[str, str, bool]] = {
    "BilledCost": (MANDATORY, "decimal", False),
    "BillingAccountId": (MANDATORY, "string", False),
    "BillingAccountName": (MANDATORY, "string", True),
    "BillingAccountType": (CONDITIONAL, "string", False),
    "BillingCurrency": (MANDATORY, "currency", False),
    "BillingPeriodEnd": (MANDATORY, "time", False),
    "BillingPeriodStart": (MANDATORY, "time", False),
    "ChargeCategory": (MANDATORY, "string", False),
    "ChargeClass": (MANDATORY, "string", True),
    "ChargeDescription": (MANDATORY, "string", True),
    "ChargeFrequency": (RECOMMENDED, "string", False),
    "ChargePeriodEnd": (MANDATORY, "time", False),
    "ChargePeriodStart": (MANDATORY, "time", False),
    "ConsumedQuantity": (CONDITIONAL, "decimal", True),
    "ConsumedUnit": (CONDITIONAL, "string", True),
    "ContractedCost": (MANDATORY, "decimal", False),
    "EffectiveCost": (MANDATORY, "decimal", False),
    "HostProviderName": (MANDATORY, "string", True),
    "InvoiceId": (RECOMMENDED, "string", True),
    "InvoiceIssuerName": (MANDATORY, "string", False),
    "ListCost": (MANDATORY, "decimal", False),
    "PricingQuantity": (MANDATORY, "decimal", True),
    "PricingUnit": (MANDATORY, "string", True),
    "ProviderName": (MANDATORY, "string", False),
    "PublisherName": (MANDATORY, "string", False),
    "ServiceCategory": (MANDATORY, "string", False),
    "ServiceName": (MANDATORY, "string", False),
    "ServiceProviderName": (MANDATORY, "string", False),
    "ServiceSubcategory": (RECOMMENDED, "string", False),
    "SkuId": (CONDITIONAL, "string", True),
    "SkuMeter": (CONDITIONAL, "string", True),
    "SkuPriceId": (CONDITIONAL, "string", True),
    "SubAccountId": (CONDITIONAL, "string", True),
    "SubAccountName": (CONDITIONAL, "string", True),
    "SubAccountType": (CONDITIONAL, "string", True),
}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {
        "AI Platforms", "Bots", "Generative AI", "Machine Learning", "Natural Language Processing",
        "Other (AI and Machine Learning)",
    },
}  # fmt: skip
FORMS = {
    "decimal": r"-?\d+(\.\d+)?",
    "time": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z",
    "currency": r"[A-Z]{3}",
    "string": r"(?s)\S(.*\S)?",
}

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows(shared_simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    path = tmp_path_factory.mktemp("focus") / "costs.csv"
    done(run(shared_simulator, "report", "--period", "2026-10", "--format", "focus", "-o", str(path)))
    text = path.read_bytes().decode()
    assert text.endswith("\r\n"), "RFC 4180 ends lines so"
    return list(csv.DictReader(io.StringIO(text), strict=True))


def values(rows: list[Row], name: str) -> Iterator[str]:
    return (row[name] for row in rows if row[name])


def test_its_columns_are_of_the_specification_and_none_that_is_mandatory_or_recommended_lacks(rows: list[Row]) -> None:
    names = set(rows[0])
    assert names <= COLUMNS.keys()
    assert {name for name, (level, *_) in COLUMNS.items() if level in (MANDATORY, RECOMMENDED)} <= names


def test_no_charge_names_an_invoice_since_the_api_names_none(rows: list[Row]) -> None:
    assert {row["InvoiceId"] for row in rows} == {""}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_has_its_form_and_is_null_only_where_it_may_be(rows: list[Row], name: str) -> None:
    _, kind, nullable = COLUMNS[name]
    assert all(re.fullmatch(FORMS[kind], each) for each in values(rows, name))
    assert nullable or all(row[name] for row in rows)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_column_has_allowed_values_only(rows: list[Row], name: str) -> None:
    assert set(values(rows, name)) <= ALLOWED[name]


def test_quantities_units_and_skus_are_there_for_usage(rows: list[Row]) -> None:
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Credit"}
    for row in rows:
        usage = row["ChargeCategory"] == "Usage"
        for name in ("PricingQuantity", "ConsumedQuantity", "SkuId", "SkuPriceId"):
            assert not usage or row[name], (name, row)
        for kind in ("Pricing", "Consumed"):
            assert bool(row[f"{kind}Quantity"]) == bool(row[f"{kind}Unit"]), row
        assert usage or not row["ConsumedQuantity"]
        assert row["ChargeFrequency"] == ("Usage-Based" if usage else "One-Time")
        assert bool(row["SubAccountId"]) == bool(row["SubAccountType"])


def test_costs_without_discounts_are_equal_and_days_lie_in_their_month(rows: list[Row]) -> None:
    for row in rows:
        assert 1 == len({Decimal(row[name]) for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")})
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]


def test_a_charge_is_one_row(rows: list[Row]) -> None:
    keys = [(row["ChargePeriodStart"], row["SubAccountId"], row["SkuId"]) for row in rows]
    assert len(keys) == len(set(keys))

# SPDX-License-Identifier: Apache-2.0
"""One result of a costs bucket, decoded strictly. Adds nothing up."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openai_exporter.usage.fold import Labels
from openai_exporter.usage.jsontext import MalformedError
from openai_exporter.usage.money import amount
from openai_exporter.usage.rows import label, shown

CURRENCY = "usd"


@dataclass(frozen=True, slots=True)
class CostRow:
    """A billed amount.

    Attributes:
        labels: in the order of the dimensions asked for.
        usd: None when the amount is in another currency.
        currency: in lower case.
        quantity, unit: what was billed, where the API says so.
    """

    labels: Labels
    usd: Decimal | None
    currency: str = CURRENCY
    quantity: Decimal | None = None
    unit: str = ""


def decoded(result: Any, group_by: tuple[str, ...]) -> CostRow:
    """A result of a bucket.

    Raises:
        MalformedError: names the field.
    """
    if not isinstance(result, Mapping):
        raise MalformedError(f"expected an object, got {shown(result)}")
    labels = tuple([label(result, name) for name in group_by])
    given = result.get("amount")
    if given is None:
        return CostRow(labels, Decimal(0))
    if not isinstance(given, Mapping):
        raise MalformedError(f"amount: expected an object, got {shown(given)}")
    currency = label(given, "currency").lower() or CURRENCY
    usd = amount(given.get("value", 0), "amount.value")
    quantity = result.get("quantity")
    return CostRow(
        labels,
        usd if currency == CURRENCY else None,
        currency,
        None if quantity is None else amount(quantity, "quantity"),
        label(result, "quantity_unit"),
    )

# SPDX-License-Identifier: Apache-2.0
"""Figures as a report shows them; None is shown as unknown. Rounds only here."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

UNKNOWN = "\N{EN DASH}"
CENT = Decimal("0.01")


def cents(usd: Decimal) -> Decimal:
    """Rounded to the cent, halves away from zero."""
    return usd.quantize(CENT, ROUND_HALF_UP)


def apportioned(parts: Sequence[Decimal]) -> list[Decimal]:
    """Parts in whole cents that add up to their exact sum in whole cents; none is off by a cent or more.

    All are rounded down, and the cents that are missing go to the largest remainders.
    """
    down = [each.quantize(CENT, ROUND_FLOOR) for each in parts]
    missing = int((cents(sum(parts, Decimal(0))) - sum(down, Decimal(0))) / CENT)
    ranked = sorted(range(len(parts)), key=lambda place: (down[place] - parts[place], place))
    for place in ranked[:missing]:
        down[place] += CENT
    return down


def dollars(usd: Decimal | None) -> str:
    """`$1,234.56`; to the cent."""
    if usd is None:
        return UNKNOWN
    amount = cents(usd)
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def difference(usd: Decimal) -> str:
    """`+$12.00`."""
    text = dollars(usd)
    return text if text.startswith("-") else f"+{text}"


def count(value: int) -> str:
    """`1,234,567`."""
    return f"{value:,}"


def percent(ratio: float | None) -> str:
    """`12.3 %`."""
    return UNKNOWN if ratio is None else f"{ratio * 100:,.1f} %"


def change(ratio: float | None) -> str:
    """`+12.3 %`; `new` where there was nothing before."""
    return "new" if ratio is None else f"{ratio * 100:+,.1f} %"


def ratio(value: float | None) -> str:
    """`0.42`, or without decimals from a hundred on."""
    return UNKNOWN if value is None else f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def plain(number: Decimal) -> str:
    """All digits, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

# SPDX-License-Identifier: Apache-2.0
"""Rounding that loses no cent."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.report.tables import CENT, apportioned, cents, change, dollars, percent

AMOUNTS = st.lists(st.decimals(-(10**6), 10**6, places=9, allow_nan=False, allow_infinity=False), max_size=40)


@given(AMOUNTS)
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[Decimal]) -> None:
    shown = apportioned(parts)

    assert cents(sum(parts, Decimal(0))) == sum(shown, Decimal(0))
    assert all(abs(part - each) < CENT for part, each in zip(parts, shown, strict=True))


def test_figures_are_shown_as_people_write_them() -> None:
    assert "-$1,234.57" == dollars(Decimal("-1234.565"))
    assert "$0.00" == dollars(Decimal("-0.001"))
    assert "\N{EN DASH}" == dollars(None)
    assert "12.3 %" == percent(0.1234)
    assert ("+5.0 %", "new") == (change(0.05), change(None))

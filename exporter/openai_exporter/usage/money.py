# SPDX-License-Identifier: Apache-2.0
"""Amounts of money as the API gives them: a number by its description, a numeric string in practice."""

import re
from decimal import Decimal

from openai_exporter.usage.jsontext import MalformedError
from openai_exporter.usage.rows import shown

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,40})?([eE][+-]?\d{1,2})?")
_MOST = Decimal(10) ** 12


def amount(value: object, place: str) -> Decimal:
    """An amount, exactly as written.

    Raises:
        MalformedError: not a number, or beyond 10^12.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite() and abs(value) <= _MOST:
        return value
    raise MalformedError(f"{place}: expected an amount as a number or a numeric string, got {shown(value)}")

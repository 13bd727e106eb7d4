# SPDX-License-Identifier: Apache-2.0
"""Amounts with a unit as people write them: `5s`, `800ms`, `5%`, `100/min`, `2M`, `25 USD`."""

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from openai_exporter.config.base import format_duration, parse_duration


class Kind(StrEnum):
    """What an amount measures; the base unit of its value in expressions."""

    SECONDS = "seconds"
    RATIO = "ratio"
    PER_MINUTE = "per minute"
    PER_SECOND = "per second"
    PER_HOUR = "per hour"
    USD = "USD"


_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_SECONDS = re.compile(r"([0-9]{1,9}\.[0-9]{1,9})(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"([0-9.]+)\s*([kKMG]?)(?:\s*(?:tokens|requests))?(?:\s*/\s*([a-z]+))?")
_PREFIX = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_PER = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}


def parse(kind: Kind, value: object) -> float:
    """The amount in the base unit of its kind.

    Raises:
        ValueError: no such amount; the message says what is allowed.
    """
    expected, read = _FORMS[kind]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be {expected}")
    try:
        amount = read(value.strip() if isinstance(value, str) else value)
    except ValueError as error:
        more = f"; {error}" if str(error) else ""
        raise ValueError(f"must be {expected}{more}") from None
    if not math.isfinite(amount) or amount < 0:
        raise ValueError(f"must be {expected}, not negative")
    return amount


def show(kind: Kind, value: float) -> str:
    """The amount as people read it, such as `5s`, `5%` or `25 USD`."""
    if kind is Kind.SECONDS:
        return format_duration(value)
    return f"{plain(value * 100)}%" if kind is Kind.RATIO else f"{plain(value)} {kind}"


def plain(value: float) -> str:
    """A number without exponent and needless digits, as PromQL and people read it."""
    text = f"{value:.12g}"
    return text if "e" not in text else f"{value:.12f}".rstrip("0").rstrip(".")


def _number(text: str | float) -> float:
    if not isinstance(text, str):
        return float(text)
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


def _seconds(text: str | float) -> float:
    if isinstance(text, float) and not math.isfinite(text):
        raise ValueError
    if not isinstance(text, str) or _NUMBER.fullmatch(text):
        raise ValueError(f"add the unit: {text}s or {text}ms")
    match = _SECONDS.fullmatch(text)
    if match:
        return round(float(match[1]) * _UNITS[match[2]], 6)
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError from None


def _ratio(text: str | float) -> float:
    if isinstance(text, str) and text.endswith("%"):
        found = round(_number(text[:-1].rstrip()) / 100, 9)
    else:
        found = _number(text)
        if found > 1:
            raise ValueError(f"did you mean {text}%?")
    if found > 1:
        raise ValueError("a share is at most 100%")
    return found


def _per(base: float, *, bare: bool) -> Callable[[str | float], float]:
    def parse(text: str | float) -> float:
        match = _RATE.fullmatch(text if isinstance(text, str) else plain(text))
        if not match or (match[3] is None and not bare) or (match[3] and match[3] not in _PER):
            raise ValueError
        amount = _number(match[1]) * _PREFIX[match[2]]
        return amount if match[3] is None else round(amount * base / _PER[match[3]], 9)

    return parse


def _usd(text: str | float) -> float:
    if isinstance(text, str):
        text = text.removeprefix("$").removesuffix("USD").removesuffix("usd").strip()
    return _number(text)


_FORMS: Mapping[Kind, tuple[str, Callable[[str | float], float]]] = {
    Kind.SECONDS: ("a duration with its unit, such as 5s, 2.5s or 800ms", _seconds),
    Kind.RATIO: ("a share such as 5% or 0.05", _ratio),
    Kind.PER_MINUTE: ("a rate with its unit, such as 100/min, 2/s or 6/h", _per(60.0, bare=False)),
    Kind.PER_SECOND: ("a number per second, such as 20 or 20/s", _per(1.0, bare=True)),
    Kind.PER_HOUR: ("a number per hour, such as 50000, 500k, 2M or 2M/h", _per(3600.0, bare=True)),
    Kind.USD: ("an amount in US dollars, such as 25 USD, $25 or 25", _usd),
}
"""What an amount of each kind must be, and how it is read; a reader raises ValueError, with a hint or without words."""

# SPDX-License-Identifier: Apache-2.0
"""Where the month will end, from the days so far. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from openai_exporter.usage.window import DAY, day_start, month_start, next_month_start

_MEAN_DAYS = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """Cost of the running month in USD.

    Attributes:
        so_far: until now.
        per_day: mean of the seven days before yesterday, whose costs have mostly arrived.
        at_end: so far, with yesterday and today at no less than the mean, and the mean for each day left.
    """

    so_far: Decimal
    per_day: Decimal
    at_end: Decimal


HOW = "The mean of the seven days before yesterday is taken for each day that is left."
EARLIEST = (_MEAN_DAYS + 1) * DAY
"""Seconds before today for which costs must be known."""


def forecast(cost_of: Callable[[int, int], Decimal], now: float) -> Forecast:
    """From what costs were in [start, end), for whole days.

    Yesterday and today are still arriving, so they count as the mean when less of them is known.
    """
    today, month = day_start(now), month_start(now)
    yesterday = today - DAY
    mean = cost_of(yesterday - _MEAN_DAYS * DAY, yesterday) / _MEAN_DAYS
    so_far = cost_of(month, today + DAY)
    settled = cost_of(month, max(month, yesterday))
    arriving = sum(
        (max(mean, cost_of(day, day + DAY)) for day in (yesterday, today) if day >= month), Decimal(0)
    )
    left = (next_month_start(now) - today) // DAY - 1
    return Forecast(so_far, mean, settled + arriving + mean * left)

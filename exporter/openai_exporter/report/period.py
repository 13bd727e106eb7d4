# SPDX-License-Identifier: Apache-2.0
"""The days that a report is about, and those that it compares them with. Pure; days are UTC."""

import re
from dataclasses import dataclass

from openai_exporter.report.moments import PeriodError, day, days, shown
from openai_exporter.usage.window import DAY, day_start, month_start, next_month_start, previous_month_start

_MONTH = re.compile(r"\d{4}-\d{2}")
_RANGE = re.compile(r"(\S+?)\.\.(\S+)")
ALLOWED = "day, week, month, a month such as 2026-10, or FROM..TO such as 2026-11-01..2026-11-15"


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from `start` to `end` (exclusive), in Unix seconds; `before` is what it is compared with."""

    start: int
    end: int
    before_start: int
    before_end: int

    @property
    def first(self) -> str:
        """The first day."""
        return shown(self.start)

    @property
    def last(self) -> str:
        """The last day."""
        return shown(self.end - 1)


def period(text: str, now: float) -> Period:
    """What a person means.

    `day` is the last day that is over, `week` the last seven, `month` this month so far, today included;
    a month so far is compared with as many days of the month before, everything else with as many days
    just before it, a whole month with the whole month before.

    Raises:
        PeriodError: it is none of these, or lies in the future.
    """
    today = day_start(now)
    if text == "day":
        return _just_before(today - DAY, today)
    if text == "week":
        return _just_before(today - 7 * DAY, today)
    if text == "month":
        return _of_month(month_start(now), today + DAY)
    if _MONTH.fullmatch(text):
        start = day(f"{text}-01", "--period", now)
        return _of_month(start, min(next_month_start(start), today + DAY))
    found = _RANGE.fullmatch(text)
    if found is None:
        raise PeriodError(f"--period: {text!r} is not one of: {ALLOWED}")
    return _just_before(*days(found[1], found[2], ("--period FROM", "--period TO"), now))


def _just_before(start: int, end: int) -> Period:
    return Period(start, end, 2 * start - end, start)


def _of_month(start: int, end: int) -> Period:
    before = previous_month_start(start)
    whole = end == next_month_start(start)
    return Period(start, end, before, start if whole else min(start, before + end - start))

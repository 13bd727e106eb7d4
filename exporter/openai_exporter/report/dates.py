# SPDX-License-Identifier: Apache-2.0
"""Dates that people write and the days that a report covers; days are UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from openai_exporter.errors import ExporterError
from openai_exporter.usage.ledger import DAY, day_start, month_start, next_month_start, previous_month_start

FIRST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
"""No API key is older; an earlier date is a typo."""
ANY_TIME = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""As the present time: what is rejected then is wrong at any time."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"\d{4}-\d{2}")
_RANGE = re.compile(r"(\S+?)\.\.(\S+)")
ALLOWED = "day, week, month, a month such as 2026-10, or FROM..TO such as 2026-11-01..2026-11-15"


class PeriodError(ExporterError):
    """A date or period that cannot be used; the message says what is allowed."""


def parse_day(text: str, name: str, now: float) -> int:
    """The start of a day written `2026-11-21`, not after today and not before 2020.

    Raises:
        PeriodError: names the option and the value.
    """
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        start = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise PeriodError(f"{name}: {text!r} is not a date such as 2026-11-21") from None
    if start > now:
        raise PeriodError(f"{name}: {text} is in the future; today is {format_date(now)} (UTC)")
    if start < FIRST:
        raise PeriodError(f"{name}: {text} is before {format_date(FIRST)}; there is no usage that old")
    return start


def parse_days(first: str, last: str, names: tuple[str, str], now: float) -> tuple[int, int]:
    """From the start of the first day to the end of the last.

    Raises:
        PeriodError: a date is wrong, or the first is after the last.
    """
    start, end = parse_day(first, names[0], now), parse_day(last, names[1], now)
    if start > end:
        raise PeriodError(f"{names[0]}: {first} is after {names[1]} {last}; swap them")
    return start, end + DAY


def parse_time(text: str, name: str, now: float) -> float:
    """Unix seconds of a time written `2026-11-21T09:30:00Z`, UTC where no zone is given, not after now.

    Raises:
        PeriodError: names the option and the value.
    """
    try:
        time = datetime.fromisoformat(text)
        timestamp = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise PeriodError(f"{name}: {text!r} is not a time such as 2026-11-21T09:30:00Z") from None
    if timestamp > now:
        raise PeriodError(f"{name}: {text} is in the future; it is {iso(now)}")
    return timestamp


def format_date(timestamp: float) -> str:
    """The day of a timestamp as `2026-11-21`."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")


def iso(timestamp: float) -> str:
    """A timestamp as `2026-11-21T09:30:00Z`."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        return format_date(self.start)

    @property
    def last(self) -> str:
        """The last day."""
        return format_date(self.end - 1)


def parse_period(text: str, now: float) -> Period:
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
        start = parse_day(f"{text}-01", "--period", now)
        return _of_month(start, min(next_month_start(start), today + DAY))
    dates = _RANGE.fullmatch(text)
    if dates is None:
        raise PeriodError(f"--period: {text!r} is not one of: {ALLOWED}")
    return _just_before(*parse_days(dates[1], dates[2], ("--period FROM", "--period TO"), now))


def _just_before(start: int, end: int) -> Period:
    return Period(start, end, 2 * start - end, start)


def _of_month(start: int, end: int) -> Period:
    before = previous_month_start(start)
    whole = end == next_month_start(start)
    return Period(start, end, before, start if whole else min(start, before + end - start))

# SPDX-License-Identifier: Apache-2.0
"""From a time to the buckets that must be read, in the API's clock (UTC, Unix seconds)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

HOUR = 3600
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """One query of time buckets.

    Attributes:
        start: start of the first bucket.
        end: end of the last bucket; None reads up to now.
        width: `1m`, `1h` or `1d`.
        limit: buckets per page, the most that the API gives (official description of `limit`).
    """

    start: int
    end: int | None
    width: str
    limit: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What one refresh of usage reads.

    Attributes:
        month: start of the month that the figures belong to.
        start: everything known from here on is replaced.
        closes: buckets that begin before this hour are final and are kept as one sum.
        hours: the running hours, read first.
        days: whole days before them; None when there are none to read.
    """

    month: int
    start: int
    closes: int
    hours: Range
    days: Range | None


def hour_start(now: float) -> int:
    """The start of the hour that `now` is in."""
    return int(now // HOUR) * HOUR


def day_start(now: float) -> int:
    """The start of the UTC day that `now` is in."""
    return int(now // DAY) * DAY


def month_start(now: float) -> int:
    """The start of the UTC month that `now` is in."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp())


def next_month_start(now: float) -> int:
    """The start of the UTC month after the one that `now` is in."""
    return month_start(month_start(now) + 31 * DAY)


def previous_month_start(now: float) -> int:
    """The start of the UTC month before the one that `now` is in."""
    return month_start(month_start(now) - 1)


def whole_month(now: float, settle: float) -> Plan:
    """Read the month so far: days whose figures are final by the day, the rest by the hour."""
    month = month_start(now)
    closes = max(month, hour_start(now - settle))
    first = max(month, day_start(closes))
    days = Range(month, first, "1d", 31) if first > month else None
    return Plan(month, month, closes, Range(first, None, "1h", 168), days)


def since(closed_until: int, now: float, settle: float) -> Plan:
    """Read the hours that were not final at the last reading, however long ago that was."""
    closes = max(closed_until, hour_start(now - settle))
    return Plan(month_start(now), closed_until, closes, Range(closed_until, None, "1h", 168), None)


_RESOLUTION = 1.5
"""Differences below this are the header's one-second resolution and the way of the answer."""


class ApiClock:
    """The API's clock, learned from header Date: months and days of usage are those of the API, not of this machine.

    Attributes:
        offset: seconds that the API's clock is ahead of ours; None before the first answer.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.offset: float | None = None

    def now(self) -> float:
        """The API's time in Unix seconds, as far as it is known."""
        offset = self.offset or 0.0
        return self._now() + (offset if abs(offset) > _RESOLUTION else 0.0)

    def observe(self, date: float | None) -> None:
        """Take note of the Date of an answer that has just arrived."""
        if date is not None:
            self.offset = date + 0.5 - self._now()

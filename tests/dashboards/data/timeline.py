# SPDX-License-Identifier: Apache-2.0
"""When samples are taken, and how traffic changes over a day and a week. Knows no metric."""

import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

HOUR = 3600
DAY = 24 * HOUR
FINE, COARSE = 60, 240
"""Seconds between samples of the recent part, and of the older one (within Prometheus' look-back)."""


def month_start(unix: float, months: int = 0) -> int:
    """Unix seconds of the first of the month (UTC) that holds `unix`, moved by whole months."""
    moment = datetime.fromtimestamp(unix, UTC)
    number = moment.year * 12 + moment.month - 1 + months
    return int(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp())


def rhythm(unix: float) -> float:
    """Traffic at a moment as a share of its peak: office hours on weekdays, a low at night and on weekends."""
    moment = datetime.fromtimestamp(unix, UTC)
    hour = moment.hour + moment.minute / 60
    daily = 0.3 + 0.7 * math.exp(-(((hour - 14.0) / 4.5) ** 2))
    return daily * (0.45 if moment.weekday() >= 5 else 1.0)


def noise(seed: str, spread: float) -> Callable[[int], float]:
    """A factor around 1 for each whole number, always the same for the same seed."""

    def factor(number: int) -> float:
        share = zlib.crc32(f"{seed}/{number}".encode()) / 2**32
        return 1.0 + spread * (2.0 * share - 1.0)

    return factor


@dataclass(frozen=True)
class Timeline:
    """The moments of all samples.

    Attributes:
        start, end: Unix seconds of the first and the last sample.
        fine_from: from here on, one sample every FINE seconds; before it every COARSE seconds.
    """

    start: int
    end: int
    fine_from: int

    @cached_property
    def times(self) -> Sequence[int]:
        """Unix seconds of every sample."""
        return [*range(self.start, self.fine_from, COARSE), *range(self.fine_from, self.end + 1, FINE)]

    @property
    def length(self) -> int:
        """Samples of one series."""
        return len(self.times)

    def gauge(self, value: Callable[[int], float | None]) -> list[float | None]:
        """A series from a function of the time."""
        return [value(t) for t in self.times]

    def constant(self, value: float) -> list[float | None]:
        """A series that never changes."""
        return [value] * self.length

    def since(self, start: float, value: float, before: float = 0.0) -> list[float | None]:
        """A series that is `before` until `start` and `value` from then on."""
        return [value if t >= start else before for t in self.times]

    def around(self, middle: float, spread: float, seed: str, seconds: int = 600) -> list[float | None]:
        """A series that moves around `middle` by up to a share of `spread`, each so many seconds."""
        factor = noise(seed, spread)
        return [middle * factor(t // seconds) for t in self.times]

    def count(self, events: Sequence[float]) -> list[float | None]:
        """A counter from what happens at each sample; the coarse part stands for FINE-second events too."""
        total = 0.0
        found: list[float | None] = []
        for t, event in zip(self.times, events, strict=True):
            total += event * (COARSE // FINE if t < self.fine_from else 1)
            found.append(total)
        return found

    def month_counter(self, per_hour: Callable[[int], float], whole: bool = True) -> list[float | None]:
        """A counter that starts anew each month, from a rate per hour that is constant within an hour."""
        first = month_start(self.start)
        hours = list(range(first, self.end + HOUR, HOUR))
        rates = [per_hour(hour) for hour in hours]
        totals = _month_totals(hours, rates)
        found: list[float | None] = []
        for t in self.times:
            at = bisect_right(hours, t) - 1
            value = totals[at] + rates[at] * (t - hours[at]) / HOUR
            found.append(float(round(value)) if whole else round(value, 6))
        return found


@dataclass(frozen=True)
class Paced(Timeline):
    """Moments of one pace, off the full minutes as a rule group's are.

    Attributes:
        pace: seconds between two samples.
    """

    pace: int

    @cached_property
    def times(self) -> Sequence[int]:
        """Unix seconds of every sample."""
        first = -(-self.start // self.pace) * self.pace + self.pace // 2 + 1
        return range(first, self.end + 1, self.pace)


def _month_totals(hours: Sequence[int], rates: Sequence[float]) -> list[float]:
    """What each hour starts with: the sum of the hours before it in its month."""
    totals = []
    total = 0.0
    for hour, rate in zip(hours, rates, strict=True):
        if hour == month_start(hour):
            total = 0.0
        totals.append(total)
        total += rate
    return totals

# SPDX-License-Identifier: Apache-2.0
"""How activity runs over time: growth, weeks, days, hours and minutes, as one rising function. Knows no streams."""

import math
import random
from dataclasses import dataclass

from openai_exporter.simulator.organization.ids import digest, generator
from openai_exporter.simulator.organization.seed import DAY, FOUNDED

HOUR = 3600
MINUTE = 60
_GROWTH_PER_DAY = 0.02 / 30  # of the founding month's activity: two percent a month, not compounded
_MOST_CACHED_HOURS = 4096


@dataclass(frozen=True, slots=True)
class Habit:
    """The usual shape of a day (24 weights, UTC hours) and of a week (7 weights, Monday first)."""

    hours: tuple[float, ...]
    weekdays: tuple[float, ...]
    unrest: float


def _bump(centre: float, width: float, floor: float) -> tuple[float, ...]:
    distances = [min(abs(hour - centre), 24 - abs(hour - centre)) for hour in range(24)]
    return tuple(floor + math.exp(-((distance / width) ** 2)) for distance in distances)


HABITS = {
    "office": Habit(_bump(11.5, 4.2, 0.03), (1.05, 1.15, 1.2, 1.15, 1.0, 0.2, 0.15), 0.12),
    "consumer": Habit(_bump(19.5, 5.0, 0.25), (0.95, 0.95, 0.97, 1.0, 1.08, 1.15, 1.1), 0.10),
    "steady": Habit((1.0,) * 24, (1.0,) * 7, 0.05),
    "nightly": Habit(tuple(1.0 if 1 <= hour <= 4 else 0.0 for hour in range(24)), (1.0,) * 7, 0.20),
    "bursty": Habit(_bump(15.0, 3.0, 0.01), (1.2, 1.1, 1.0, 1.0, 0.8, 0.1, 0.1), 0.55),
}


class Rhythm:
    """One rising function of time: `at(t)` grows by about 1 per day, `at(b) - at(a)` is the share of [a, b).

    Hours and minutes split their day exactly, so figures agree whatever the bucket width.
    """

    def __init__(self, seed: int, habit: str, variant: int) -> None:
        self._habit = HABITS[habit]
        self._key = digest(seed, habit, variant)
        self._rng = generator(seed, "days", habit, variant)
        self._days = [0.0]
        self._shares: dict[int, tuple[float, ...]] = {}

    def at(self, unix: float) -> float:
        """Activity from the founding until `unix` seconds; never falls as `unix` rises."""
        if unix <= FOUNDED:
            return 0.0
        day, rest = divmod(unix - FOUNDED, DAY)
        low, high = self._day(int(day))
        if not rest:
            return low
        hour, rest = divmod(rest, HOUR)
        low, high = self._part(low, high, int(day), int(hour), 24)
        if not rest:
            return low
        minute, rest = divmod(rest, MINUTE)
        low, high = self._part(low, high, 1_000_000 + int(day) * 24 + int(hour), int(minute), 60)
        return min(low + (high - low) * (rest / MINUTE), high)

    def _day(self, day: int) -> tuple[float, float]:
        while len(self._days) <= day + 1:
            self._days.append(self._days[-1] + self._next_weight())
        return self._days[day], self._days[day + 1]

    def _next_weight(self) -> float:
        day = len(self._days) - 1
        noise = math.exp(self._rng.gauss(0.0, self._habit.unrest))
        spike = 2.2 if self._rng.random() < 0.012 else 1.0
        weekday = (day + 6) % 7  # the founding day was a Sunday
        return self._habit.weekdays[weekday] * min(noise, 3.0) * spike * (1 + day * _GROWTH_PER_DAY)

    def _part(self, low: float, high: float, key: int, index: int, count: int) -> tuple[float, float]:
        shares = self._shares.get(key) or self._split(key, count)
        start = min(low + (high - low) * shares[index], high)  # rounding may lift a product above its end
        end = high if index + 1 == count else min(low + (high - low) * shares[index + 1], high)
        return start, end

    def _split(self, key: int, count: int) -> tuple[float, ...]:
        """The cumulative shares of `count` equal parts of a day or hour, from 0 to 1."""
        rng = random.Random(self._key ^ (key * 0x9E3779B97F4A7C15))
        weights = self._habit.hours if count == 24 else (1.0,) * count
        shaped = [weight * (0.7 + 0.6 * rng.random()) for weight in weights]
        total, reached, shares = sum(shaped), 0.0, [0.0]
        for weight in shaped:
            reached += weight
            shares.append(reached / total)
        if len(self._shares) >= _MOST_CACHED_HOURS:
            self._shares.clear()
        self._shares[key] = tuple(shares)
        return self._shares[key]

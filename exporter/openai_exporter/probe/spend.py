# SPDX-License-Identifier: Apache-2.0
"""What the probes of each module have cost today (UTC), at list prices."""

from collections.abc import Callable, Mapping
from decimal import Decimal

DAY = 86_400


class Spend:
    """Sums per module and UTC day; `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._day = 0
        self._sums: dict[str, Decimal] = {}

    def add(self, module: str, cost: Decimal) -> None:
        """Count a probe."""
        self._turn_day()
        self._sums[module] = self._sums.get(module, Decimal()) + cost

    def restore(self, day: int, sums: Mapping[str, Decimal]) -> None:
        """Go on from what had been spent before a restart; of another day it means nothing."""
        self._turn_day()
        if day == self._day:
            for module, usd in sums.items():
                self._sums[module] = self._sums.get(module, Decimal()) + usd

    def so_far(self) -> tuple[int, Mapping[str, Decimal]]:
        """The day, in UTC days since 1970, and USD spent by module."""
        self._turn_day()
        return self._day, dict(self._sums)

    def today(self, module: str) -> Decimal:
        """USD spent today."""
        self._turn_day()
        return self._sums.get(module, Decimal())

    def reached(self, module: str, limit: float | None) -> bool:
        """Whether the daily limit is used up."""
        return limit is not None and self.today(module) >= Decimal(str(limit))

    def _turn_day(self) -> None:
        day = int(self._now() // DAY)
        if day != self._day:
            self._day = day
            self._sums.clear()

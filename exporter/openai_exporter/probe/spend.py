# SPDX-License-Identifier: Apache-2.0
"""What the probes of each module have cost today (UTC), at list prices; in memory only."""

from collections.abc import Callable
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

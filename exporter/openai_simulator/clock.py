# SPDX-License-Identifier: Apache-2.0
"""The simulated time: what `created`, usage buckets and `Date` go by. Waiting is always done in real time."""

import datetime
import time
from collections.abc import Callable


class SimClock:
    """A clock of unix seconds (UTC) that can be set, moved on and sped up.

    `start` is the simulated time at creation (None: the present); `speed` is simulated seconds per
    real second, 0 stands still. `monotonic` is the real clock, injected for tests.
    """

    def __init__(
        self, start: float | None = None, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._speed = _checked_speed(speed)
        self._origin = time.time() if start is None else float(start)
        self._mark = monotonic()

    def now(self) -> float:
        """Simulated unix seconds."""
        return self._origin + (self._monotonic() - self._mark) * self._speed

    def set(self, unix: float) -> None:
        """Jump to `unix` seconds, forwards or backwards."""
        self._origin = float(unix)
        self._mark = self._monotonic()

    def advance(self, seconds: float) -> None:
        """Jump by `seconds` (negative goes back)."""
        self.set(self.now() + seconds)

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        checked = _checked_speed(speed)
        self.set(self.now())
        self._speed = checked


def _checked_speed(speed: float) -> float:
    if not 0 <= speed < float("inf"):
        raise ValueError(f"speed must be a finite number of at least 0, got {speed}")
    return float(speed)


def parse_time(value: object) -> float:
    """Unix seconds from a number or an ISO 8601 string (UTC unless it says otherwise).

    Raises:
        TypeError, ValueError: it is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    parsed = datetime.datetime.fromisoformat(value)  # type: ignore[arg-type]
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()

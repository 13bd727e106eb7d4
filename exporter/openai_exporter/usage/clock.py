# SPDX-License-Identifier: Apache-2.0
"""The API's clock, learnt from header Date: months and days of usage are those of the API, not of this machine."""

from collections.abc import Callable

_RESOLUTION = 1.5
"""Differences below this are the header's one-second resolution and the way of the answer."""


class ApiClock:
    """Our clock, set right by the last answer.

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

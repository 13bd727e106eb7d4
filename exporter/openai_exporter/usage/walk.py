# SPDX-License-Identifier: Apache-2.0
"""Long readings in portions: an organization with many projects needs many calls, and usage must not wait for them."""

import time
from collections.abc import Callable, Iterator

PORTION = 10.0
"""Seconds after which a reading lets the others pass."""


class Walk:
    """A reading that goes on where it stopped."""

    def __init__(self, portion: float = PORTION, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._portion = portion
        self._monotonic = monotonic
        self._steps: Iterator[None] | None = None

    def go(self, begin: Callable[[], Iterator[None]]) -> bool:
        """Go on, or begin; True when it came to its end. A failure ends it, the next call begins anew."""
        steps, self._steps = self._steps or begin(), None
        end = self._monotonic() + self._portion
        for _ in steps:
            if self._monotonic() > end:
                self._steps = steps
                return False
        return True

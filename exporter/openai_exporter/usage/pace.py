# SPDX-License-Identifier: Apache-2.0
"""Lets other threads run while a worker computes: the interpreter runs one thread at a time."""

import time
from collections.abc import Callable

_WORK = 0.002
_REST = 0.0005


class Pace:
    """Rests half a millisecond after each two milliseconds of work, when called often enough.

    A rest is needed, and not only a hint: a thread that gives the interpreter up and asks for it again at
    once mostly gets it back before the waiting thread has woken up.
    """

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._monotonic = monotonic
        self._rested = 0.0

    def __call__(self) -> None:
        """Rest when it is time to."""
        now = self._monotonic()
        if now - self._rested > _WORK:
            self._sleep(_REST)
            self._rested = self._monotonic()

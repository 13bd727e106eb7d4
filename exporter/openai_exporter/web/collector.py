# SPDX-License-Identifier: Apache-2.0
"""Collects cyclic garbage while no probe is timed: a collection stops everything for up to 50 ms.

A probe that ends as it should leaves no cycle behind, so what waits to be collected grows slowly.
"""

import asyncio
import gc
import time
from collections.abc import Callable

EVERY = 30.0
"""Seconds between two collections while there is a quiet moment for them."""

MANY = 400_000
"""New objects, alive or not, at which a collection waits for a quiet moment no longer.

A probe in flight has some 250: five hundred of them stay below it, and are not walked in vain.
"""


def new_objects() -> int:
    """Objects made less objects gone since the last collection, as the interpreter counts them."""
    return gc.get_count()[0]


class Collector:
    """Decides when to collect.

    Args:
        busy: whether a scrape is being answered.
        collect: does it.
        grown: objects since the last collection.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        busy: Callable[[], bool],
        collect: Callable[[], object] = gc.collect,
        grown: Callable[[], int] = new_objects,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._busy = busy
        self._collect = collect
        self._grown = grown
        self._clock = clock
        self._last = clock()

    async def run(self) -> None:
        """Collect now and then in place of the interpreter, until cancelled."""
        gc.disable()
        try:
            while True:
                await asyncio.sleep(1)
                self.tick()
        finally:
            gc.enable()

    def tick(self) -> bool:
        """Collect if it is time; True when it was."""
        quiet = self._clock() - self._last >= EVERY and not self._busy()
        if not quiet and self._grown() < MANY:
            return False
        self._collect()
        self._last = self._clock()
        return True

# SPDX-License-Identifier: Apache-2.0
"""What outlives a reload of the configuration: counters, history, spend, keys seen, places among those in flight."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.probe.backoff import Draw
from openai_exporter.probe.clients import Keyring, Library
from openai_exporter.probe.history import History
from openai_exporter.probe.spend import Spend
from openai_exporter.probe.totals import Totals
from openai_exporter.probe.turns import Turns


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time and chance, injected.

    Attributes:
        now: Unix seconds.
        monotonic: seconds, for ages and waits.
        draw: random number between two bounds.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    draw: Draw


class Shared:
    """One per process, handed from prober to prober."""

    def __init__(
        self,
        config: Config,
        instruments: Instruments,
        history: History,
        clocks: Clocks,
        proxies: Mapping[str, str],
        max_in_flight: int,
    ) -> None:
        self.totals = Totals(instruments)
        self.history = history
        self.clocks = clocks
        self.keyring = Keyring(config, proxies)
        self.library = Library()
        self.turns = Turns()
        self.spend = Spend(clocks.now)
        self._slots = asyncio.Semaphore(max_in_flight)

    @asynccontextmanager
    async def slot(self, deadline: float) -> AsyncIterator[bool]:
        """A place among the probes in flight; False when none came free within the deadline (monotonic)."""
        if not await self._acquired(deadline):
            yield False
            return
        self.totals.in_flight(+1)
        try:
            yield True
        finally:
            self.totals.in_flight(-1)
            self._slots.release()

    async def _acquired(self, deadline: float) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            return await asyncio.wait_for(self._slots.acquire(), max(deadline - self.clocks.monotonic(), 0.0))
        except TimeoutError:
            return False

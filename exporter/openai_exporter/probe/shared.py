# SPDX-License-Identifier: Apache-2.0
"""What outlives a reload of the configuration: counters, history, spend, keys seen, places among those in flight."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from openai_exporter.client.turns import Turns
from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import ProbeKey
from openai_exporter.probe.backoff import Draw
from openai_exporter.probe.clients import Keyring, Library
from openai_exporter.probe.history import History
from openai_exporter.probe.memory import Memory, Remembered, Wait
from openai_exporter.probe.spend import Spend
from openai_exporter.probe.totals import Totals


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
        storage: Path | None,
    ) -> None:
        self.totals = Totals(instruments)
        self.history = history
        self.clocks = clocks
        self.keyring = Keyring(config, proxies)
        self.library = Library()
        self.turns = Turns()
        self.spend = Spend(clocks.now)
        self.waits: dict[ProbeKey, Wait] = {}
        self.memory = Memory(
            storage, self._kept, lambda reason: instruments.count(own.STORAGE_FAILURES, ("", reason))
        )
        self._recall()
        self._slots = asyncio.Semaphore(max_in_flight)

    def _kept(self) -> Remembered:
        day, spent = self.spend.so_far()
        now = self.clocks.now()
        return Remembered(day, spent, tuple(each for each in self.waits.values() if each.until > now))

    def _recall(self) -> None:
        found = self.memory.load()
        if found is not None:
            self.spend.restore(found.day, found.spend)
            self.waits = {each.key: each for each in found.waits}

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

# SPDX-License-Identifier: Apache-2.0
"""Stored bytes of vector stores: a level that grows and is cleaned up, a pure function of seed and time."""

from collections.abc import Callable
from dataclasses import dataclass

from openai_exporter.simulator.organization.arrival import View
from openai_exporter.simulator.organization.flows import Totals
from openai_exporter.simulator.organization.ids import generator
from openai_exporter.simulator.organization.rhythm import Rhythm
from openai_exporter.simulator.organization.seed import DAY, Roster
from openai_exporter.simulator.organization.size import SeededSize
from openai_exporter.simulator.organization.streams import Labels

_CLEANED_EVERY = 45.0


@dataclass(frozen=True, slots=True)
class _Store:
    project_id: str
    since: float
    until: float
    base: int
    per_day: float


class Stores:
    """The vector stores of the projects."""

    def __init__(self, seed: int, roster: Roster, size: SeededSize) -> None:
        self.stopped = float("inf")  # nothing is added, cleaned up or billed after this time
        self._rhythm = Rhythm(seed, "office", 99)
        self._stores: list[_Store] = []
        for number, project in enumerate(roster.projects if size.streams else ()):
            rng = generator(seed, "store", number)
            if number % 2 == 0:
                base, growth = rng.randrange(1 << 29, 1 << 32), rng.uniform(2e6, 4e7)
                until = float("inf") if project.archived_at is None else project.archived_at
                self._stores.append(_Store(project.id, project.created_at + 20 * DAY, until, base, growth))

    def level(self, project_id: str, unix: float) -> int:
        """Bytes that the project's stores hold at `unix` seconds."""
        return sum(self._bytes(store, unix) for store in self._stores if store.project_id == project_id)

    def project_ids(self) -> list[str]:
        """The projects that have a store, at any time."""
        return [store.project_id for store in self._stores]

    def add(
        self, group_of: Callable[[Labels], int], start: float, end: float, view: View, into: Totals
    ) -> None:
        """Add each project's level at the end of what `view` sees of [start, end)."""
        seen = [high for _, _, high in view.ranges(start, end)]
        if not seen:
            return
        for store in self._stores:
            group, level = group_of((store.project_id,)), self._bytes(store, max(seen))
            if group >= 0 and level:
                into[group] = [into.get(group, [0])[0] + level]

    def _bytes(self, store: _Store, unix: float) -> int:
        if not store.since <= unix <= store.until:
            return 0
        grown = (self._rhythm.at(min(unix, self.stopped)) - self._rhythm.at(store.since)) % _CLEANED_EVERY
        return store.base + int(store.per_day * grown)

# SPDX-License-Identifier: Apache-2.0
"""Usage as a pure function of seed and time: requests, their sizes, and stored bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openai_simulator.organization.arrival import View
from openai_simulator.organization.seed import DAY, Roster, SeededSize, generator
from openai_simulator.organization.streams import Labels, Rhythm, StreamBuilder, Streams

# Usage as a pure function of seed and time: how many requests each stream made, and what they add up to.

_MOST_CACHED_COUNTS = 400_000
_LEFT_OUT = -1
Totals = dict[int, list[int]]


class Flows:
    """The seeded usage. `stop` ends all of it at a time (unix seconds), so that books can settle."""

    def __init__(self, seed: int, roster: Roster, size: SeededSize) -> None:
        builder = StreamBuilder(seed, roster)
        self._streams = builder.build(size)
        self._courses = builder.courses
        self._levels: dict[float, list[float]] = {}
        self._counts: dict[tuple[str, float], list[int]] = {}
        self._stopped = float("inf")

    @property
    def idle(self) -> bool:
        """Whether there are no streams at all."""
        return not any(streams.labels for streams in self._streams.values())

    def stop(self, at: float | None) -> None:
        """Let no usage happen after `at`; None lifts it."""
        self._stopped = float("inf") if at is None else at
        self._levels.clear()
        self._counts.clear()

    def labels(self, operation: str) -> Sequence[Labels]:
        """The labels of each stream, in stream order."""
        return self._streams[operation].labels

    def add(
        self, operation: str, mask: int, start: float, end: float, groups: Sequence[int], into: Totals
    ) -> None:
        """Add what happened in [start, end) to the totals of each stream's group; group -1 is left out."""
        streams = self._streams[operation]
        if not streams.labels:
            return
        before, after = self._counted(streams, start), self._counted(streams, end)
        tables = streams.tables
        for stream, (first, last) in enumerate(zip(before, after, strict=True)):
            if first == last or (group := groups[stream]) == _LEFT_OUT:
                continue
            values = tables[stream].between(first, last, mask)
            known = into.get(group)
            into[group] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]

    def last_request(self, operation: str, stream: int, now: float, oldest: float) -> float | None:
        """When the stream made its newest request before `now`, to the second; None if not since `oldest`."""
        reached = self._count(operation, stream, now)
        if self._count(operation, stream, oldest) == reached:
            return None
        low, high = oldest, now
        while high - low > 1:
            middle = (low + high) / 2
            if self._count(operation, stream, middle) == reached:
                high = middle
            else:
                low = middle
        return high

    def _count(self, operation: str, stream: int, unix: float) -> int:
        streams = self._streams[operation]
        level = self._level(streams.courses[stream], unix)
        return int(streams.volumes[stream] * level + streams.offsets[stream])

    def _counted(self, streams: Streams, unix: float) -> list[int]:
        """How many requests each stream made from its start until `unix`."""
        key = (streams.operation.name, unix)
        counts = self._counts.get(key)
        if counts is None:
            levels = self._levelled(unix)
            columns = zip(streams.volumes, streams.courses, streams.offsets, strict=True)
            counts = [int(volume * levels[course] + offset) for volume, course, offset in columns]
            if len(self._counts) * len(counts) >= _MOST_CACHED_COUNTS:
                self._counts.clear()
            self._counts[key] = counts
        return counts

    def _levelled(self, unix: float) -> list[float]:
        levels = self._levels.get(unix)
        if levels is None:
            if len(self._levels) * len(self._courses) >= _MOST_CACHED_COUNTS:
                self._levels.clear()
            levels = [self._level(course, unix) for course in range(len(self._courses))]
            self._levels[unix] = levels
        return levels

    def _level(self, course: int, unix: float) -> float:
        entry = self._courses[course]
        if unix <= entry.since:
            return 0.0
        return entry.rhythm.at(min(unix, entry.until, self._stopped)) - entry.rhythm.at(entry.since)


# Stored bytes of vector stores: a level that grows and is cleaned up, a pure function of seed and time.

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

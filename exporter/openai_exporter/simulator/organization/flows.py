# SPDX-License-Identifier: Apache-2.0
"""Usage as a pure function of seed and time: how many requests each stream made, and what they add up to."""

from collections.abc import Sequence

from openai_exporter.simulator.organization.seed import Roster
from openai_exporter.simulator.organization.size import SeededSize
from openai_exporter.simulator.organization.streams import Labels, StreamBuilder, Streams

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

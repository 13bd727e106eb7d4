# SPDX-License-Identifier: Apache-2.0
"""Seeded usage as a pure function of seed and time: which key uses what, how many requests, and stored bytes."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from openai_simulator.organization import seed as seeds, traffic
from openai_simulator.organization.operations import OPERATIONS, UsageOperation

_VARIANTS = 4
_STARTS_EVERY = 30 * seeds.DAY
_LEAST_VOLUME = 0.12  # requests per day of the rarest stream: a few in a month
_DEAD_KEY_STREAMS = 2
Labels = tuple[str | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity pattern between two times; `since` and `until` are unix seconds."""

    pattern: traffic.ActivityPattern
    since: float
    until: float


@dataclass(slots=True)
class Streams:
    """The streams of one operation as columns; a stream's labels are in the order of its dimensions."""

    operation: UsageOperation
    labels: list[Labels] = field(default_factory=list)
    volumes: "array[float]" = field(default_factory=lambda: array("d"))
    offsets: "array[float]" = field(default_factory=lambda: array("d"))
    activities: "array[int]" = field(default_factory=lambda: array("l"))
    tables: list[traffic.SizeTable] = field(default_factory=list)


class StreamBuilder:
    """Makes the streams of a roster; shares patterns, activities and size tables between them."""

    def __init__(self, seed: int, roster: seeds.Roster) -> None:
        self._seed = seed
        self._roster = roster
        self._archived = {project.id: project.archived_at for project in roster.projects}
        self._patterns: dict[tuple[str, int], traffic.ActivityPattern] = {}
        self._tables: dict[tuple[str, str, int], traffic.SizeTable] = {}
        self._places: dict[tuple[int, float, float], int] = {}
        self.activities: list[Activity] = []

    def build(self, size: seeds.OrganizationSize) -> dict[str, Streams]:
        """The streams of every operation that counts requests, `size.streams` in all."""
        streams = {name: Streams(operation) for name, operation in OPERATIONS.items()}
        for number, (key, workload) in zip(range(size.stream_count), self._uses(), strict=False):
            self._add(streams[workload.operation], number, key, workload)
        return streams

    def _uses(self) -> Iterator[tuple[seeds.ApiKey, traffic.Workload]]:
        """Every key with every workload, each pair once; keys that are out of use get few."""
        used = [key for key in self._roster.keys if key.used] or list(self._roster.keys)
        for round_ in range(len(traffic.WORKLOADS)):
            for number, key in enumerate(used):
                dead = key.expiry == "expired" or self._archived[key.project_id] is not None
                if not dead or round_ < _DEAD_KEY_STREAMS or len(used) * len(traffic.WORKLOADS) < 4:
                    yield key, traffic.WORKLOADS[(round_ + 7 * number) % len(traffic.WORKLOADS)]

    def _add(self, streams: Streams, number: int, key: seeds.ApiKey, workload: traffic.Workload) -> None:
        rng = seeds.generator(self._seed, "stream", number)
        rarity = (1 + number / 150) ** -1.6
        volume = workload.volume * rarity * rng.lognormvariate(-0.3, 0.5)
        streams.labels.append(_labels(streams.operation, self._seed, key, workload))
        streams.volumes.append(max(volume, _LEAST_VOLUME))
        streams.offsets.append(rng.random())
        streams.activities.append(self._activity(key, workload, rng.randrange(_VARIANTS)))
        streams.tables.append(self._table(streams.operation, workload, rng.randrange(_VARIANTS)))

    def _activity(self, key: seeds.ApiKey, workload: traffic.Workload, variant: int) -> int:
        """The number of a new or known activity."""
        name = (workload.pattern, variant)
        if name not in self._patterns:
            self._patterns[name] = traffic.ActivityPattern(self._seed, *name)
        begun = max(key.created_at, workload.since) - seeds.FOUNDED
        # Few distinct starts, so that activities are shared.
        since = seeds.FOUNDED + -(-begun // _STARTS_EVERY) * _STARTS_EVERY
        until = min(workload.until, self._archived[key.project_id] or workload.until)
        if key.expiry == "expired":
            until = min(until, seeds.EXPIRED_AT)
        until = max(since, until)  # a key that went out of use before its activity began was never used
        place = (id(self._patterns[name]), since, until)
        if place not in self._places:
            self._places[place] = len(self.activities)
            self.activities.append(Activity(self._patterns[name], since, until))
        return self._places[place]

    def _table(self, operation: UsageOperation, workload: traffic.Workload, variant: int) -> traffic.SizeTable:
        name = (operation.name, workload.shape, variant)
        if name not in self._tables:
            shape = f"{operation.name}/{workload.shape}"
            self._tables[name] = traffic.size_table(
                self._seed, shape, operation.parts, traffic.SHAPES[workload.shape], variant
            )
        return self._tables[name]


def _labels(operation: UsageOperation, seed: int, key: seeds.ApiKey, workload: traffic.Workload) -> Labels:
    values: dict[str, str | bool | None] = {
        "project_id": key.project_id,
        "user_id": key.owner_id,
        "api_key_id": key.id,
        "model": workload.model,
        "batch": workload.batch,
        "service_tier": workload.tier,
        "api_source": "agents_api" if workload.shape == "agent" else "unlabeled",
        "vector_store_id": seeds.identifier("vs_", seed, key.project_id, length=24),
        **workload.extras,
    }
    return tuple(values[name] for name in operation.dimensions)


_MOST_CACHED_COUNTS = 400_000
_LEFT_OUT = -1
Totals = dict[int, list[int]]
GroupOf = Callable[[Labels], int]


def add_to(totals: Totals, group: int, values: list[int]) -> None:
    """Add values to a group's totals."""
    known = totals.get(group)
    totals[group] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]


class SeededUsage:
    """The seeded usage. `stop` ends all of it at a time (unix seconds), so that what arrives late can catch up."""

    def __init__(self, seed: int, roster: seeds.Roster, size: seeds.OrganizationSize) -> None:
        builder = StreamBuilder(seed, roster)
        self._streams = builder.build(size)
        self._activities = builder.activities
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

    def add(self, operation: str, mask: int, start: float, end: float, groups: Sequence[int], into: Totals) -> None:
        """Add what happened in [start, end) to the totals of each stream's group; group -1 is left out."""
        streams = self._streams[operation]
        if not streams.labels:
            return
        before, after = self._counted(streams, start), self._counted(streams, end)
        tables = streams.tables
        for stream, (first, last) in enumerate(zip(before, after, strict=True)):
            if first == last or (group := groups[stream]) == _LEFT_OUT:
                continue
            add_to(into, group, tables[stream].between(first, last, mask))

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
        level = self._level(streams.activities[stream], unix)
        return int(streams.volumes[stream] * level + streams.offsets[stream])

    def _counted(self, streams: Streams, unix: float) -> list[int]:
        """How many requests each stream made from its start until `unix`."""
        key = (streams.operation.name, unix)
        counts = self._counts.get(key)
        if counts is None:
            levels = self._levelled(unix)
            columns = zip(streams.volumes, streams.activities, streams.offsets, strict=True)
            counts = [int(volume * levels[activity] + offset) for volume, activity, offset in columns]
            if len(self._counts) * len(counts) >= _MOST_CACHED_COUNTS:
                self._counts.clear()
            self._counts[key] = counts
        return counts

    def _levelled(self, unix: float) -> list[float]:
        levels = self._levels.get(unix)
        if levels is None:
            if len(self._levels) * len(self._activities) >= _MOST_CACHED_COUNTS:
                self._levels.clear()
            levels = [self._level(activity, unix) for activity in range(len(self._activities))]
            self._levels[unix] = levels
        return levels

    def _level(self, activity: int, unix: float) -> float:
        entry = self._activities[activity]
        if unix <= entry.since:
            return 0.0
        return entry.pattern.at(min(unix, entry.until, self._stopped)) - entry.pattern.at(entry.since)


_CLEANED_EVERY = 45.0


@dataclass(frozen=True, slots=True)
class _Store:
    project_id: str
    since: float
    until: float
    base: int
    per_day: float


class VectorStores:
    """The vector stores of the projects."""

    def __init__(self, seed: int, roster: seeds.Roster, size: seeds.OrganizationSize) -> None:
        self.stopped = float("inf")  # nothing is added, cleaned up or billed after this time
        self._pattern = traffic.ActivityPattern(seed, "office", 99)
        self._stores: list[_Store] = []
        for number, project in enumerate(roster.projects if size.stream_count else ()):
            rng = seeds.generator(seed, "store", number)
            if number % 2 == 0:
                base, growth = rng.randrange(1 << 29, 1 << 32), rng.uniform(2e6, 4e7)
                until = float("inf") if project.archived_at is None else project.archived_at
                self._stores.append(_Store(project.id, project.created_at + 20 * seeds.DAY, until, base, growth))

    def level(self, project_id: str, unix: float) -> int:
        """Bytes that the project's stores hold at `unix` seconds."""
        return sum(self._bytes(store, unix) for store in self._stores if store.project_id == project_id)

    def project_ids(self) -> list[str]:
        """The projects that have a store, at any time."""
        return [store.project_id for store in self._stores]

    def add(self, group_of: GroupOf, unix: float, into: Totals) -> None:
        """Add each project's level at `unix` seconds; group -1 is left out."""
        for store in self._stores:
            group, level = group_of((store.project_id,)), self._bytes(store, unix)
            if group >= 0 and level:
                into[group] = [into.get(group, [0])[0] + level]

    def _bytes(self, store: _Store, unix: float) -> int:
        if not store.since <= unix <= store.until:
            return 0
        grown = (self._pattern.at(min(unix, self.stopped)) - self._pattern.at(store.since)) % _CLEANED_EVERY
        return store.base + int(store.per_day * grown)

# SPDX-License-Identifier: Apache-2.0
"""Which key uses the API for what: builds the usage streams of the seeded organization. Counts nothing."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from openai_exporter.simulator.organization.ids import generator, identifier
from openai_exporter.simulator.organization.operations import OPERATIONS, UsageOperation
from openai_exporter.simulator.organization.purposes import PURPOSES, Purpose
from openai_exporter.simulator.organization.rhythm import Rhythm
from openai_exporter.simulator.organization.seed import DAY, EXPIRED_AT, FOUNDED, ApiKey, Roster
from openai_exporter.simulator.organization.size import SeededSize
from openai_exporter.simulator.organization.sizetable import SizeTable, size_table

_VARIANTS = 4
_STARTS_EVERY = 30 * DAY
_LEAST_VOLUME = 0.12  # requests per day of the rarest stream: a few in a month
_DEAD_KEY_STREAMS = 2
Labels = tuple[str | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A rhythm between two times; `since` and `until` are unix seconds."""

    rhythm: Rhythm
    since: float
    until: float


@dataclass(slots=True)
class Streams:
    """The streams of one operation as columns; a stream's labels are in the order of its dimensions."""

    operation: UsageOperation
    labels: list[Labels] = field(default_factory=list)
    volumes: "array[float]" = field(default_factory=lambda: array("d"))
    offsets: "array[float]" = field(default_factory=lambda: array("d"))
    courses: "array[int]" = field(default_factory=lambda: array("l"))
    tables: list[SizeTable] = field(default_factory=list)


class StreamBuilder:
    """Makes the streams of a roster; shares rhythms, courses and size tables between them."""

    def __init__(self, seed: int, roster: Roster) -> None:
        self._seed = seed
        self._roster = roster
        self._archived = {project.id: project.archived_at for project in roster.projects}
        self._rhythms: dict[tuple[str, int], Rhythm] = {}
        self._tables: dict[tuple[str, str, int], SizeTable] = {}
        self._places: dict[tuple[int, float, float], int] = {}
        self.courses: list[Course] = []

    def build(self, size: SeededSize) -> dict[str, Streams]:
        """The streams of every operation that is a flow, `size.streams` in all."""
        found = {name: Streams(operation) for name, operation in OPERATIONS.items()}
        for number, (key, purpose) in zip(range(size.streams), self._uses(), strict=False):
            self._add(found[purpose.operation], number, key, purpose)
        return found

    def _uses(self) -> Iterator[tuple[ApiKey, Purpose]]:
        """Every key with every purpose, each pair once; keys that are out of use get few."""
        used = [key for key in self._roster.keys if key.used] or list(self._roster.keys)
        for round_ in range(len(PURPOSES)):
            for number, key in enumerate(used):
                dead = key.expiry == "expired" or self._archived[key.project_id] is not None
                if not dead or round_ < _DEAD_KEY_STREAMS or len(used) * len(PURPOSES) < 4:
                    yield key, PURPOSES[(round_ + 7 * number) % len(PURPOSES)]

    def _add(self, streams: Streams, number: int, key: ApiKey, purpose: Purpose) -> None:
        rng = generator(self._seed, "stream", number)
        rarity = (1 + number / 150) ** -1.6
        volume = purpose.volume * rarity * rng.lognormvariate(-0.3, 0.5)
        streams.labels.append(_labels(streams.operation, self._seed, key, purpose))
        streams.volumes.append(max(volume, _LEAST_VOLUME))
        streams.offsets.append(rng.random())
        streams.courses.append(self._course(key, purpose, rng.randrange(_VARIANTS)))
        streams.tables.append(self._table(streams.operation, purpose, rng.randrange(_VARIANTS)))

    def _course(self, key: ApiKey, purpose: Purpose, variant: int) -> int:
        name = (purpose.rhythm, variant)
        if name not in self._rhythms:
            self._rhythms[name] = Rhythm(self._seed, *name)
        begun = max(key.created_at, purpose.since) - FOUNDED
        since = (
            FOUNDED + -(-begun // _STARTS_EVERY) * _STARTS_EVERY
        )  # few distinct starts: courses are shared
        until = min(purpose.until, self._archived[key.project_id] or purpose.until)
        if key.expiry == "expired":
            until = min(until, EXPIRED_AT)
        until = max(since, until)  # a key that went out of use before its course began was never used
        place = (id(self._rhythms[name]), since, until)
        if place not in self._places:
            self._places[place] = len(self.courses)
            self.courses.append(Course(self._rhythms[name], since, until))
        return self._places[place]

    def _table(self, operation: UsageOperation, purpose: Purpose, variant: int) -> SizeTable:
        name = (operation.name, purpose.shape, variant)
        if name not in self._tables:
            shape = f"{operation.name}/{purpose.shape}"
            self._tables[name] = size_table(self._seed, shape, operation.parts, purpose.means, variant)
        return self._tables[name]


def _labels(operation: UsageOperation, seed: int, key: ApiKey, purpose: Purpose) -> Labels:
    values: dict[str, str | bool | None] = {
        "project_id": key.project_id,
        "user_id": key.owner_id,
        "api_key_id": key.id,
        "model": purpose.model,
        "batch": purpose.batch,
        "service_tier": purpose.service_tier,
        "api_source": "agents_api" if purpose.shape == "agent" else "unlabeled",
        "vector_store_id": identifier("vs_", seed, key.project_id, length=24),
        **purpose.extras,
    }
    return tuple(values[name] for name in operation.dimensions)

# SPDX-License-Identifier: Apache-2.0
"""Which key uses the API for what, and how activity runs over time."""

import math
import random
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from openai_simulator.organization.arrival import SizeTable, size_table
from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.seed import (
    DAY,
    EXPIRED_AT,
    FOUNDED,
    ApiKey,
    Roster,
    SeededSize,
    digest,
    generator,
    identifier,
)

# What the organization uses the API for: models, sizes of requests, rhythm and volume. Pure data.

_2024_08 = 1722470400
_2025_05 = 1746057600
_2025_09 = 1756684800
_2025_10_23 = 1761177600
_2026_03_20 = 1773964800
_2026_09_20 = 1789862400
_2026_10_25 = 1792886400
ALWAYS = float("inf")


@dataclass(frozen=True, slots=True)
class Purpose:
    """One kind of use. `volume` is requests per day; `means` are average parts of a request.

    `since` and `until` (unix seconds) are when the organization adopted and left it.
    """

    operation: str
    model: str | None
    rhythm: str
    volume: float
    shape: str
    means: Mapping[str, float]
    batch: bool = False
    service_tier: str | None = None
    since: float = 0.0
    until: float = ALWAYS
    extras: Mapping[str, str] = field(default_factory=dict)


TEXT, CACHED, OUT = "input_text_tokens", "input_cached_text_tokens", "output_text_tokens"
WRITE_30M, WRITE_12H = "input_cache_write_30m_tokens", "input_cache_write_12h_tokens"
CHAT = {TEXT: 620.0, CACHED: 540.0, OUT: 310.0}
SHORT = {TEXT: 140.0, OUT: 24.0}
RETRIEVAL = {TEXT: 5200.0, CACHED: 1900.0, OUT: 420.0}
AGENT = {TEXT: 2600.0, CACHED: 14500.0, WRITE_30M: 1800.0, WRITE_12H: 350.0, OUT: 950.0}
BULK = {TEXT: 1500.0, OUT: 180.0}
VISION = {
    TEXT: 310.0,
    CACHED: 120.0,
    "input_image_tokens": 1100.0,
    "input_cached_image_tokens": 200.0,
    OUT: 260.0,
}
VOICE = {
    TEXT: 90.0,
    "input_audio_tokens": 740.0,
    "input_cached_audio_tokens": 160.0,
    OUT: 70.0,
    "output_audio_tokens": 510.0,
}
ARTWORK = {TEXT: 80.0, "input_image_tokens": 400.0, OUT: 60.0, "output_image_tokens": 1056.0}


def _chat(model: str, rhythm: str, volume: float, shape: str, **more: object) -> Purpose:
    return Purpose("completions", model, rhythm, volume, shape, _SHAPES[shape], **more)  # type: ignore[arg-type]


_SHAPES: Mapping[str, Mapping[str, float]] = {
    "chat": CHAT,
    "short": SHORT,
    "retrieval": RETRIEVAL,
    "agent": AGENT,
    "bulk": BULK,
    "vision": VISION,
    "voice": VOICE,
    "artwork": ARTWORK,
}
_EMBED = {"input_tokens": 820.0}
_LOOKED_UP = {"num_requests": 1.6}
_GENERATION = {"source": "image.generation", "size": "1024x1024"}
_FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
_HIGH = {"context_level": "high"}
_MEDIUM = {"context_level": "medium"}
_EDIT = {"source": "image.edit", "size": "1024x1792"}

PURPOSES: tuple[Purpose, ...] = (
    _chat("gpt-6-luna", "consumer", 5200, "chat", service_tier="default", since=_2026_09_20),
    _chat("gpt-5.4-2026-03-05", "office", 1900, "retrieval", service_tier="default", since=_2026_03_20),
    Purpose("embeddings", "text-embedding-3-small", "steady", 7400, "embed", _EMBED),
    _chat("gpt-6-sol", "office", 640, "agent", service_tier="default", since=_2026_09_20),
    _chat("gpt-5.4-mini-2026-03-17", "nightly", 3100, "bulk", batch=True, since=_2026_03_20),
    Purpose(
        "web_search_calls",
        "gpt-6-sol",
        "office",
        210,
        "search",
        _LOOKED_UP,
        extras=_MEDIUM,
    ),
    _chat("gpt-4o-mini-2024-07-18", "consumer", 4100, "chat", service_tier="default", since=_2024_08),
    Purpose(
        "moderations", "omni-moderation-2024-09-26", "consumer", 3900, "moderate", {"input_tokens": 130.0}
    ),
    _chat("gpt-6.1-terra", "office", 420, "agent", service_tier="priority", since=_2026_10_25),
    Purpose("file_search_calls", None, "office", 560, "lookup", {}),
    _chat("gpt-6-luna", "nightly", 2600, "bulk", batch=True, since=_2026_09_20),
    Purpose(
        "images", "gpt-image-2-2026-04-21", "consumer", 130, "image", {"images": 1.0}, extras=_GENERATION
    ),
    _chat("gpt-5-mini-2025-08-07", "steady", 1700, "short", service_tier="flex", since=_2025_09),
    Purpose("audio_transcriptions", "gpt-transcribe", "office", 240, "call", {"seconds": 185.0}),
    _chat("gpt-4.1-2025-04-14", "office", 520, "vision", service_tier="default", since=_2025_05),
    Purpose("code_interpreter_sessions", None, "bursty", 85, "session", {}),
    _chat("gpt-audio-2025-08-28", "consumer", 340, "voice", service_tier="default", since=_2025_09),
    Purpose("audio_speeches", "tts-1", "consumer", 280, "speech", {"characters": 640.0}),
    _chat(
        "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7",
        "steady",
        900,
        "short",
        service_tier="default",
        since=_2026_03_20,
    ),
    Purpose(
        "decisions", "gpt-6-luna", "steady", 1300, "decide", SHORT, service_tier="default", since=_2026_09_20
    ),
    _chat("gpt-5.4-2026-03-05", "bursty", 260, "retrieval", service_tier="priority", since=_2026_03_20),
    Purpose("embeddings", "text-embedding-3-large", "nightly", 2900, "embed", _EMBED),
    _chat("gpt-6-luna", "steady", 1500, "short", service_tier="flex", since=_2026_09_20),
    Purpose(
        "web_search_calls",
        "gpt-5.4-2026-03-05",
        "bursty",
        60,
        "search",
        _LOOKED_UP,
        extras=_HIGH,
    ),
    _chat("gpt-5.4-mini-2026-03-17", "consumer", 2300, "chat", service_tier="default", since=_2026_03_20),
    Purpose("images", "gpt-image-2-2026-04-21", "office", 40, "image", {"images": 1.0}, extras=_EDIT),
    _chat("gpt-4-0613", "office", 350, "chat", service_tier="default", until=_2025_10_23),
    _chat("gpt-3.5-turbo-0125", "consumer", 2400, "chat", service_tier="default", until=_2025_10_23),
    _chat("gpt-image-2-2026-04-21", "bursty", 70, "artwork", service_tier="default", since=_2026_03_20),
    _chat("gpt-6-sol", "nightly", 310, "retrieval", batch=True, since=_2026_09_20),
)

# How activity runs over time: growth, weeks, days, hours and minutes, as one rising function. Knows no streams.

HOUR = 3600
MINUTE = 60
_GROWTH_PER_DAY = 0.02 / 30  # of the founding month's activity: two percent a month, not compounded
_MOST_CACHED_HOURS = 4096


@dataclass(frozen=True, slots=True)
class Habit:
    """The usual shape of a day (24 weights, UTC hours) and of a week (7 weights, Monday first)."""

    hours: tuple[float, ...]
    weekdays: tuple[float, ...]
    unrest: float


def _bump(centre: float, width: float, floor: float) -> tuple[float, ...]:
    distances = [min(abs(hour - centre), 24 - abs(hour - centre)) for hour in range(24)]
    return tuple(floor + math.exp(-((distance / width) ** 2)) for distance in distances)


HABITS = {
    "office": Habit(_bump(11.5, 4.2, 0.03), (1.05, 1.15, 1.2, 1.15, 1.0, 0.2, 0.15), 0.12),
    "consumer": Habit(_bump(19.5, 5.0, 0.25), (0.95, 0.95, 0.97, 1.0, 1.08, 1.15, 1.1), 0.10),
    "steady": Habit((1.0,) * 24, (1.0,) * 7, 0.05),
    "nightly": Habit(tuple(1.0 if 1 <= hour <= 4 else 0.0 for hour in range(24)), (1.0,) * 7, 0.20),
    "bursty": Habit(_bump(15.0, 3.0, 0.01), (1.2, 1.1, 1.0, 1.0, 0.8, 0.1, 0.1), 0.55),
}


class Rhythm:
    """One rising function of time: `at(t)` grows by about 1 per day, `at(b) - at(a)` is the share of [a, b).

    Hours and minutes split their day exactly, so figures agree whatever the bucket width.
    """

    def __init__(self, seed: int, habit: str, variant: int) -> None:
        self._habit = HABITS[habit]
        self._key = digest(seed, habit, variant)
        self._rng = generator(seed, "days", habit, variant)
        self._days = [0.0]
        self._shares: dict[int, tuple[float, ...]] = {}

    def at(self, unix: float) -> float:
        """Activity from the founding until `unix` seconds; never falls as `unix` rises."""
        if unix <= FOUNDED:
            return 0.0
        day, rest = divmod(unix - FOUNDED, DAY)
        low, high = self._day(int(day))
        if not rest:
            return low
        hour, rest = divmod(rest, HOUR)
        low, high = self._part(low, high, int(day), int(hour), 24)
        if not rest:
            return low
        minute, rest = divmod(rest, MINUTE)
        low, high = self._part(low, high, 1_000_000 + int(day) * 24 + int(hour), int(minute), 60)
        return min(low + (high - low) * (rest / MINUTE), high)

    def _day(self, day: int) -> tuple[float, float]:
        while len(self._days) <= day + 1:
            self._days.append(self._days[-1] + self._next_weight())
        return self._days[day], self._days[day + 1]

    def _next_weight(self) -> float:
        day = len(self._days) - 1
        noise = math.exp(self._rng.gauss(0.0, self._habit.unrest))
        spike = 2.2 if self._rng.random() < 0.012 else 1.0
        weekday = (day + 6) % 7  # the founding day was a Sunday
        return self._habit.weekdays[weekday] * min(noise, 3.0) * spike * (1 + day * _GROWTH_PER_DAY)

    def _part(self, low: float, high: float, key: int, index: int, count: int) -> tuple[float, float]:
        shares = self._shares.get(key) or self._split(key, count)
        start = min(low + (high - low) * shares[index], high)  # rounding may lift a product above its end
        end = high if index + 1 == count else min(low + (high - low) * shares[index + 1], high)
        return start, end

    def _split(self, key: int, count: int) -> tuple[float, ...]:
        """The cumulative shares of `count` equal parts of a day or hour, from 0 to 1."""
        rng = random.Random(self._key ^ (key * 0x9E3779B97F4A7C15))
        weights = self._habit.hours if count == 24 else (1.0,) * count
        shaped = [weight * (0.7 + 0.6 * rng.random()) for weight in weights]
        total, reached, shares = sum(shaped), 0.0, [0.0]
        for weight in shaped:
            reached += weight
            shares.append(reached / total)
        if len(self._shares) >= _MOST_CACHED_HOURS:
            self._shares.clear()
        self._shares[key] = tuple(shares)
        return self._shares[key]


# Which key uses the API for what: builds the usage streams of the seeded organization. Counts nothing.

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

# SPDX-License-Identifier: Apache-2.0
"""What the organization uses the API for: workloads, sizes of requests, and activity over time; counts nothing."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from openai_simulator.organization.seed import DAY, FOUNDED, digest, generator

# When the organization adopted models, and left others.
_2024_08 = 1722470400
_2025_05 = 1746057600
_2025_09 = 1756684800
_2025_10 = 1761177600
_2026_03 = 1773964800
_2026_09 = 1789862400
_2026_10 = 1792886400

TEXT, CACHED, OUT = "input_text_tokens", "input_cached_text_tokens", "output_text_tokens"
SHAPES: Mapping[str, Mapping[str, float]] = {
    "chat": {TEXT: 620.0, CACHED: 540.0, OUT: 310.0},
    "short": {TEXT: 140.0, OUT: 24.0},
    "decide": {TEXT: 140.0, OUT: 24.0},
    "retrieval": {TEXT: 5200.0, CACHED: 1900.0, OUT: 420.0},
    "agent": {
        TEXT: 2600.0,
        CACHED: 14500.0,
        "input_cache_write_30m_tokens": 1800.0,
        "input_cache_write_12h_tokens": 350.0,
        OUT: 950.0,
    },
    "bulk": {TEXT: 1500.0, OUT: 180.0},
    "vision": {
        TEXT: 310.0,
        CACHED: 120.0,
        "input_image_tokens": 1100.0,
        "input_cached_image_tokens": 200.0,
        OUT: 260.0,
    },
    "voice": {
        TEXT: 90.0,
        "input_audio_tokens": 740.0,
        "input_cached_audio_tokens": 160.0,
        OUT: 70.0,
        "output_audio_tokens": 510.0,
    },
    "artwork": {TEXT: 80.0, "input_image_tokens": 400.0, OUT: 60.0, "output_image_tokens": 1056.0},
    "embed": {"input_tokens": 820.0},
    "moderate": {"input_tokens": 130.0},
    "search": {"num_requests": 1.6},
    "image": {"images": 1.0},
    "call": {"seconds": 185.0},
    "speech": {"characters": 640.0},
    "lookup": {},
    "session": {},
}
"""The average parts of a request of each shape."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of use. `pattern` names its activity pattern; `volume` is requests per day.

    `since` and `until` (unix seconds) are when the organization adopted and left it.
    """

    operation: str
    model: str | None
    pattern: str
    volume: float
    shape: str
    tier: str | None = None
    batch: bool = False
    since: float = 0.0
    until: float = math.inf
    extras: Mapping[str, str] = field(default_factory=dict)


_chat = partial(Workload, "completions")
_FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
_IMAGES = "gpt-image-2-2026-04-21"
_GENERATION = {"source": "image.generation", "size": "1024x1024"}
_EDIT = {"source": "image.edit", "size": "1024x1792"}
_HIGH, _MEDIUM = {"context_level": "high"}, {"context_level": "medium"}

WORKLOADS: tuple[Workload, ...] = (
    _chat("gpt-6-luna", "consumer", 5200, "chat", "default", since=_2026_09),
    _chat("gpt-5.4-2026-03-05", "office", 1900, "retrieval", "default", since=_2026_03),
    Workload("embeddings", "text-embedding-3-small", "steady", 7400, "embed"),
    _chat("gpt-6-sol", "office", 640, "agent", "default", since=_2026_09),
    _chat("gpt-5.4-mini-2026-03-17", "nightly", 3100, "bulk", batch=True, since=_2026_03),
    Workload("web_search_calls", "gpt-6-sol", "office", 210, "search", extras=_MEDIUM),
    _chat("gpt-4o-mini-2024-07-18", "consumer", 4100, "chat", "default", since=_2024_08),
    Workload("moderations", "omni-moderation-2024-09-26", "consumer", 3900, "moderate"),
    _chat("gpt-6.1-terra", "office", 420, "agent", "priority", since=_2026_10),
    Workload("file_search_calls", None, "office", 560, "lookup"),
    _chat("gpt-6-luna", "nightly", 2600, "bulk", batch=True, since=_2026_09),
    Workload("images", _IMAGES, "consumer", 130, "image", extras=_GENERATION),
    _chat("gpt-5-mini-2025-08-07", "steady", 1700, "short", "flex", since=_2025_09),
    Workload("audio_transcriptions", "gpt-transcribe", "office", 240, "call"),
    _chat("gpt-4.1-2025-04-14", "office", 520, "vision", "default", since=_2025_05),
    Workload("code_interpreter_sessions", None, "bursty", 85, "session"),
    _chat("gpt-audio-2025-08-28", "consumer", 340, "voice", "default", since=_2025_09),
    Workload("audio_speeches", "tts-1", "consumer", 280, "speech"),
    _chat(_FINE_TUNED, "steady", 900, "short", "default", since=_2026_03),
    Workload("decisions", "gpt-6-luna", "steady", 1300, "decide", "default", since=_2026_09),
    _chat("gpt-5.4-2026-03-05", "bursty", 260, "retrieval", "priority", since=_2026_03),
    Workload("embeddings", "text-embedding-3-large", "nightly", 2900, "embed"),
    _chat("gpt-6-luna", "steady", 1500, "short", "flex", since=_2026_09),
    Workload("web_search_calls", "gpt-5.4-2026-03-05", "bursty", 60, "search", extras=_HIGH),
    _chat("gpt-5.4-mini-2026-03-17", "consumer", 2300, "chat", "default", since=_2026_03),
    Workload("images", _IMAGES, "office", 40, "image", extras=_EDIT),
    _chat("gpt-4-0613", "office", 350, "chat", "default", until=_2025_10),
    _chat("gpt-3.5-turbo-0125", "consumer", 2400, "chat", "default", until=_2025_10),
    _chat(_IMAGES, "bursty", 70, "artwork", "default", since=_2026_03),
    _chat("gpt-6-sol", "nightly", 310, "retrieval", batch=True, since=_2026_09),
)

HOUR = 3600
MINUTE = 60
_GROWTH_PER_DAY = 0.02 / 30  # of the founding month's activity: two percent a month, not compounded
_MOST_CACHED_HOURS = 4096


@dataclass(frozen=True, slots=True)
class Pattern:
    """The usual day (24 weights, UTC hours), the usual week (7 weights, Monday first), and the spread of days."""

    hours: tuple[float, ...]
    weekdays: tuple[float, ...]
    spread: float


def _bump(centre: float, width: float, floor: float) -> tuple[float, ...]:
    distances = [min(abs(hour - centre), 24 - abs(hour - centre)) for hour in range(24)]
    return tuple(floor + math.exp(-((distance / width) ** 2)) for distance in distances)


PATTERNS = {
    "office": Pattern(_bump(11.5, 4.2, 0.03), (1.05, 1.15, 1.2, 1.15, 1.0, 0.2, 0.15), 0.12),
    "consumer": Pattern(_bump(19.5, 5.0, 0.25), (0.95, 0.95, 0.97, 1.0, 1.08, 1.15, 1.1), 0.10),
    "steady": Pattern((1.0,) * 24, (1.0,) * 7, 0.05),
    "nightly": Pattern(tuple(1.0 if 1 <= hour <= 4 else 0.0 for hour in range(24)), (1.0,) * 7, 0.20),
    "bursty": Pattern(_bump(15.0, 3.0, 0.01), (1.2, 1.1, 1.0, 1.0, 0.8, 0.1, 0.1), 0.55),
}


class ActivityPattern:
    """One rising function of time: `at(t)` grows by about 1 per day, `at(b) - at(a)` is the share of [a, b).

    Hours and minutes split their day exactly, so figures agree whatever the bucket width.
    """

    def __init__(self, seed: int, name: str, variant: int) -> None:
        self._pattern = PATTERNS[name]
        self._key = digest(seed, name, variant)
        self._rng = generator(seed, "days", name, variant)
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
        noise = math.exp(self._rng.gauss(0.0, self._pattern.spread))
        spike = 2.2 if self._rng.random() < 0.012 else 1.0
        weekday = (day + 6) % 7  # the founding day was a Sunday
        return self._pattern.weekdays[weekday] * min(noise, 3.0) * spike * (1 + day * _GROWTH_PER_DAY)

    def _part(self, low: float, high: float, key: int, index: int, count: int) -> tuple[float, float]:
        shares = self._shares.get(key) or self._split(key, count)
        start = min(low + (high - low) * shares[index], high)  # rounding may lift a product above its end
        end = high if index + 1 == count else min(low + (high - low) * shares[index + 1], high)
        return start, end

    def _split(self, key: int, count: int) -> tuple[float, ...]:
        """The cumulative shares of `count` equal parts of a day or hour, from 0 to 1."""
        rng = random.Random(self._key ^ (key * 0x9E3779B97F4A7C15))
        weights = self._pattern.hours if count == 24 else (1.0,) * count
        shaped = [weight * (0.7 + 0.6 * rng.random()) for weight in weights]
        total, reached, shares = sum(shaped), 0.0, [0.0]
        for weight in shaped:
            reached += weight
            shares.append(reached / total)
        if len(self._shares) >= _MOST_CACHED_HOURS:
            self._shares.clear()
        self._shares[key] = tuple(shares)
        return self._shares[key]


PERIOD = 64  # a stream's request number n has the size of row n % PERIOD
ALL_ROWS = (1 << PERIOD) - 1
Sums = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


class SizeTable:
    """Sizes of the requests of a stream: PERIOD rows of the operation's parts, repeated for ever."""

    def __init__(self, rows: list[tuple[int, ...]]) -> None:
        self._rows = rows
        self._sums: dict[int, Sums] = {}

    def sums(self, mask: int) -> Sums:
        """(sum of one period, sums of its first r rows), counting only the rows whose bit is set in `mask`."""
        if mask not in self._sums:
            running = (0,) * len(self._rows[0])
            prefix = [running]
            for place, row in enumerate(self._rows):
                if mask >> place & 1:
                    running = tuple(a + b for a, b in zip(running, row, strict=True))
                prefix.append(running)
            self._sums[mask] = running, tuple(prefix)
        return self._sums[mask]

    def between(self, first: int, last: int, mask: int = ALL_ROWS) -> list[int]:
        """The parts of requests number `first` to `last`, exclusive."""
        period, prefix = self.sums(mask)
        rounds_before, begin = divmod(first, PERIOD)
        rounds, end = divmod(last, PERIOD)
        rounds -= rounds_before
        rows = zip(period, prefix[begin], prefix[end], strict=True)
        return [rounds * whole + upto - before for whole, before, upto in rows]


def size_table(seed: int, shape: str, parts: tuple[str, ...], means: Mapping[str, float], variant: int) -> SizeTable:
    """A table for `parts`: each request counts 1 in the first part; the others scatter around their mean.

    A mean below 1 is the ratio of requests that have one unit of the part.
    """
    rng = generator(seed, "sizes", shape, variant)
    averages = [means.get(part, 0.0) for part in parts[1:]]
    rows = []
    for _ in range(PERIOD):
        length = min(rng.lognormvariate(0.0, 0.55), 6.0)
        row = [1]
        sizes = [mean * (0.6 + 0.8 * rng.random()) * length for mean in averages]
        for mean, size in zip(averages, sizes, strict=True):
            luck = rng.random()
            row.append(max(int(mean >= 1), int(size) if size >= 1 else int(luck < size)))
        rows.append(tuple(row))
    return SizeTable(rows)

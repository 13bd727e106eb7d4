# SPDX-License-Identifier: Apache-2.0
"""What was used, seeded and recorded: grouped, and as far as it is visible at a time."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.streams import GroupOf, Labels, SeededUsage, Totals, VectorStores, add_to
from openai_simulator.organization.traffic import ALL_ROWS, PERIOD

_CLASS_SIZES = (30, 16, 10, 4, 2, 1, 1)  # of 64 requests; the last four come as late revisions
# In units of `late_seconds`: at the default 600 s most usage is there after ten minutes, the last
# stragglers after four hours; costs begin after an hour and settle within two days.
_USAGE_DELAYS = (0.25, 0.5, 0.75, 1.0, 3.0, 9.0, 24.0)
_COST_DELAYS = (6.0, 12.0, 24.0, 48.0, 96.0, 180.0, 264.0)
_STEPS_PER_LATE = 60


def _masks(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The rows of a size table in each class, scattered by a step that is coprime to the period."""
    masks, place = [], 11
    for size in sizes:
        mask = 0
        for _ in range(size):
            mask |= 1 << place % PERIOD
            place += 27
        masks.append(mask)
    return tuple(masks)


_CLASSES = _masks(_CLASS_SIZES)


def _shed(share: float) -> int:
    """The rows that a downward revision drops: `share` of them, scattered over all classes."""
    count = round(share * PERIOD)
    return sum(1 << (place * 37 + 5) % PERIOD for place in range(count))


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of the rows in `mask` with start <= time < end."""

    mask: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen of the usage; equal `stamp`s see the same.

    What lies before `settled` is seen in full and stays as it is; `shed` are rows that were revised away.
    """

    windows: tuple[Window, ...]
    stamp: tuple[object, ...]
    now: float
    settled: float
    shed: int = 0

    @property
    def newest(self) -> float:
        """The time up to which anything is seen."""
        return max(window.end for window in self.windows)

    def ranges(self, start: float, end: float) -> Iterator[tuple[int, float, float]]:
        """(mask, from, to) of what is seen of [start, end): stretches of time that do not overlap, in order."""
        edges = {start, end}
        for window in self.windows:
            edges.update(edge for edge in (window.start, window.end) if start < edge < end)
        ordered = sorted(edges)
        for low, high in pairwise(ordered):
            mask = 0
            for window in self.windows:
                if window.start <= low and high <= window.end:
                    mask |= window.mask
            if mask:
                yield mask, low, high


def truth(now: float) -> View:
    """Everything that happened before `now`."""
    return View((Window(ALL_ROWS, float("-inf"), now),), ("truth", now), now, now)


@dataclass(frozen=True, slots=True)
class Lateness:
    """The delays of one kind of data, in seconds per class of requests."""

    delays: tuple[float, ...]
    step: float

    @classmethod
    def of_usage(cls, late_seconds: float) -> "Lateness":
        """Usage: the newest minutes fill over `late_seconds`, stragglers come up to 24 times later."""
        return cls(tuple(delay * late_seconds for delay in _USAGE_DELAYS), late_seconds / _STEPS_PER_LATE)

    @classmethod
    def of_costs(cls, late_seconds: float) -> "Lateness":
        """Costs: much later than usage, and revised for two days at the default of 600 s."""
        return cls(tuple(delay * late_seconds for delay in _COST_DELAYS), late_seconds / _STEPS_PER_LATE)

    def view(self, now: float, shrunk_to: float = 1.0, *, running: bool = False) -> View:
        """What has arrived by `now`; `shrunk_to` is the share left of closed hours, with `running` of all hours."""
        now = now - now % self.step if self.step else now
        shed = _shed(1.0 - shrunk_to)
        closed = now - now % 3600
        windows = []
        for mask, delay in zip(_CLASSES, self.delays, strict=True):
            windows.append(Window(mask & ~shed, float("-inf"), now - delay))
            if mask & shed and not running:
                windows.append(Window(mask & shed, closed, now - delay))
        settled = now - self.delays[-1]
        if shed and not running:
            settled = min(settled, closed)
        return View(tuple(windows), ("arrived", now, shed, running), now, settled, shed)


Operation = Literal["completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom an API key belongs to, as the usage API names them."""

    project_id: str
    api_key_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """One billed inference call; `model` is the dated snapshot, `time` simulated unix seconds.

    Token counts follow the usage API: `input_tokens` includes cached and cache-write tokens.
    """

    time: float
    operation: Operation
    model: str
    identity: Identity
    batch: bool = False
    service_tier: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_cached_tokens: int = 0
    input_cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: int = 0
    size: str | None = None
    source: str | None = None


_SCATTER = 41  # coprime to the period: the first calls of a key do not all arrive equally late


@dataclass(slots=True)
class _Series:
    """The calls of one set of labels in time order; `sums` are running totals, one longer than `times`."""

    times: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    parts: list[tuple[int, ...]] = field(default_factory=list)
    sums: list[tuple[int, ...]] = field(default_factory=list)

    def insert(self, unix: float, row: int, parts: tuple[int, ...]) -> None:
        place = bisect_right(self.times, unix)
        self.times.insert(place, unix)
        self.rows.insert(place, row)
        self.parts.insert(place, parts)
        if not self.sums:
            self.sums.append((0,) * len(parts))
        del self.sums[place + 1 :]
        for later in self.parts[place:]:
            self.sums.append(tuple(a + b for a, b in zip(self.sums[-1], later, strict=True)))

    def between(self, start: float, end: float, mask: int) -> list[int] | None:
        first, last = bisect_left(self.times, start), bisect_left(self.times, end)
        if first == last:
            return None
        if mask == ALL_ROWS:
            return [b - a for a, b in zip(self.sums[first], self.sums[last], strict=True)]
        seen = [self.parts[place] for place in range(first, last) if mask >> self.rows[place] & 1]
        return [sum(column) for column in zip(*seen, strict=True)] if seen else None


class RecordedCalls:
    """The ledger of real calls; `version` rises with each that is entered."""

    def __init__(self) -> None:
        self._series: dict[str, dict[Labels, _Series]] = {name: {} for name in OPERATIONS}
        self._waiting: deque[tuple[str, Labels, float, tuple[int, ...]]] = deque()
        self.version = 0

    def record(self, call: Call) -> None:
        """Note one call, from any thread; raises ValueError when its token counts do not add up."""
        operation = OPERATIONS[call.operation]
        self._waiting.append((operation.name, _labels(operation, call), call.time, _parts(operation, call)))

    def enter(self) -> None:
        """Enter the noted calls; the caller holds the organization's lock."""
        while self._waiting:
            operation, labels, unix, parts = self._waiting.popleft()
            series = self._series[operation].setdefault(labels, _Series())
            series.insert(unix, len(series.times) * _SCATTER % PERIOD, parts)
            self.version += 1

    def add(self, operation: str, mask: int, start: float, end: float, group_of: GroupOf, into: Totals) -> None:
        """Add the calls of [start, end) to their groups' totals; group -1 is left out."""
        for labels, series in self._series[operation].items():
            group = group_of(labels)
            values = None if group < 0 else series.between(start, end, mask)
            if values is not None:
                add_to(into, group, values)

    def last_use(self, api_key_id: str, before: float) -> float | None:
        """When the key was last used before `before`, or None."""
        found: list[float] = []
        for name, by_labels in self._series.items():
            where = OPERATIONS[name].dimensions
            place = where.index("api_key_id") if "api_key_id" in where else None
            for labels, series in by_labels.items():
                if place is not None and labels[place] == api_key_id:
                    index = bisect_left(series.times, before)
                    found.extend(series.times[index - 1 : index])
        return max(found, default=None)


def _labels(operation: UsageOperation, call: Call) -> Labels:
    values = {**asdict(call.identity), "api_source": "unlabeled"}
    return tuple(values[name] if name in values else getattr(call, name) for name in operation.dimensions)


def _parts(operation: UsageOperation, call: Call) -> tuple[int, ...]:
    """The call's additive counts; what is neither cached, written to the cache nor audio is text."""
    uncached = call.input_tokens - call.input_cached_tokens - call.input_cache_write_tokens
    values = {
        "num_model_requests": 1,
        "input_text_tokens": uncached - call.input_audio_tokens,
        "input_cached_text_tokens": call.input_cached_tokens,
        "input_cache_write_30m_tokens": call.input_cache_write_tokens,
        "output_text_tokens": call.output_tokens - call.output_audio_tokens,
    }
    if min(uncached, *values.values()) < 0:
        raise ValueError(f"token counts do not add up: {call}")
    return tuple(values[name] if name in values else getattr(call, name, 0) for name in operation.parts)


_MOST_PLANS = 64
Filter = frozenset[str | bool | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of an operation, and how they are grouped; hashable. `filters` are (dimension, values) pairs."""

    operation: str
    group_by: frozenset[str] = frozenset()
    filters: tuple[tuple[str, Filter], ...] = ()

    @classmethod
    def of(cls, operation: str, group_by: frozenset[str], filters: Mapping[str, Filter] | None = None) -> "Selection":
        """A selection with its filters in a fixed order."""
        return cls(operation, group_by, tuple(sorted((filters or {}).items(), key=lambda item: item[0])))


@dataclass(slots=True)
class Plan:
    """A selection applied to the streams: the group of each, -1 for those that a filter leaves out."""

    selection: Selection
    of_stream: list[int] = field(default_factory=list)
    groups: list[Labels] = field(default_factory=list)
    _known: dict[Labels, int] = field(default_factory=dict)
    _projected: dict[Labels, int] = field(default_factory=dict)

    def group_of(self, labels: Labels) -> int:
        """The group's number (new ones are added), or -1."""
        if labels not in self._known:
            self._known[labels] = self._group(labels)
        return self._known[labels]

    def _group(self, labels: Labels) -> int:
        dimensions = OPERATIONS[self.selection.operation].dimensions
        for name, values in self.selection.filters:
            if labels[dimensions.index(name)] not in values:
                return -1
        grouped, pairs = self.selection.group_by, zip(dimensions, labels, strict=True)
        projected = tuple(value if name in grouped else None for name, value in pairs)
        if projected not in self._projected:
            self._projected[projected] = len(self.groups)
            self.groups.append(projected)
        return self._projected[projected]


class UsageRecords:
    """What was used: seeded requests, stored bytes, and recorded calls."""

    def __init__(self, seeded: SeededUsage, stores: VectorStores, recorded: RecordedCalls) -> None:
        self.seeded = seeded
        self.stores = stores
        self.recorded = recorded
        self._plan = lru_cache(_MOST_PLANS)(self._new_plan)

    def stop(self, at: float | None) -> None:
        """Let no seeded usage happen after `at`; None lifts it."""
        self.seeded.stop(at)
        self.stores.stopped = float("inf") if at is None else at

    def totals(self, selection: Selection, start: float, end: float, view: View) -> list[tuple[Labels, list[int]]]:
        """(labels, parts) of each group with any usage in [start, end) that `view` sees.

        Labels are in the order of the operation's dimensions, None where not grouped.
        """
        plan, totals = self._plan(selection), Totals()
        visible = list(view.ranges(start, end))
        if OPERATIONS[selection.operation].level:
            if visible:
                self.stores.add(plan.group_of, visible[-1][2], totals)
        else:
            for mask, low, high in visible:
                self.seeded.add(selection.operation, mask, low, high, plan.of_stream, totals)
                self.recorded.add(selection.operation, mask, low, high, plan.group_of, totals)
        return [(plan.groups[group], values) for group, values in totals.items() if any(values)]

    def _new_plan(self, selection: Selection) -> Plan:
        plan = Plan(selection)
        plan.of_stream = [plan.group_of(labels) for labels in self.seeded.labels(selection.operation)]
        return plan

# SPDX-License-Identifier: Apache-2.0
"""The organization's usage books: seeded flows and recorded calls, grouped, as seen by a view."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openai_simulator.exchange import Call
from openai_simulator.organization.arrival import ALL_ROWS, PERIOD, View
from openai_simulator.organization.flows import Flows, Stores, Totals
from openai_simulator.organization.operations import OPERATIONS, UsageOperation
from openai_simulator.organization.streams import Labels

# Calls that were really made to the simulator, kept for the books. Says nothing of when they become visible.

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
        """Enter the noted calls; the caller holds the books' lock."""
        while self._waiting:
            operation, labels, unix, parts = self._waiting.popleft()
            series = self._series[operation].setdefault(labels, _Series())
            series.insert(unix, len(series.times) * _SCATTER % PERIOD, parts)
            self.version += 1

    def add(
        self,
        operation: str,
        mask: int,
        start: float,
        end: float,
        group_of: Callable[[Labels], int],
        into: Totals,
    ) -> None:
        """Add the calls of [start, end) to their groups' totals; group -1 is left out."""
        for labels, series in self._series[operation].items():
            group = group_of(labels)
            values = None if group < 0 else series.between(start, end, mask)
            if values is not None:
                known = into.get(group)
                into[group] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]

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
    values: dict[str, str | bool | None] = {
        "project_id": call.identity.project_id,
        "user_id": call.identity.user_id,
        "api_key_id": call.identity.api_key_id,
        "model": call.model,
        "batch": call.batch,
        "service_tier": call.service_tier,
        "api_source": "unlabeled",
        "size": call.size,
        "source": call.source,
    }
    return tuple(values[name] for name in operation.dimensions)


def _parts(operation: UsageOperation, call: Call) -> tuple[int, ...]:
    """The call's additive figures; what is neither cached, written to the cache nor audio is text."""
    uncached = call.input_tokens - call.input_cached_tokens - call.input_cache_write_tokens
    text_in = uncached - call.input_audio_tokens
    if min(uncached, text_in, call.output_tokens - call.output_audio_tokens) < 0:
        raise ValueError(f"token counts do not add up: {call}")
    values = {
        "num_model_requests": 1,
        "input_tokens": call.input_tokens,
        "input_text_tokens": text_in,
        "input_cached_text_tokens": call.input_cached_tokens,
        "input_cache_write_30m_tokens": call.input_cache_write_tokens,
        "input_audio_tokens": call.input_audio_tokens,
        "output_text_tokens": call.output_tokens - call.output_audio_tokens,
        "output_audio_tokens": call.output_audio_tokens,
        "images": call.images,
        "characters": call.characters,
        "seconds": call.seconds,
    }
    return tuple(values.get(name, 0) for name in operation.parts)


# The organization's usage books: seeded flows and recorded calls, grouped, as seen by a view. Renders nothing.

_MOST_PLANS = 64
Filter = frozenset[str | bool | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of an operation, and how they are grouped; hashable. `filters` are (dimension, values) pairs."""

    operation: str
    group_by: frozenset[str] = frozenset()
    filters: tuple[tuple[str, Filter], ...] = ()

    @classmethod
    def of(
        cls, operation: str, group_by: frozenset[str], filters: Mapping[str, Filter] | None = None
    ) -> "Selection":
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
        group = self._known.get(labels)
        if group is None:
            group = self._known[labels] = self._place(labels)
        return group

    def _place(self, labels: Labels) -> int:
        dimensions = OPERATIONS[self.selection.operation].dimensions
        for name, values in self.selection.filters:
            if labels[dimensions.index(name)] not in values:
                return -1
        grouped = self.selection.group_by
        kept = (value if name in grouped else None for name, value in zip(dimensions, labels, strict=True))
        projected = tuple(kept)
        if projected not in self._projected:
            self._projected[projected] = len(self.groups)
            self.groups.append(projected)
        return self._projected[projected]


class Books:
    """What was used: seeded and recorded, flows and levels."""

    def __init__(self, flows: Flows, stores: Stores, recorded: RecordedCalls) -> None:
        self.flows = flows
        self.stores = stores
        self.recorded = recorded
        self._plans: OrderedDict[Selection, Plan] = OrderedDict()

    def stop(self, at: float | None) -> None:
        """Let no seeded usage happen after `at`; None lifts it."""
        self.flows.stop(at)
        self.stores.stopped = float("inf") if at is None else at

    def totals(
        self, selection: Selection, start: float, end: float, view: View
    ) -> list[tuple[Labels, list[int]]]:
        """(labels, parts) of each group with any usage in [start, end) that `view` sees.

        Labels are in the order of the operation's dimensions, None where not grouped.
        """
        plan = self._plan(selection)
        found: Totals = {}
        if OPERATIONS[selection.operation].level:
            self.stores.add(plan.group_of, start, end, view, found)
        else:
            for mask, low, high in view.ranges(start, end):
                self.flows.add(selection.operation, mask, low, high, plan.of_stream, found)
                self.recorded.add(selection.operation, mask, low, high, plan.group_of, found)
        return [(plan.groups[group], values) for group, values in found.items() if any(values)]

    def _plan(self, selection: Selection) -> Plan:
        plan = self._plans.get(selection)
        if plan is None:
            plan = Plan(selection)
            plan.of_stream = [plan.group_of(labels) for labels in self.flows.labels(selection.operation)]
            self._plans[selection] = plan
            if len(self._plans) > _MOST_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(selection)
        return plan

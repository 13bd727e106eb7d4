# SPDX-License-Identifier: Apache-2.0
"""Calls that were really made to the simulator, kept for the books. Says nothing of when they become visible."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from openai_exporter.simulator.calls import Call
from openai_exporter.simulator.organization.flows import Totals
from openai_exporter.simulator.organization.operations import OPERATIONS, UsageOperation
from openai_exporter.simulator.organization.sizetable import ALL_ROWS, PERIOD
from openai_exporter.simulator.organization.streams import Labels

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

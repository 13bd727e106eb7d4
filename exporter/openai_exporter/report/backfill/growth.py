# SPDX-License-Identifier: Apache-2.0
"""What counters grew by from sample to sample, as the rules of the bundle record it of live counters."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openai_exporter.metrics import Metric, recorded
from openai_exporter.metrics import usage as metrics
from openai_exporter.report.backfill.families import Families
from openai_exporter.usage.operations import Column

Key = tuple[int, str]
"""Column of a usage endpoint, and the series of the counter."""
_RECORDED: Mapping[str, tuple[Metric, Mapping[str, str]]] = MappingProxyType(
    {
        metrics.INPUT_TOKENS.name: (recorded.TOKENS_GROWTH, {"direction": "input"}),
        metrics.INPUT_CACHED_TOKENS.name: (recorded.TOKENS_GROWTH, {"direction": "cached"}),
        metrics.OUTPUT_TOKENS.name: (recorded.TOKENS_GROWTH, {"direction": "output"}),
        metrics.REQUESTS.name: (recorded.REQUESTS_GROWTH, {}),
        metrics.ESTIMATED_COST.name: (recorded.COST_GROWTH, {}),
    }
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A recorded series, and how many of what is summed make one of its unit."""

    metric: Metric
    series: str
    unit: int


class Growth:
    """Sums the growth of those counters that the recorded series do not tell apart.

    Args:
        until: Unix seconds; what comes later is left to the live rules, for growth must not be there twice.
    """

    def __init__(self, families: Families, until: float) -> None:
        self._families = families
        self._until = until
        self._places: dict[Key, _Place] = {}
        self._last: dict[Key, int] = {}
        self._sums: dict[_Place, int] = {}

    def place(self, key: Key, column: Column, values: tuple[str, ...]) -> None:
        """Learn where the growth of a counter belongs.

        Args:
            values: those of the counter's labels.
        """
        if column.metric.name in _RECORDED:
            metric, more = _RECORDED[column.metric.name]
            labels = {**dict(zip(column.metric.labels, values, strict=True)), **more}
            series = self._families.recorded(metric, tuple(labels[name] for name in metric.labels))
            self._places[key] = _Place(metric, series, column.unit)

    def note(self, key: Key, total: int) -> None:
        """A counter's value at the moment that the next `write` names; it is no growth where none was known."""
        place = self._places.get(key)
        if place is not None:
            before = self._last.get(key)
            self._last[key] = total
            if before is not None:
                self._sums[place] = self._sums.get(place, 0) + max(0, total - before)

    def write(self, moment: int) -> None:
        """Write what has been noted.

        A second early: a range that ends with the moment has it and the next one does not, whichever ends count.
        """
        for place, total in self._sums.items():
            if moment <= self._until:
                self._families.write(place.metric, place.series, total / place.unit, moment - 1)
        self._sums.clear()

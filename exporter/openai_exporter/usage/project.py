# SPDX-License-Identifier: Apache-2.0
"""From rows of a ledger to samples of a metric, whose labels may be fewer than the rows' dimensions."""

from collections.abc import Callable, Sequence

from openai_exporter.exposition.text import Sample
from openai_exporter.usage.fold import Labels, Values
from openai_exporter.usage.operations import Column

Row = tuple[Labels, Values]


class Projection:
    """Rows of one endpoint, to be exposed as several metrics that share their label tuples.

    Args:
        rows: labels in the order of `group_by`, and values.
        operation: value of label `operation`.
        pause: called for each row.
    """

    def __init__(
        self, rows: Sequence[Row], group_by: tuple[str, ...], operation: str, pause: Callable[[], None]
    ) -> None:
        self._rows = rows
        self._group_by = group_by
        self._operation = operation
        self._pause = pause
        self._spread: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Labels]] = {}

    def samples(self, index: int, column: Column) -> list[Sample]:
        """The samples of one column; rows that differ only in what the metric has no label for are summed."""
        labels = self._labels(column.metric.labels, column.more)
        figures = [values[index] for _, values in self._rows]
        if not set(self._group_by) <= set(column.metric.labels):
            summed: dict[Labels, int] = {}
            for each, figure in zip(labels, figures, strict=True):
                summed[each] = summed.get(each, 0) + figure
            labels, figures = list(summed), list(summed.values())
        if column.unit == 1:
            return list(zip(labels, figures, strict=True))
        return [(each, figure / column.unit) for each, figure in zip(labels, figures, strict=True)]

    def _labels(self, names: tuple[str, ...], more: tuple[str, ...]) -> list[Labels]:
        found = self._spread.get((names, more))
        if found is None:
            found = self._spread[names, more] = self._spread_out(names, more)
        return found

    def _spread_out(self, names: tuple[str, ...], more: tuple[str, ...]) -> list[Labels]:
        """All labels of the metric, row by row; what is not grouped by is empty."""
        fixed = dict(zip(names[len(names) - len(more) :], more, strict=True))
        fixed["operation"] = self._operation
        places = [self._group_by.index(name) if name in self._group_by else None for name in names]
        constants = [fixed.get(name, "") for name in names]
        pairs = list(zip(places, constants, strict=True))
        found = []
        for labels, _ in self._rows:
            self._pause()
            found.append(tuple([text if place is None else labels[place] for place, text in pairs]))
        return found

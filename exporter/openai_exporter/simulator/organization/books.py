# SPDX-License-Identifier: Apache-2.0
"""The organization's usage books: seeded flows and recorded calls, grouped, as seen by a view. Renders nothing."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from openai_exporter.simulator.organization.arrival import View
from openai_exporter.simulator.organization.flows import Flows, Totals
from openai_exporter.simulator.organization.levels import Stores
from openai_exporter.simulator.organization.operations import OPERATIONS
from openai_exporter.simulator.organization.recorded import RecordedCalls
from openai_exporter.simulator.organization.streams import Labels

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

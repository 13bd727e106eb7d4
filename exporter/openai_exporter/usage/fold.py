# SPDX-License-Identifier: Apache-2.0
"""The bound on series: which keep their labels; the rest is summed under `other`. Decides once per series.

A restart without any memory must decide the same, or counters would seem to fall. So room goes by what does not
change any more: first to the largest of the month before, then to the others by the day on which they appeared.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from operator import add

Labels = tuple[str, ...]
Values = tuple[int, ...]
Rows = dict[Labels, Values]

OTHER = "other"
_TIGHT = 0.25
"""Share of the limit above which it is worth a call to know the month before."""


class Fold:
    """Which series of one endpoint keep their labels; a decision holds until `restart`.

    Attributes:
        limit: series that may keep their labels.
        preferred: those that were the largest in the month before, for which room is kept; None when not looked up.

    Args:
        weight: how large a row is.
        pinned: label values (ids) whose series keep their labels first.
    """

    def __init__(self, limit: int, weight: Callable[[Values], int], pinned: Collection[str] = ()) -> None:
        self.limit = limit
        self.preferred: frozenset[Labels] | None = None
        self._weight = weight
        self._pinned = frozenset(pinned)
        self._folded: set[int] = set()

    @property
    def dropped(self) -> int:
        """How many series are summed under `other`."""
        return len(self._folded)

    def restart(self) -> None:
        """Begin a new month."""
        self._folded.clear()
        self.preferred = None

    def tight(self, parts: Iterable[Rows], known: Collection[Labels]) -> bool:
        """Whether there are so many series that `preferred` is to be looked up."""
        count = len({labels for rows in parts for labels in rows}.union(known))
        return count > self.limit * _TIGHT or self.dropped > 0

    def largest(self, rows: Rows) -> frozenset[Labels]:
        """The rows that are to keep their labels when there are more than the limit."""
        ranked = sorted(
            rows, key=lambda labels: (self._pinned.isdisjoint(labels), -self._weight(rows[labels]), labels)
        )
        return frozenset(ranked[: self.limit])

    def apply(
        self, parts: Iterable[Rows], known: Collection[Labels], first: Mapping[Labels, int] | None = None
    ) -> None:
        """Move the rows of series that have no room into `other`, in place; `known` have room already.

        Args:
            first: the day on which each series appeared.
        """
        parts = tuple(parts)
        new = {labels for rows in parts for labels in rows if labels not in known}
        reserved = sum(labels not in known and labels not in new for labels in self.preferred or ())
        taken = sum(not _is_other(labels) for labels in known) + reserved
        room = max(0, self.limit - taken)
        if len(new) <= room:
            return
        ranked = sorted(new, key=lambda labels: self._rank(labels, parts, first or {}))
        for labels in ranked[room:]:
            self._fold(labels, parts)

    def _rank(
        self, labels: Labels, parts: tuple[Rows, ...], first: Mapping[Labels, int]
    ) -> tuple[bool, bool, int, int, Labels]:
        preferred = self.preferred or frozenset()
        # Without a month before there is nothing better than the sizes so far, which change.
        size = 0 if preferred else sum(self._weight(rows[labels]) for rows in parts if labels in rows)
        return self._pinned.isdisjoint(labels), labels not in preferred, first.get(labels, 0), -size, labels

    def _fold(self, labels: Labels, parts: tuple[Rows, ...]) -> None:
        other = (OTHER,) * len(labels)
        if not _is_other(labels):
            self._folded.add(hash(labels))
        for rows in parts:
            values = rows.pop(labels, None)
            if values is not None:
                accumulate(rows, other, values)


def _is_other(labels: Labels) -> bool:
    return all(each == OTHER for each in labels)


def accumulate(rows: Rows, labels: Labels, values: Values) -> None:
    """Add to one row, making it when it is not there."""
    known = rows.get(labels)
    rows[labels] = values if known is None else tuple(map(add, known, values))

# SPDX-License-Identifier: Apache-2.0
"""The bound on series: the largest keep their labels, the rest is summed under `other`. Decides once per series."""

from collections.abc import Callable, Collection, Iterable
from operator import add

Labels = tuple[str, ...]
Values = tuple[int, ...]
Rows = dict[Labels, Values]

OTHER = "other"


class Fold:
    """Which series of one endpoint keep their labels; a decision holds until `restart`.

    Attributes:
        limit: series that may keep their labels.

    Args:
        weight: how large a row is.
        pinned: label values (ids) whose series keep their labels first.
    """

    def __init__(self, limit: int, weight: Callable[[Values], int], pinned: Collection[str] = ()) -> None:
        self.limit = limit
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

    def apply(self, parts: Iterable[Rows], known: Collection[Labels]) -> None:
        """Move the rows of series that have no room into `other`, in place; `known` have room already."""
        parts = tuple(parts)
        new = {labels for rows in parts for labels in rows if labels not in known}
        room = max(0, self.limit - len(known))
        if len(new) <= room:
            return
        ranked = sorted(new, key=lambda labels: (*self._rank(labels, parts), labels))
        for labels in ranked[room:]:
            self._fold(labels, parts)

    def _rank(self, labels: Labels, parts: tuple[Rows, ...]) -> tuple[bool, int]:
        size = sum(self._weight(rows[labels]) for rows in parts if labels in rows)
        return self._pinned.isdisjoint(labels), -size

    def _fold(self, labels: Labels, parts: tuple[Rows, ...]) -> None:
        other = (OTHER,) * len(labels)
        if labels != other:
            self._folded.add(hash(labels))
        for rows in parts:
            values = rows.pop(labels, None)
            if values is not None:
                accumulate(rows, other, values)


def accumulate(rows: Rows, labels: Labels, values: Values) -> None:
    """Add to one row, making it when it is not there."""
    known = rows.get(labels)
    rows[labels] = values if known is None else tuple(map(add, known, values))

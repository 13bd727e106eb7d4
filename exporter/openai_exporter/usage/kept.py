# SPDX-License-Identifier: Apache-2.0
"""The figures of one usage endpoint as they are kept over restarts. Plain data."""

from dataclasses import dataclass

from openai_exporter.usage.fold import Labels, Rows, Values


@dataclass(frozen=True, slots=True)
class Kept:
    """The figures of one usage endpoint.

    Attributes:
        group_by, columns: what labels and values are; kept figures of another shape are of no use.
        month: start of the month.
        totals: counters by labels.
        books: what the API said, by labels.
        fresh: series that nobody has seen as 0 yet.
        closing: what the month before was when its counters ended, by column that the API gives; None if unknown.
    """

    operation: str
    group_by: tuple[str, ...]
    columns: tuple[str, ...]
    month: int
    corrections: tuple[int, ...]
    totals: Rows
    books: Rows
    fresh: frozenset[Labels] = frozenset()
    closing: Values | None = None

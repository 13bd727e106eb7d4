# SPDX-License-Identifier: Apache-2.0
"""Series that a bucket takes something back from: how their counters rise without ever falling. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Course:
    """A counter's way through a month.

    Attributes:
        rises: by the start of the bucket; never negative.
        taken: what the whole month is below zero, and where that is booked: (start of the bucket, amount).
    """

    rises: Mapping[int, int]
    taken: tuple[int, int] | None = None


def course(changes: Mapping[int, int]) -> Course:
    """From a month's changes, in the order of time, some of them negative.

    At each time the counter is the least that the sum will be from then on, and not below zero: so what is
    taken back was never counted, and the month ends with its true sum, as on a page that is read afresh.
    """
    sums: list[int] = []
    for change in changes.values():
        sums.append((sums[-1] if sums else 0) + change)
    total = sums[-1] if sums else 0
    least = total
    for place in range(len(sums) - 1, -1, -1):
        least = sums[place] = min(least, sums[place])
    rises, before = {}, 0
    for start, value in zip(changes, sums, strict=True):
        rises[start] = max(0, value) - before
        before = max(0, value)
    first = next((start for start, change in changes.items() if change < 0), None)
    return Course(rises, (first, -total) if first is not None and total < 0 else None)

# SPDX-License-Identifier: Apache-2.0
"""What the costs of two months add up to. Pure; all money is Decimal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openai_exporter.usage.costrow import decoded
from openai_exporter.usage.fold import Labels
from openai_exporter.usage.window import DAY, day_start, month_start, previous_month_start

_ZERO = Decimal(0)

Sums = dict[Labels, Decimal]


@dataclass(slots=True)
class Bill:
    """The costs of the month before and of this month so far, in USD.

    Attributes:
        now: the API's time when it was read.
        group_by: dimensions, in the order of the labels.
        month: this month so far, by labels; labels of the month before are there with 0.
        today, yesterday: by labels.
        previous_month: the whole month before.
        skipped: rows in other currencies, by currency: they are in no sum.
    """

    now: float
    group_by: tuple[str, ...]
    month: Sums = field(default_factory=dict)
    today: Sums = field(default_factory=dict)
    yesterday: Sums = field(default_factory=dict)
    previous_month: Decimal = _ZERO
    skipped: dict[str, int] = field(default_factory=dict)

    def bucket(self, start: int) -> Callable[[Any], None]:
        """Begin the bucket of a day; what is returned adds one of its results."""
        this_month, today = month_start(self.now), day_start(self.now)
        inside = start >= previous_month_start(self.now)
        day = {today: self.today, today - DAY: self.yesterday}.get(start)

        def add(result: Any) -> None:
            row = decoded(result, self.group_by)
            labels, usd = row.labels, row.usd
            if usd is None:
                self.skipped[row.currency] = self.skipped.get(row.currency, 0) + 1
            if usd is None or not inside:
                return
            if start >= this_month:
                self.month[labels] = self.month.get(labels, _ZERO) + usd
            else:
                self.month.setdefault(labels, _ZERO)
                self.previous_month += usd
            if day is not None:
                day[labels] = day.get(labels, _ZERO) + usd

        return add

    def by(self, dimension: str, *, period: str) -> dict[str, Decimal]:
        """This month's (`month`) or today's (`day`) costs by one dimension."""
        sums = self.month if period == "month" else self.today
        place = self.group_by.index(dimension)
        found: dict[str, Decimal] = {}
        for labels, usd in sums.items():
            found[labels[place]] = found.get(labels[place], _ZERO) + usd
        return found


def total(sums: Mapping[Labels, Decimal]) -> Decimal:
    """The sum of all."""
    return sum(sums.values(), _ZERO)


def largest(sums: Mapping[Labels, Decimal], limit: int) -> Sums:
    """At most `limit` sums by their labels, and the rest under `other`."""
    if len(sums) <= limit:
        return dict(sums)
    ranked = sorted(sums, key=lambda labels: (-abs(sums[labels]), labels))
    kept = {labels: sums[labels] for labels in ranked[:limit]}
    other = ("other",) * len(ranked[0])
    kept[other] = sum((sums[labels] for labels in ranked[limit:]), kept.get(other, _ZERO))
    return kept

# SPDX-License-Identifier: Apache-2.0
"""A reading of time buckets in progress; nothing of it counts until a ledger takes it over."""

from collections.abc import Callable

from openai_exporter.usage.fold import Labels, Rows, Values, accumulate
from openai_exporter.usage.window import Plan, day_start, next_month_start


class Draft:
    """The rows read so far, summed into four: final or not, of days before today or of today.

    Attributes:
        month: start of the month that it belongs to.
        start: everything known from here on is to be replaced.
        closes: buckets that begin before this are final.
        today: start of the running day.
        buckets: how many buckets were added.
        newest: start of the newest bucket with usage.
        first: the first day with usage of each series, as far as it was read.
        settled, open: rows that are final and rows that may change; each is (before today, today).
    """

    def __init__(self, plan: Plan, now: float) -> None:
        self.month = plan.month
        self.start = plan.start
        self.closes = plan.closes
        self.today = day_start(now)
        self.buckets = 0
        self.newest: int | None = None
        self.first: dict[Labels, int] = {}
        self.settled: tuple[Rows, Rows] = ({}, {})
        self.open: tuple[Rows, Rows] = ({}, {})
        self._end = next_month_start(plan.month)

    def bucket(self, start: int) -> Callable[[Labels, Values], None]:
        """Begin a bucket; what is returned adds a row to it. What lies outside the plan is left out."""
        self.buckets += 1
        inside = self.start <= start < self._end
        rows = (self.settled if start < self.closes else self.open)[start >= self.today]
        day, first = day_start(start), self.first

        def add(labels: Labels, values: Values) -> None:
            if inside and any(values):
                accumulate(rows, labels, values)
                if first.setdefault(labels, day) > day:
                    first[labels] = day
                if self.newest is None or start > self.newest:
                    self.newest = start

        return add

    def parts(self) -> tuple[Rows, ...]:
        """All rows, in pieces that are to be summed."""
        return (*self.settled, *self.open)

# SPDX-License-Identifier: Apache-2.0
"""The month before, as the API says it now, and what of it came too late for the counters. No input, no output.

Counters begin anew with the month, so what the API tells of the month before after that month's last reading
is in none of them. It is shown as gauges, which may be read as the books of a closed month.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.fold import Values
from openai_exporter.usage.operations import Operation
from openai_exporter.usage.pages import Take
from openai_exporter.usage.rows import RowDecoder
from openai_exporter.usage.window import DAY, Range, previous_month_start

UNSETTLED = 3 * DAY
"""How long after a month's end it is read again with each audit; afterwards once a day."""


class LastMonth:
    """The month before of one endpoint.

    Attributes:
        month: start of the running month, 0 before the first reading.
        closing: what the counters of the month before, less their corrections, said when they ended, by column;
            None when nobody was there to see it.
        sums: what the API says of that month now, by column; None before it was read.

    What is computed from prices is left out, so that one short page without any grouping is enough.
    """

    def __init__(self, operation: Operation) -> None:
        self.month = 0
        self.closing: Values | None = None
        self.sums: Values | None = None
        self._operation = operation.name
        self._columns = operation.sources
        self._decode = RowDecoder(operation, (), lambda result, start: ()).decode
        self._read_at: float | None = None

    def begin(self, month: int, closing: Values | None) -> None:
        """A month begins, or is the first to be read."""
        self.month, self.closing, self.sums, self._read_at = month, closing, None, None

    def due(self, now: float, interval: float) -> bool:
        """Whether it is to be read; `interval` is the seconds between two audits."""
        if self._read_at is None:
            return True
        if now - self.month > UNSETTLED:
            interval = max(interval, DAY)
        return not 0 <= now - self._read_at < interval

    @property
    def days(self) -> Range:
        """What is to be read: one page."""
        return Range(previous_month_start(self.month), self.month, "1d", 31)

    def bucket(self, start: int, figures: list[Values]) -> Take:
        """Begin a day of a reading, which is collected in `figures`; what is returned adds one of its results."""
        inside = self.days.start <= start < self.month
        if inside:
            figures.append((0,) * len(self._columns))

        def take(result: Any) -> None:
            _, values = self._decode(result, start)
            if inside:
                figures.append(values)

        return take

    def finish(self, figures: Sequence[Values], now: float) -> None:
        """Take over a complete reading; an answer without a single day of that month says nothing."""
        self._read_at = now
        if figures:
            self.sums = tuple(map(sum, zip(*figures, strict=True)))

    def families(self) -> Iterator[Family]:
        """The gauges; nothing of what is not known."""
        if self.sums is None:
            return
        for place, column in enumerate(self._columns):
            labels, said = (self._operation, column.name), self.sums[place]
            yield Family(metrics.PREVIOUS_MONTH, [(labels, said)])
            if self.closing is not None:
                yield Family(metrics.PREVIOUS_MONTH_LATE, [(labels, said - self.closing[place])])

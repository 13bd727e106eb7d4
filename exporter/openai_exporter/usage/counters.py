# SPDX-License-Identifier: Apache-2.0
"""One usage endpoint: reads its buckets into a ledger and exposes the ledger's counters."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from openai_exporter.client.organization import Calls
from openai_exporter.client.reply import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family, Sample
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices.listed import PICO
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.ledger import (
    Draft,
    Fold,
    Kept,
    Labels,
    Ledger,
    Rows,
    Values,
    VanishedError,
    accumulate,
)
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.rows import (
    OPERATIONS,
    VECTOR_STORES,
    Column,
    MalformedError,
    Operation,
    RowDecoder,
    label,
    shown,
    whole,
)
from openai_exporter.usage.window import DAY, Plan, Range, day_start, previous_month_start

# The month before, as the API says it now, and what of it came too late for the counters. No input, no output.
# Counters begin anew with the month, so what the API tells of the month before after that month's last reading
# is in none of them. It is shown as gauges, which may be read as the books of a closed month.

UNSETTLED_MONTH = 3 * DAY
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
        if now - self.month > UNSETTLED_MONTH:
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


# From rows of a ledger to samples of a metric, whose labels may be fewer than the rows' dimensions.

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


# One usage endpoint: reads its buckets into a ledger and exposes the ledger's counters.

log = logging.getLogger(__name__)

_TRIES = 3
Rowed = list[tuple[Labels, Values]]

UNSETTLED = 2 * DAY
"""Usage that is older does not change any more, as far as it matters for the size of series."""


class FlowDataset:
    """Usage of one endpoint.

    Attributes:
        ledger: its books.
        group_by: the dimensions, in the order of the ledger's labels.
    """

    def __init__(
        self, name: str, organization: Organization, context: Context, pinned: frozenset[str] = frozenset()
    ) -> None:
        self.name = name
        self.interval = organization.refresh_interval
        self.operation: Operation = OPERATIONS[name]
        self.group_by: tuple[str, ...] = organization.usage[name].group_by  # type: ignore[index]
        self.fold = Fold(organization.series_limit, _weight(self.operation), pinned)
        self.ledger = Ledger(len(self.operation.columns), self.fold)
        self.last = LastMonth(self.operation)
        self._organization = organization
        self._context = context
        self._decoder: RowDecoder | None = None
        self._audit_at = 0.0
        self._negative = 0

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the hours that may have changed; the whole month, and the one before, when an audit is due."""
        now = self._context.clock.now()
        audit = not 0 <= self._audit_at - now <= self._organization.audit_interval
        draft = self._hours(calls, audit=audit)
        self._count_negative(self._decoding())
        closing, preferred = self._closing(draft.month), self._preferred(calls, draft)
        if draft.month != self.ledger.month:
            self._decoder = None  # with all labels that it has seen
        try:
            self.ledger.commit(draft, seen=seen, preferred=preferred)
        except VanishedError as error:
            raise UpstreamError(str(error), api=self.name, reason="malformed") from None
        if draft.start == draft.month:
            self._audit_at = self._context.clock.now() + self._organization.audit_interval
        if draft.month != self.last.month:
            self.last.begin(draft.month, closing)
        if self.last.due(self._context.clock.now(), self._organization.audit_interval):
            self._read_last(calls)
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over a ledger whose series have the same labels."""
        if not isinstance(other, FlowDataset):
            return False
        self.last = other.last  # is of no grouping
        if other.fold.limit != self.fold.limit or other.group_by != self.group_by:
            return False
        self.ledger, self.fold, self._audit_at = other.ledger, other.fold, other._audit_at
        return True

    def audit(self) -> None:
        """Read the whole month at the next read: what its usage cost has changed."""
        self._audit_at = 0.0

    def families(self) -> Iterator[Family]:
        """The counters, the corrections, and how many series there are."""
        if not self.ledger.month:
            return
        rows = list(self.ledger.counters())
        projection = Projection(rows, self.group_by, self.name, self._context.pause)
        for index, column in enumerate(self.operation.columns):
            if column.metric is not metrics.ESTIMATED_COST or self._priced(index, rows):
                yield Family(column.metric, projection.samples(index, column))
            correction = self.ledger.corrections[index] / column.unit
            yield Family(metrics.CORRECTIONS, [((self.name, column.name), correction)])
        yield Family(metrics.SERIES, [((self.name,), len(rows))])
        yield Family(metrics.SERIES_DROPPED, [((self.name,), self.fold.dropped)])
        yield Family(metrics.NEGATIVE_ROWS, [((self.name,), self._negative)])
        if self.ledger.newest is not None:
            yield Family(metrics.NEWEST_BUCKET, [((self.name,), self.ledger.newest)])
        yield from self.last.families()

    @staticmethod
    def _priced(cost: int, rows: Rowed) -> bool:
        """Whether any price is known for what was used: an estimate of 0 would say that it is free."""
        return any(values[cost] for _, values in rows) or not any(values[-1] for _, values in rows)

    def estimated(self, dimension: str | None, period: str) -> dict[str, Decimal | None] | None:
        """USD at list prices by the values of a dimension, under `` when it is None; None before a read.

        None, too, for a value of which nothing has a price.
        """
        if not self.ledger.complete:
            return None
        rows = self.ledger.books() if period == "month" else self.ledger.today()
        place = [each.metric for each in self.operation.columns].index(metrics.ESTIMATED_COST)
        found: dict[str, int] = {}
        unpriced: dict[str, int] = {}
        for labels, values in rows.items():
            key = labels[self.group_by.index(dimension)] if dimension else ""
            found[key] = found.get(key, 0) + values[place]
            unpriced[key] = unpriced.get(key, 0) + values[-1]
        return {
            key: None if unpriced[key] and not pico else Decimal(pico) / PICO for key, pico in found.items()
        }

    def sums(self) -> dict[str, int]:
        """This month's sum of each column, as the API says."""
        totals, corrections = self.ledger.totals.values(), self.ledger.corrections
        return {
            column.name: sum(values[index] for values in totals) - corrections[index]
            for index, column in enumerate(self.operation.columns)
        }

    def keep(self) -> Kept:
        """What is to survive a restart."""
        ledger = self.ledger
        columns = tuple(each.name for each in self.operation.columns)
        return Kept(
            self.name,
            self.group_by,
            columns,
            ledger.month,
            tuple(ledger.corrections),
            ledger.totals,
            ledger.books(),
            frozenset(ledger.fresh),
            self.last.closing,
        )

    def restore(self, kept: Kept) -> None:
        """Go on from what was kept, if it has the same shape."""
        columns = tuple(each.name for each in self.operation.columns)
        if kept.closing is not None and len(kept.closing) == len(self.operation.sources):
            self.last.begin(kept.month, kept.closing)
        if (kept.group_by, kept.columns) == (self.group_by, columns):
            self.ledger.restore(kept)

    def _closing(self, month: int) -> Values | None:
        """What the counters have of the month that ends when `month` begins; None if that is not the one they count."""
        if self.ledger.month != previous_month_start(month):
            return None
        sums = self.sums()
        return tuple(sums[column.name] for column in self.operation.sources)

    def _preferred(self, calls: Calls, draft: Draft) -> frozenset[Labels] | None:
        """The largest series of the month before, when there may be too many and they are not known yet.

        Its last days are left out: usage that comes late must not change which series these are.
        """
        known = draft.month == self.ledger.month and self.fold.preferred is not None
        if known or not self.fold.tight(draft.parts(), self.ledger.in_use()):
            return None
        days = Range(previous_month_start(draft.month), draft.month - UNSETTLED, "1d", 31)
        decode = self._decoding().decode
        rows: Rows = {}

        def bucket(start: int) -> Take:
            def take(result: Any) -> None:
                if days.start <= start < draft.month - UNSETTLED:
                    accumulate(rows, *decode(result, start))

            return take

        read(calls, self._query(days, self.group_by), lambda reply: bucket)
        return self.fold.largest(rows)

    def _read_last(self, calls: Calls) -> None:
        """Read the month before in days, without any grouping: its sums are wanted."""
        figures: list[Values] = []

        def bucket(start: int) -> Take:
            return self.last.bucket(start, figures)

        if read(calls, self._query(self.last.days, ()), lambda reply: bucket):
            self.last.finish(figures, self._context.clock.now())

    def _count_negative(self, decoder: RowDecoder) -> None:
        """Figures below 0 are taken as the API says them: what they take back is in the corrections."""
        if decoder.negative and not self._negative:
            log.warning(
                "organization %s: %s has %d rows with figures below 0, such as %s",
                self._organization.name, self.name, decoder.negative, decoder.example,
            )  # fmt: skip
        self._negative = decoder.negative

    def _hours(self, calls: Calls, *, audit: bool) -> Draft:
        """A complete reading. The plan is made anew if the first answer's Date shows that our time was off."""
        settle, clock = self._organization.settle, self._context.clock
        for _ in range(_TRIES):
            self._decoding().begin()
            plan = self.ledger.plan(clock.now(), settle, audit=audit)
            found: list[Draft] = []

            def arrived(reply: Reply, plan: Plan = plan, found: list[Draft] = found) -> Sink | None:
                clock.observe(reply.date)
                again = self.ledger.plan(clock.now(), settle, audit=audit)
                if (again.month, again.hours) != (plan.month, plan.hours):
                    return None
                found.append(self.ledger.draft(again, clock.now()))
                return self._sink(found[0])

            if read(calls, self._query(plan.hours, self.group_by), arrived):
                if plan.days is not None:
                    sink = functools.partial(self._sink_for, found[0])
                    read(calls, self._query(plan.days, self.group_by), sink)
                return found[0]
        message = "the API's clock (header Date) jumps, so that no month can be told"
        raise UpstreamError(message, api=self.name, reason="malformed")

    def _sink_for(self, draft: Draft, reply: Reply) -> Sink:
        return self._sink(draft)

    def _sink(self, draft: Draft) -> Sink:
        decode = self._decoding().decode

        def bucket(start: int) -> Take:
            add = draft.bucket(start)

            def take(result: Any) -> None:
                add(*decode(result, start))

            return take

        return bucket

    def _decoding(self) -> RowDecoder:
        if self._decoder is None:
            estimator = Estimator(self.operation.pricing, self._context.prices)
            self._decoder = RowDecoder(self.operation, self.group_by, estimator)
        return self._decoder

    def _query(self, part: Range, group_by: tuple[str, ...]) -> Query:
        params = [("start_time", str(part.start)), ("bucket_width", part.width), ("limit", str(part.limit))]
        if part.end is not None:
            params.append(("end_time", str(part.end)))
        # The official SDK spells arrays so; the description leaves it open.
        params += [("group_by[]", name) for name in group_by]
        return Query(self.operation.path, self.name, params, self._context.pause)


def _weight(operation: Operation) -> Callable[[Values], int]:
    """How large a series is: its tokens, or what the endpoint counts instead."""
    names = [each.name for each in operation.columns]
    wanted = [names.index(name) for name in ("input_tokens", "output_tokens") if name in names]
    places = tuple(wanted or [len(operation.sources) - 1])
    return lambda values: sum(values[place] for place in places)


# Stored bytes of vector stores: a level, so the newest day that has figures counts, and nothing is summed.

_DAYS = 7


class LevelDataset:
    """Bytes in vector stores, by project where grouped so."""

    name = VECTOR_STORES

    def __init__(self, organization: Organization, context: Context) -> None:
        self.interval = organization.refresh_interval
        self._grouped = "project_id" in organization.usage["vector_stores"].group_by
        self._context = context
        self._newest: tuple[int, dict[str, int]] | None = None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the last days."""
        days: dict[int, dict[str, int]] = {}

        def bucket(start: int) -> Take:
            def take(result: Any) -> None:
                if not isinstance(result, dict):
                    raise MalformedError(f"expected an object, got {shown(result)}")
                level = whole(result, "usage_bytes", required=True)
                project = label(result, "project_id")
                by_project = days.setdefault(start, {})
                by_project[project] = by_project.get(project, 0) + level

            return take

        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        read(calls, self._query(), arrived)
        self._newest = max(days.items(), default=None, key=lambda item: item[0])
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over the levels of the same grouping."""
        if not isinstance(other, LevelDataset) or other._grouped != self._grouped:
            return False
        self._newest = other._newest
        return True

    def families(self) -> Iterator[Family]:
        """The levels of the newest day, and which day that is."""
        if self._newest is None:
            return
        start, levels = self._newest
        yield Family(metrics.VECTOR_STORE_BYTES, [((project,), level) for project, level in levels.items()])
        yield Family(metrics.NEWEST_BUCKET, [((self.name,), start)])
        yield Family(metrics.SERIES, [((self.name,), len(levels))])

    def _query(self) -> Query:
        start = day_start(self._context.clock.now()) - (_DAYS - 1) * DAY
        params = [("start_time", str(start)), ("bucket_width", "1d"), ("limit", "31")]
        params += [("group_by[]", "project_id")] if self._grouped else []
        return Query(f"/organization/usage/{self.name}", self.name, params, self._context.pause)

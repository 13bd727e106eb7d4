# SPDX-License-Identifier: Apache-2.0
"""One usage endpoint: its counters, its month before, and the stored bytes of vector stores, which are no counter."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from openai_exporter.client.organization import Calls
from openai_exporter.config.sections import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family, Sample
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices import PICO
from openai_exporter.usage import dataset, ledger, pages
from openai_exporter.usage.rows import OPERATIONS, VECTOR_STORES, Column, Estimator, Operation, RowDecoder, decode_bytes

log = logging.getLogger(__name__)

UNSETTLED = 2 * ledger.DAY
"""Usage that is older does not change any more, as far as it matters for the size of series."""
UNSETTLED_MONTH = 3 * ledger.DAY
"""How late usage may be shown: a month is read again with each audit for so long, and afterwards once a day."""


class CounterDataset(dataset.Dataset):
    """Usage of one endpoint.

    Attributes:
        ledger: what was read, and the counters made of it.
        group_by: the dimensions, in the order of the ledger's labels.
        limit: which series keep their labels.
        previous: the month before.
    """

    def __init__(
        self, name: str, organization: Organization, context: dataset.Context, pinned: frozenset[str] = frozenset()
    ) -> None:
        self.name = name
        self.interval = organization.refresh_interval
        self.operation: Operation = OPERATIONS[name]
        self.group_by: tuple[str, ...] = organization.usage[name].group_by
        self.limit = ledger.SeriesLimit(organization.series_limit, _weight(self.operation), pinned)
        self.ledger = ledger.Ledger(len(self.operation.columns), self.limit)
        self.previous = PreviousMonth(self.operation)
        self.shape = (self.limit.limit, self.group_by)
        self._columns = tuple(column.name for column in self.operation.columns)
        self._organization = organization
        self._context = context
        self._decoder: RowDecoder | None = None
        self._audit_at = 0.0
        self._negative = 0

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the hours that may have changed; the whole month, and the one before, when an audit is due."""
        clock, full_refresh_interval = self._context.clock, self._organization.full_refresh_interval
        audit = not 0 <= self._audit_at - clock.now() <= full_refresh_interval
        reading = pages.read_in_time(lambda: self._read_month(calls, audit=audit), self.name)
        self._count_negative(self._decoding())
        self._doubt(reading)
        closing, preferred = self._closing(reading.month), self._preferred(calls, reading)
        if reading.month != self.ledger.month:
            self._decoder = None  # with all labels that it has seen
        try:
            self.ledger.commit(reading, seen=seen, preferred=preferred)
        except ledger.VanishedError as error:
            raise UpstreamError(str(error), api=self.name, reason="malformed") from None
        if reading.whole:
            self._audit_at = clock.now() + full_refresh_interval
        if reading.month != self.previous.month:
            self.previous.begin(reading.month, closing)
        if self.previous.due(clock.now(), full_refresh_interval):
            self._read_previous(calls)
        return True

    def adopt(self, other: dataset.Dataset) -> bool:
        """Take over a ledger whose series have the same labels."""
        if not isinstance(other, CounterDataset):
            return False
        self.previous = other.previous  # is of no grouping
        if other.shape != self.shape:
            return False
        self.ledger, self.limit, self._audit_at = other.ledger, other.limit, other._audit_at
        return True

    def audit(self) -> None:
        """Read the whole month at the next read: what its usage cost has changed."""
        self._audit_at = 0.0

    def families(self) -> Iterator[Family]:
        """The counters, the corrections, and how many series there are."""
        if not self.ledger.month:
            return
        series = list(self.ledger.counters())
        table = SeriesTable(series, self.group_by, self.name, self._context.pause)
        for index, column in enumerate(self.operation.columns):
            if column.metric is not metrics.ESTIMATED_COST or _priced(index, series):
                yield Family(column.metric, table.samples(index, column))
            correction = self.ledger.corrections[index] / column.unit
            yield Family(metrics.CORRECTIONS, [((self.name, column.name), correction)])
        yield Family(metrics.SERIES, [((self.name,), len(series))])
        yield Family(metrics.SERIES_DROPPED, [((self.name,), self.limit.dropped)])
        yield Family(metrics.NEGATIVE_ROWS, [((self.name,), self._negative)])
        yield Family(metrics.LOSS, [((self.name,), self.ledger.loss.ratio if self.ledger.loss else 0)])
        if self.ledger.newest is not None:
            yield Family(metrics.NEWEST_BUCKET, [((self.name,), self.ledger.newest)])
        if self.covers("month"):
            yield from self.previous.families()

    @property
    def outdated(self) -> bool:
        """Whether a day began since it was read: what was used today is unknown until then."""
        return self.ledger.complete and not self.covers("day")

    def covers(self, period: str) -> bool:
        """Whether it has been read in the `day` or `month` that runs now, in the API's time."""
        return self.ledger.covers(period, self._context.clock.now())

    def estimated(self, dimension: str | None, period: str) -> dict[str, Decimal | None] | None:
        """USD at list prices by the values of a dimension, under `` when it is None; None before a read of the period.

        None, too, for a value of which nothing has a price.
        """
        if not self.covers(period):
            return None
        usage = self.ledger.reported() if period == "month" else self.ledger.today()
        cost = self.operation.place(metrics.ESTIMATED_COST)
        place = self.group_by.index(dimension) if dimension else None
        sums: ledger.Rows = {}
        for labels, values in usage.items():
            ledger.accumulate(sums, ("" if place is None else labels[place],), (values[cost], values[-1]))
        return {
            key: None if unpriced and not pico else Decimal(pico) / PICO for (key,), (pico, unpriced) in sums.items()
        }

    def sums(self) -> dict[str, int]:
        """This month's sum of each column, as the API says."""
        totals, corrections = self.ledger.totals.values(), self.ledger.corrections
        return {
            name: sum(values[index] for values in totals) - corrections[index]
            for index, name in enumerate(self._columns)
        }

    def persisted(self) -> ledger.PersistedUsage:
        """What is to survive a restart."""
        own = self.ledger
        return ledger.PersistedUsage(
            self.name, self.group_by, self._columns, own.month, tuple(own.corrections),
            own.totals, own.reported(), frozenset(own.fresh), self.previous.closing,
            own.closed_until, own.buckets.packed, own.owed,
        )  # fmt: skip

    def restore(self, persisted: ledger.PersistedUsage) -> None:
        """Continue from what was persisted, if it has the same shape."""
        closing = persisted.closing
        if closing is not None and len(closing) == len(self.operation.sources):
            self.previous.begin(persisted.month, closing)
        if (persisted.group_by, persisted.columns) == (self.group_by, self._columns):
            self.ledger.restore(persisted)

    def _closing(self, month: int) -> ledger.Values | None:
        """What the counters have of the month that ends when `month` begins; None if that is not the one they count."""
        if self.ledger.month != ledger.previous_month_start(month):
            return None
        sums = self.sums()
        return tuple(sums[column.name] for column in self.operation.sources)

    def _preferred(self, calls: Calls, reading: ledger.Reading) -> frozenset[ledger.Labels] | None:
        """The largest series of the month before, when there may be too many and they are not known yet.

        Its last days are left out: usage that comes late must not change which series these are.
        """
        known = reading.month == self.ledger.month and self.limit.preferred is not None
        if known or not self.limit.tight(reading.new, self.ledger.in_use()):
            return None
        days = ledger.Range(ledger.previous_month_start(reading.month), reading.month - UNSETTLED, "1d", 31)
        sums: ledger.Rows = {}

        def add(start: int, day: Iterable[ledger.Row]) -> None:
            for labels, values in day:
                if days.start <= start < reading.month - UNSETTLED:
                    ledger.accumulate(sums, labels, values)

        self._read_buckets(calls, days, add)
        return self.limit.largest(sums)

    def _read_previous(self, calls: Calls) -> None:
        """Read the month before in days, without any grouping: only its sums are needed."""
        days: list[ledger.Values] = []
        previous = self.previous
        query = pages.Query(self.operation.path, self.name, previous.days)
        pages.read(calls, self._context, query, previous.decode, lambda start, day: previous.add(days, start, day))
        previous.finish(days, self._context.clock.now())

    def _doubt(self, reading: ledger.Reading) -> None:
        """Keep the last figures when a reading lacks too much of what is settled, or has too much in other series.

        Raises:
            UpstreamError: says what is missing.
        """
        loss = self.ledger.doubt(reading, self._organization.loss_limit)
        if loss is None:
            return
        if reading.whole:
            self._audit_at = self._context.clock.now() + self._organization.full_refresh_interval
        largest = max(loss.by_series, key=loss.by_series.__getitem__)
        labels = ", ".join(f"{name}={value}" for name, value in zip(self.group_by, largest, strict=True)) or "all"
        what = "that were settled are missing or moved" if loss.settled else "of the last hours moved"
        raise UpstreamError(
            f"{loss.lost} of {loss.known} {_unit(self.operation)} {what} to other labels ({loss.ratio:.0%}, "
            f"loss_limit is {self._organization.loss_limit:.0%}), in {len(loss.by_series)} series, "
            f"{loss.by_series[largest]} of them in {labels}; keeping the last values until the next full "
            "refresh, which is accepted if it agrees",
            api=self.name, reason="implausible",
        )  # fmt: skip

    def _count_negative(self, decoder: RowDecoder) -> None:
        """Figures below 0 are taken as the API says them: what they take back is in the corrections."""
        if decoder.negative and not self._negative:
            log.warning(
                "organization %s: %s has %d rows with values below 0, such as %s",
                self._organization.name, self.name, decoder.negative, decoder.example,
            )  # fmt: skip
        self._negative = decoder.negative

    def _read_month(self, calls: Calls, *, audit: bool) -> ledger.Reading:
        """A complete reading, planned with the time that the first answer's Date shows."""
        finalize_after, clock = self._organization.finalize_after, self._context.clock
        self._decoding().begin()
        plan = self.ledger.plan(clock.now(), finalize_after, audit=audit)
        reading = self.ledger.begin(plan, clock.now())

        def planned() -> bool:
            nonlocal reading
            again = self.ledger.plan(clock.now(), finalize_after, audit=audit)
            reading = self.ledger.begin(again, clock.now())
            return (again.month, again.hours) == (plan.month, plan.hours)

        self._read_buckets(calls, plan.hours, lambda start, bucket: reading.add(start, bucket), planned)
        if plan.days is not None:
            self._read_buckets(calls, plan.days, lambda start, bucket: reading.add(start, bucket, ledger.DAY))
        return reading

    def _read_buckets(
        self, calls: Calls, span: ledger.Range, add: pages.Add[ledger.Row], planned: Callable[[], bool] | None = None
    ) -> None:
        query = pages.Query(self.operation.path, self.name, span, self.operation.read_by(self.group_by))
        pages.read(calls, self._context, query, self._decoding().decode, add, planned)

    def _decoding(self) -> RowDecoder:
        if self._decoder is None:
            estimator = Estimator(self.operation.pricing, self._context.prices)
            self._decoder = RowDecoder(self.operation, self.group_by, estimator)
        return self._decoder


def _priced(cost: int, series: Sequence[ledger.Row]) -> bool:
    """Whether any price is known for what was used: an estimate of 0 would say that it is free."""
    return any(values[cost] for _, values in series) or not any(values[-1] for _, values in series)


def _unit(operation: Operation) -> str:
    """What the size of a series counts."""
    return "tokens" if operation.tokens else operation.sources[-1].name


def _weight(operation: Operation) -> Callable[[ledger.Values], int]:
    """How large a series is: its tokens, or what the endpoint counts instead."""
    places = operation.tokens or (len(operation.sources) - 1,)
    return lambda values: sum(values[place] for place in places)


class PreviousMonth:
    """The month before of one endpoint, as the API says it now, and what of it came too late for the counters.

    Counters begin at 0 with the month, so what the API says of the month before after that month's last reading
    is in none of them. It is shown as gauges. What is computed from prices is left out, so that one short page
    without any grouping is enough.

    Attributes:
        month: start of the running month, 0 before the first reading.
        closing: what the counters of the month before, less their corrections, said when they ended, by column;
            None when nobody was there to see it.
        sums: what the API says of that month now, by column; None before it was read.
        decode: from a result to the values of its columns.
    """

    def __init__(self, operation: Operation) -> None:
        self.month = 0
        self.closing: ledger.Values | None = None
        self.sums: ledger.Values | None = None
        self.decode = RowDecoder(operation, (), lambda result, start: ()).decode
        self._operation = operation.name
        self._columns = operation.sources
        self._read_at: float | None = None

    def begin(self, month: int, closing: ledger.Values | None) -> None:
        """A month begins, or is the first to be read."""
        self.month, self.closing, self.sums, self._read_at = month, closing, None, None

    def due(self, now: float, interval: float) -> bool:
        """Whether it is to be read; `interval` is the seconds between two audits."""
        if self._read_at is None:
            return True
        if now - self.month > UNSETTLED_MONTH:
            interval = max(interval, ledger.DAY)
        return not 0 <= now - self._read_at < interval

    @property
    def days(self) -> ledger.Range:
        """What is to be read: one page."""
        return ledger.Range(ledger.previous_month_start(self.month), self.month, "1d", 31)

    def add(self, days: list[ledger.Values], start: int, rows: Iterable[ledger.Row]) -> None:
        """Add a day of a reading to `days`, unless it is of another month."""
        values = [(0,) * len(self._columns), *(values for _, values in rows)]
        if self.days.start <= start < self.month:
            days += values

    def finish(self, days: Sequence[ledger.Values], now: float) -> None:
        """Take over a complete reading; an answer without a single day of that month says nothing."""
        self._read_at = now
        if days:
            self.sums = tuple(map(sum, zip(*days, strict=True)))

    def families(self) -> Iterator[Family]:
        """The gauges; nothing of what is not known."""
        if self.sums is None:
            return
        for place, column in enumerate(self._columns):
            labels, reported = (self._operation, column.name), self.sums[place]
            yield Family(metrics.PREVIOUS_MONTH, [(labels, reported)])
            if self.closing is not None:
                yield Family(metrics.PREVIOUS_MONTH_LATE, [(labels, reported - self.closing[place])])


@dataclass(frozen=True)
class SeriesTable:
    """Rows of one endpoint as samples of several metrics, which share their label tuples.

    A metric may have fewer labels than the rows have dimensions.

    Attributes:
        rows: labels in the order of `group_by`, and values.
        operation: value of label `operation`.
        pause: called for each row.
    """

    rows: Sequence[ledger.Row]
    group_by: tuple[str, ...]
    operation: str
    pause: Callable[[], None]
    _known: dict[tuple[tuple[str, ...], tuple[str, ...]], list[ledger.Labels]] = field(default_factory=dict)

    def samples(self, index: int, column: Column) -> list[Sample]:
        """The samples of one column; rows that differ only in what the metric has no label for are summed."""
        labels = self._labels(column.metric.labels, column.more)
        figures = [values[index] for _, values in self.rows]
        if not set(self.group_by) <= set(column.metric.labels):
            summed: dict[ledger.Labels, int] = {}
            for series, figure in zip(labels, figures, strict=True):
                summed[series] = summed.get(series, 0) + figure
            labels, figures = list(summed), list(summed.values())
        if column.unit == 1:
            return list(zip(labels, figures, strict=True))
        return [(series, figure / column.unit) for series, figure in zip(labels, figures, strict=True)]

    def _labels(self, names: tuple[str, ...], more: tuple[str, ...]) -> list[ledger.Labels]:
        """All labels of a metric, row by row; what is not grouped by is empty."""
        if (names, more) in self._known:
            return self._known[names, more]
        fixed = dict(zip(names[len(names) - len(more) :], more, strict=True)) | {"operation": self.operation}
        places = [self.group_by.index(name) if name in self.group_by else None for name in names]
        pairs = [(place, fixed.get(name, "")) for place, name in zip(places, names, strict=True)]
        spread = self._known[names, more] = []
        for labels, _ in self.rows:
            self.pause()
            spread.append(tuple([text if place is None else labels[place] for place, text in pairs]))
        return spread


class VectorStoresDataset(dataset.Dataset):
    """Bytes in vector stores, by project where grouped so: the newest day that has figures; nothing is summed.

    Attributes:
        data: that day and its bytes by project.
    """

    name = VECTOR_STORES
    data: tuple[int, dict[str, int]] | None = None
    _days = 7

    def __init__(self, organization: Organization, context: dataset.Context) -> None:
        self.interval = organization.refresh_interval
        grouped = "project_id" in organization.usage["vector_stores"].group_by
        self.shape = self._group_by = ("project_id",) if grouped else ()
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the last days."""
        days: dict[int, dict[str, int]] = {}

        def add(start: int, stores: Iterable[tuple[str, int]]) -> None:
            for project, size in stores:
                by_project = days.setdefault(start, {})
                by_project[project] = by_project.get(project, 0) + size

        start = ledger.day_start(self._context.clock.now()) - (self._days - 1) * ledger.DAY
        span = ledger.Range(start, None, "1d", 31)
        query = pages.Query(f"/organization/usage/{self.name}", self.name, span, self._group_by)
        pages.read(calls, self._context, query, lambda result, start: decode_bytes(result, self._group_by), add)
        self.data = max(days.items(), default=None, key=lambda item: item[0])
        return True

    def families(self) -> Iterator[Family]:
        """The bytes of the newest day, and which day that is."""
        if self.data is None:
            return
        start, sizes = self.data
        yield Family(metrics.VECTOR_STORE_BYTES, [((project,), size) for project, size in sizes.items()])
        yield Family(metrics.NEWEST_BUCKET, [((self.name,), start)])
        yield Family(metrics.SERIES, [((self.name,), len(sizes))])

# SPDX-License-Identifier: Apache-2.0
"""One usage endpoint: reads its buckets into a ledger and exposes the ledger's counters."""

import functools
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.draft import Draft
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.fold import Fold, Labels, Rows, Values, accumulate
from openai_exporter.usage.kept import Kept
from openai_exporter.usage.lastmonth import LastMonth
from openai_exporter.usage.ledger import Ledger, VanishedError
from openai_exporter.usage.operations import OPERATIONS, PICO, Operation
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.project import Projection
from openai_exporter.usage.rows import RowDecoder
from openai_exporter.usage.window import DAY, Plan, Range, previous_month_start

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

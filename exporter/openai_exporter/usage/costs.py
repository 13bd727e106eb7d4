# SPDX-License-Identifier: Apache-2.0
"""Billed costs: one read covers the month before and this one. Gauges, for credits make them fall."""

from collections.abc import Iterator

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.bill import Bill, largest, total
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.pages import Query, Sink, read
from openai_exporter.usage.window import previous_month_start

NAME = "costs"
PATH = "/organization/costs"
_MOST_DAYS = 180
_TRIES = 3


class CostsDataset:
    """Costs of an organization.

    Attributes:
        bill: the last one read; None before the first.
    """

    name = NAME

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.costs is not None
        self.interval = organization.costs.refresh_interval
        self.bill: Bill | None = None
        self._group_by: tuple[str, ...] = organization.costs.group_by
        self._limit = organization.series_limit
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read both months; the API's own clock says which they are."""
        clock = self._context.clock
        for _ in range(_TRIES):
            start = previous_month_start(clock.now())
            found: list[Bill] = []

            def arrived(reply: Reply, start: int = start, found: list[Bill] = found) -> Sink | None:
                clock.observe(reply.date)
                if previous_month_start(clock.now()) != start:
                    return None
                found.append(Bill(clock.now(), self._group_by))
                return found[0].bucket

            if read(calls, self._query(start), arrived):
                self.bill = found[0]
                return True
        raise UpstreamError("the API's clock (header Date) jumps", api=self.name, reason="malformed")

    def adopt(self, other: Dataset) -> bool:
        """Take over a bill with the same labels."""
        if not isinstance(other, CostsDataset) or other._group_by != self._group_by:
            return False
        self.bill = other.bill
        return True

    def families(self) -> Iterator[Family]:
        """Month to date by labels, today, yesterday, and the month before."""
        bill = self.bill
        if bill is None:
            return
        names = metrics.COSTS_MONTH.labels
        month = Family(metrics.COSTS_MONTH)
        for labels, usd in largest(bill.month, self._limit).items():
            given = dict(zip(bill.group_by, labels, strict=True))
            month.add(float(usd), *(given.get(name, "") for name in names))
        yield month
        day = Family(metrics.COSTS_DAY)
        day.add(float(total(bill.today)), "today")
        day.add(float(total(bill.yesterday)), "yesterday")
        yield day
        yield family(metrics.COSTS_PREVIOUS_MONTH, float(bill.previous_month))
        yield Family(metrics.COSTS_SKIPPED, [((name,), count) for name, count in bill.skipped.items()])

    def _query(self, start: int) -> Query:
        params = [("start_time", str(start)), ("bucket_width", "1d"), ("limit", str(_MOST_DAYS))]
        params += [("group_by[]", name) for name in self._group_by]
        return Query(PATH, self.name, params, self._context.pause)

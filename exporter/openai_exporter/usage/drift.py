# SPDX-License-Identifier: Apache-2.0
"""Estimated beside billed cost by model, of days whose bill is complete: how good the estimate is, and where not.

Both sides are read for the same days: a bill arrives a day or two later than usage, so that the estimate of
today against the bill of today would always differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Reply
from openai_exporter.config.organization import GROUPABLE, PRICED, Organization
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.bill import largest
from openai_exporter.usage.costrow import decoded
from openai_exporter.usage.costs import PATH
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.lineitems import IMAGES, model_of
from openai_exporter.usage.operations import OPERATIONS, PICO, Operation
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.rows import RowDecoder
from openai_exporter.usage.window import DAY, day_start, month_start

API = "cost_drift"
WINDOWS = ("day", "month")
_PRICED_BY = ("model", "batch", "service_tier")
_MOST_DAYS = "31"

_Sums = dict[str, Decimal]


@dataclass(slots=True)
class Comparison:
    """USD by model and by line item, each for the newest day and for its month up to it.

    Attributes:
        day: start of that day.
        unpriced: by model, how much was used that has no price, whatever its unit.
    """

    day: int
    estimated: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))
    unpriced: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))
    billed: tuple[_Sums, _Sums] = field(default_factory=lambda: ({}, {}))

    def add(self, sums: tuple[_Sums, _Sums], start: int, name: str, usd: Decimal) -> None:
        """Add an amount of the day that begins at `start`."""
        if month_start(self.day) <= start <= self.day:
            for each in sums if day_start(start) == self.day else sums[1:]:
                each[name] = each.get(name, Decimal(0)) + usd

    def estimate(self, window: int, model: str) -> Decimal | None:
        """The estimate of a model; None when nothing of it has a price."""
        usd = self.estimated[window].get(model, Decimal(0))
        return None if not usd and self.unpriced[window].get(model) else usd

    def split(self, window: int) -> tuple[_Sums, _Sums]:
        """What is billed of each model with an estimate, and of the line items of none."""
        models = self.estimated[1].keys()
        matched: _Sums = {model: Decimal(0) for model in self.estimated[window]}
        rest: _Sums = {}
        for item, usd in self.billed[window].items():
            model = None if item.endswith(IMAGES) else model_of(item, models)
            sums, name = (rest, item) if model is None else (matched, model)
            sums[name] = sums.get(name, Decimal(0)) + usd
        return matched, rest


class DriftDataset:
    """The comparison of one organization."""

    name = API

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.cost_drift is not None
        self.interval = organization.cost_drift.refresh_interval
        self._settle = organization.cost_drift.settle
        self._operations = tuple(OPERATIONS[name] for name in organization.usage if name in PRICED)
        self._limit = organization.series_limit
        self._context = context
        self._found: Comparison | None = None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read usage and bill of the month up to the newest day whose bill is complete."""
        clock = self._context.clock
        found = Comparison(day_start(clock.now() - self._settle) - DAY)
        for operation in self._operations:
            group_by = tuple(name for name in _PRICED_BY if name in GROUPABLE[operation.name])
            query = self._query(operation.path, found.day, group_by)
            read(calls, query, self._sink(_usage_taker(found, operation, self._context)))
        read(calls, self._query(PATH, found.day, ("line_item",)), self._sink(_bill_taker(found)))
        self._found = found
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over a comparison of the same endpoints."""
        if not isinstance(other, DriftDataset):
            return False
        if (other._settle, other._operations) != (self._settle, self._operations):
            return False
        self._found = other._found
        return True

    def families(self) -> Iterator[Family]:
        """Both sides by model, what is billed besides, and which day it is."""
        if self._found is None:
            return
        estimated, billed, rest = (
            Family(metrics.DRIFT_ESTIMATED),
            Family(metrics.DRIFT_BILLED),
            Family(metrics.DRIFT_UNMATCHED),
        )
        for place, window in enumerate(WINDOWS):
            matched, unmatched = self._found.split(place)
            for family_, sums in ((billed, matched), (rest, unmatched)):
                for (name,), usd in largest(
                    {(name,): usd for name, usd in sums.items()}, self._limit
                ).items():
                    family_.add(float(usd), window, name)
            for model in matched:
                estimate = self._found.estimate(place, model)
                if estimate is not None:
                    estimated.add(float(estimate), window, model)
        yield from (estimated, billed, rest, family(metrics.DRIFT_DAY, self._found.day))

    def _sink(self, bucket: Callable[[int], Take]) -> Callable[[Reply], Sink]:
        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        return arrived

    def _query(self, path: str, day: int, group_by: tuple[str, ...]) -> Query:
        params = [
            ("start_time", str(month_start(day))),
            ("end_time", str(day + DAY)),
            ("bucket_width", "1d"),
            ("limit", _MOST_DAYS),
        ]
        params += [("group_by[]", name) for name in group_by]
        return Query(path, self.name, params, self._context.pause)


def _usage_taker(found: Comparison, operation: Operation, context: Context) -> Callable[[int], Take]:
    estimator = Estimator(operation.pricing, context.prices)
    decoder = RowDecoder(operation, ("model",), estimator)
    place = [column.metric for column in operation.columns].index(metrics.ESTIMATED_COST)

    def bucket(start: int) -> Take:
        def take(result: Any) -> None:
            (model,), values = decoder.decode(result, start)
            found.add(found.estimated, start, model, Decimal(values[place]) / PICO)
            found.add(found.unpriced, start, model, Decimal(values[-1]))

        return take

    return bucket


def _bill_taker(found: Comparison) -> Callable[[int], Take]:
    def bucket(start: int) -> Take:
        def take(result: Any) -> None:
            row = decoded(result, ("line_item",))
            if row.usd is not None:
                found.add(found.billed, start, row.labels[0], row.usd)

        return take

    return bucket

# SPDX-License-Identifier: Apache-2.0
"""Estimated beside billed cost by model, of days whose bill is complete: how good the estimate is, and where not.

Both sides are read for the same days: a bill arrives a day or two later than usage, so that the estimate of
today against the bill of today would always differ.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from openai_exporter.client.organization import Calls
from openai_exporter.config.sections import GROUPABLE, PRICED, Organization
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices import PICO
from openai_exporter.usage import costs
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.ledger import Labels, Values
from openai_exporter.usage.limits import undated
from openai_exporter.usage.pages import Add, Decode, Query, T, read
from openai_exporter.usage.rows import OPERATIONS, CostRow, Operation, RowDecoder, decoded
from openai_exporter.usage.window import DAY, Range, day_start, month_start

IMAGES = ", images"
"""How line items for whole images end: they are of a model, but no price list has a price for them."""
WINDOWS = ("day", "month")
_PRICED_BY = ("model", "batch", "service_tier")
_MOST_DAYS = 31

_Sums = dict[str, Decimal]


def model_of(line_item: str, models: Collection[str]) -> str | None:
    """The model of a line item: `gpt-5.4-2026-03-05, cached input` is for `gpt-5.4-2026-03-05`. None without one.

    What line items say is documented nowhere; what does not begin with a model that usage has is for none.

    Args:
        models: names that usage has. An alias on the bill is for the one snapshot of it, if there is only one.
    """
    name, _, what = line_item.partition(", ")
    if not what:
        return None
    if name in models:
        return name
    snapshots = [model for model in models if undated(model) == name]
    return snapshots[0] if len(snapshots) == 1 else None


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
            for window in sums if day_start(start) == self.day else sums[1:]:
                window[name] = window.get(name, Decimal(0)) + usd

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


class DriftDataset(Dataset):
    """The comparison of one organization.

    Attributes:
        data: as last read; None before.
    """

    name = "cost_drift"
    data: Comparison | None = None

    def __init__(self, organization: Organization, context: Context) -> None:
        assert organization.cost_drift is not None
        self.interval = organization.cost_drift.refresh_interval
        self._settle = organization.cost_drift.settle
        self._operations = tuple(OPERATIONS[name] for name in organization.usage if name in PRICED)
        self.shape = (self._settle, self._operations)
        self._limit = organization.series_limit
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read usage and bill of the month up to the newest day whose bill is complete."""
        comparison = Comparison(day_start(self._context.clock.now() - self._settle) - DAY)
        for operation in self._operations:
            self._read_usage(calls, operation, comparison)

        def add(start: int, rows: Iterable[CostRow]) -> None:
            for row in rows:
                if row.usd is not None:
                    comparison.add(comparison.billed, start, row.labels[0], row.usd)

        by = ("line_item",)
        self._read(calls, costs.PATH, comparison.day, by, lambda result, start: decoded(result, by), add)
        self.data = comparison
        return True

    def families(self) -> Iterator[Family]:
        """Both sides by model, what is billed besides, and which day it is."""
        if self.data is None:
            return
        estimated, billed, rest = (
            Family(metrics.DRIFT_ESTIMATED),
            Family(metrics.DRIFT_BILLED),
            Family(metrics.DRIFT_UNMATCHED),
        )
        for place, window in enumerate(WINDOWS):
            matched, unmatched = self.data.split(place)
            for side, sums in ((billed, matched), (rest, unmatched)):
                by_name: costs.Sums = {(name,): usd for name, usd in sums.items()}
                for (name,), usd in costs.largest(by_name, self._limit).items():
                    side.add(float(usd), window, name)
            for model in matched:
                estimate = self.data.estimate(place, model)
                if estimate is not None:
                    estimated.add(float(estimate), window, model)
        yield from (estimated, billed, rest, family(metrics.DRIFT_DAY, self.data.day))

    def _read_usage(self, calls: Calls, operation: Operation, comparison: Comparison) -> None:
        decoder = RowDecoder(operation, ("model",), Estimator(operation.pricing, self._context.prices))
        place = operation.place(metrics.ESTIMATED_COST)

        def add(start: int, rows: Iterable[tuple[Labels, Values]]) -> None:
            for (model,), values in rows:
                comparison.add(comparison.estimated, start, model, Decimal(values[place]) / PICO)
                comparison.add(comparison.unpriced, start, model, Decimal(values[-1]))

        group_by = tuple(name for name in _PRICED_BY if name in GROUPABLE[operation.name])
        self._read(calls, operation.path, comparison.day, group_by, decoder.decode, add)

    def _read(self, calls: Calls, path: str, day: int, by: tuple[str, ...], decode: Decode[T], add: Add[T]) -> None:
        span = Range(month_start(day), day + DAY, "1d", _MOST_DAYS)
        read(calls, self._context, Query(path, self.name, span, by), decode, add)

# SPDX-License-Identifier: Apache-2.0
"""Usage and costs per day and group, read from the API; reports are sums over it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from openai_exporter.config.organization import GROUPABLE
from openai_exporter.errors import UpstreamError
from openai_exporter.prices import PICO
from openai_exporter.report.source import Source, TakeUsage
from openai_exporter.usage.costs import model_of
from openai_exporter.usage.ledger import Labels, Range, Values, day_start
from openai_exporter.usage.rows import OPERATIONS, CostRow

COUNTS = (
    "requests", "input_tokens", "input_cached_tokens", "output_tokens",
    "images", "characters", "audio_seconds", "tool_calls", "sessions",
    "unpriced_tokens", "unpriced_images", "unpriced_characters", "unpriced_audio_seconds",
)  # fmt: skip
"""The counts that are reported, by the names of the usage columns."""

UNPRICED = {
    "unpriced_tokens": "tokens", "unpriced_images": "images", "unpriced_characters": "characters",
    "unpriced_audio_seconds": "seconds of audio",
}  # fmt: skip
"""Counts of usage of models without a price, and their units."""
_WITHOUT_PRICE = (*UNPRICED, "tool_calls", "sessions")
"""Counts of what has no list price."""

By = Literal["model", "project", "key", "user", "line_item"]
DIMENSIONS: dict[By, str] = {
    "model": "model",
    "project": "project_id",
    "key": "api_key_id",
    "user": "user_id",
    "line_item": "line_item",
}
_PRICED_BY = ("model", "batch", "service_tier")
_DAYS = 31
_COST_DAYS = 180
NOT_ATTRIBUTED = ""
"""The group of what the API attributes to none."""


@dataclass(slots=True)
class Totals:
    """Cost and usage, added up exactly: whole numbers and Decimal.

    Attributes:
        billed: USD of the costs endpoint; None where it cannot tell.
        pico: list price of the usage in pico-dollars.
        counts: by the names in `COUNTS`; what is missing is 0.
    """

    billed: Decimal | None = None
    pico: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        """Add another one."""
        if other.billed is not None:
            self.billed = (self.billed or Decimal(0)) + other.billed
        self.pico += other.pico
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def count(self, name: str) -> int:
        """One of the counts."""
        return self.counts.get(name, 0)

    @property
    def cost(self) -> Decimal:
        """USD: as billed where that is known, else at list prices."""
        return self._listed if self.billed is None else self.billed

    @property
    def list_price(self) -> Decimal | None:
        """USD at list prices; None where nothing of what was used or billed has a price on the list."""
        unknown = not self.pico and (self.billed or any(map(self.count, _WITHOUT_PRICE)))
        return None if unknown else self._listed

    @property
    def _listed(self) -> Decimal:
        return Decimal(self.pico) / PICO

    @property
    def output_per_input(self) -> float | None:
        """Output tokens per input token."""
        return _ratio(self.count("output_tokens"), self.count("input_tokens"))

    @property
    def cached_share(self) -> float | None:
        """The part of the input tokens that came from the cache."""
        return _ratio(self.count("input_cached_tokens"), self.count("input_tokens"))

    @property
    def tokens_per_request(self) -> float | None:
        """Input and output tokens per request; None where what is used has no tokens, such as speech."""
        tokens = self.count("input_tokens") + self.count("output_tokens")
        return _ratio(tokens, self.count("requests")) if tokens else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


Cells = dict[tuple[int, str], Totals]


@dataclass(slots=True)
class Book:
    """Totals per day and group.

    Attributes:
        by: what the groups are.
        cells: by the start of the day and the group's id; costs of models are under their line item.
        billed: whether costs are in it.
        models: names that usage has; a line item `<model>, <what>` of these belongs to the model.
        skipped: costs in other currencies, rows by currency: they are in no sum.
        unpriced: days and models with usage that has no price.
        notes: what a reader should know.
    """

    by: By
    cells: Cells = field(default_factory=dict)
    billed: bool = False
    models: set[str] = field(default_factory=set)
    skipped: dict[str, int] = field(default_factory=dict)
    unpriced: set[tuple[int, str]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def groups(self, start: int, end: int) -> dict[str, Totals]:
        """Totals of each group in [start, end)."""
        groups: dict[str, Totals] = {}
        for id, totals in self._within(start, end):
            groups.setdefault(self._group(id), self.nothing()).add(totals)
        return groups

    def total(self, start: int, end: int) -> Totals:
        """Totals of everything in [start, end)."""
        total = self.nothing()
        for _, totals in self._within(start, end):
            total.add(totals)
        return total

    def nothing(self) -> Totals:
        """Totals of a time without usage and costs."""
        return Totals(Decimal(0) if self.billed else None)

    def merge(self, cells: Cells) -> None:
        """Add the cells of a query that was read to its end."""
        for key, totals in cells.items():
            self.cells.setdefault(key, Totals()).add(totals)

    def _within(self, start: int, end: int) -> Iterator[tuple[str, Totals]]:
        return ((id, totals) for (day, id), totals in self.cells.items() if start <= day < end)

    def _group(self, id: str) -> str:
        return model_of(id, self.models) or id if self.by == "model" else id


def read_usage(book: Book, source: Source, start: int, end: int | None) -> None:
    """Add the usage of all configured endpoints.

    Raises:
        UpstreamError: one of them could not be read.
    """
    for name in source.organization.usage:
        if name in OPERATIONS:
            requested = dict.fromkeys((DIMENSIONS[book.by], *_PRICED_BY))
            group_by = tuple(dimension for dimension in requested if dimension in GROUPABLE[name])
            cells: Cells = {}
            take = _usage_taker(book, cells, name, group_by)
            source.usage(name, group_by, Range(start, end, "1d", _DAYS), cells.clear, take)
            book.merge(cells)


def _usage_taker(book: Book, cells: Cells, name: str, group_by: tuple[str, ...]) -> TakeUsage:
    columns = [column.name for column in OPERATIONS[name].columns]

    def take(start: int, labels: Labels, values: Values) -> None:
        day, group = day_start(start), dict(zip(group_by, labels, strict=True))
        usage = dict(zip(columns, values, strict=True))
        counts = {column: usage[column] for column in COUNTS if usage.get(column)}
        id = group.get(DIMENSIONS[book.by], NOT_ATTRIBUTED)
        totals = Totals(None, usage.get("estimated_cost_usd", 0), counts)
        cells.setdefault((day, id), Totals()).add(totals)
        if model := group.get("model"):
            book.models.add(model)
            if not UNPRICED.keys().isdisjoint(counts):
                book.unpriced.add((day, model))

    return take


def read_costs(book: Book, source: Source, start: int, end: int | None) -> None:
    """Add the costs, unless the configuration reads none or the API does not group them so.

    Raises:
        UpstreamError: they could not be read.
    """
    if source.organization.costs is None:
        book.notes.append("The configuration reads no costs; amounts are list prices of the usage.")
        return
    dimension = "line_item" if book.by == "model" else DIMENSIONS[book.by]
    cells: Cells = {}

    def restart() -> None:
        cells.clear()
        book.skipped.clear()

    def take(start: int, row: CostRow) -> None:
        if row.usd is None:
            book.skipped[row.currency] = book.skipped.get(row.currency, 0) + 1
        else:
            cells.setdefault((day_start(start), row.labels[0]), Totals()).add(Totals(row.usd))

    try:
        source.costs((dimension,), Range(start, end, "1d", _COST_DAYS), restart, take)
    except UpstreamError as error:
        if error.status != 400 or book.by not in ("key", "user"):
            raise
        book.notes.append(f"The API does not tell costs by {book.by}; amounts are list prices of the usage.")
        return
    book.merge(cells)
    book.billed = True
    for currency, rows in book.skipped.items():
        book.notes.append(f"{rows} rows of costs in {currency} are in no sum.")

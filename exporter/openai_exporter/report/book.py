# SPDX-License-Identifier: Apache-2.0
"""Usage and costs per day and group, read from the API, and the values and ratios of a group."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from openai_exporter.config.organization import GROUPABLE, Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.prices import PICO
from openai_exporter.report.source import Source, TakeCosts, TakeUsage
from openai_exporter.usage.drift import model_of
from openai_exporter.usage.ledger import Labels, Values
from openai_exporter.usage.rows import OPERATIONS, CostRow
from openai_exporter.usage.window import Range, day_start

# Figures of a group of usage over some days, and their ratios. Exact: whole numbers and Decimal.

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
"""Counts of what is of models without a price, and what they count."""
_WITHOUT_PRICE = (*UNPRICED, "tool_calls", "sessions")
"""Counts of what has no list price."""


@dataclass(slots=True)
class Tally:
    """Figures that are being added up; `pico` is the list price in pico-dollars."""

    usd: Decimal = Decimal(0)
    pico: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add another one."""
        self.usd += other.usd
        self.pico += other.pico
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures that are complete.

    Attributes:
        billed: USD of the costs endpoint; None where it cannot tell.
        listed: USD at list prices, from usage.
        counts: by the names in `COUNTS`; what is missing is 0.
    """

    billed: Decimal | None
    listed: Decimal
    counts: Mapping[str, int]

    @classmethod
    def of(cls, tally: Tally, *, billed: bool) -> "Figures":
        """From a tally; `billed` says whether costs were read."""
        return cls(tally.usd if billed else None, Decimal(tally.pico) / PICO, dict(tally.counts))

    def count(self, name: str) -> int:
        """One of the counts."""
        return self.counts.get(name, 0)

    @property
    def money(self) -> Decimal:
        """What it cost: as billed where that is known, else at list prices."""
        return self.listed if self.billed is None else self.billed

    @property
    def list_price(self) -> Decimal | None:
        """USD at list prices; None where nothing of what was used or billed has a price on the list."""
        unknown = not self.listed and (self.billed or any(map(self.count, _WITHOUT_PRICE)))
        return None if unknown else self.listed

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


def change(now: Decimal, before: Decimal) -> float | None:
    """How much more it is, as a ratio; None where there was nothing before."""
    return None if before <= 0 else float(now / before - 1)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# Usage and costs per day and group, read from the API; reports are sums over it.

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
UNTOLD = ""
"""The group of what the API attributes to none."""

Cells = dict[tuple[int, str], Tally]


@dataclass(slots=True)
class Book:
    """Figures per day and group.

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

    def groups(self, start: int, end: int) -> dict[str, Figures]:
        """Figures of each group in [start, end)."""
        found: dict[str, Tally] = {}
        for (_, id), tally in self._within(start, end):
            found.setdefault(self._group(id), Tally()).add(tally)
        return {id: Figures.of(tally, billed=self.billed) for id, tally in found.items()}

    def total(self, start: int, end: int) -> Figures:
        """Figures of everything in [start, end)."""
        found = Tally()
        for _, tally in self._within(start, end):
            found.add(tally)
        return Figures.of(found, billed=self.billed)

    def _within(self, start: int, end: int) -> Iterator[tuple[tuple[int, str], Tally]]:
        return (cell for cell in self.cells.items() if start <= cell[0][0] < end)

    def _group(self, id: str) -> str:
        if self.by != "model":
            return id
        return model_of(id, self.models) or id


def read_usage(book: Book, source: Source, organization: Organization, start: int, end: int | None) -> None:
    """Add the usage of all configured endpoints.

    Raises:
        UpstreamError: one of them could not be read.
    """
    for name, _ in organization.usage.items():
        if name not in OPERATIONS:
            continue
        wanted = dict.fromkeys((DIMENSIONS[book.by], *_PRICED_BY))
        group_by = tuple(each for each in wanted if each in GROUPABLE[name])
        cells: Cells = {}
        part = Range(start, end, "1d", _DAYS)
        source.usage(name, group_by, part, _usage_taker(book, cells, name, group_by))
        _merge(book, cells)


def read_costs(book: Book, source: Source, organization: Organization, start: int, end: int | None) -> None:
    """Add the costs, unless the configuration reads none or the API does not group them so.

    Raises:
        UpstreamError: they could not be read.
    """
    if organization.costs is None:
        book.notes.append("The configuration reads no costs; amounts are list prices of the usage.")
        return
    dimension = "line_item" if book.by == "model" else DIMENSIONS[book.by]
    cells: Cells = {}
    try:
        source.costs((dimension,), Range(start, end, "1d", _COST_DAYS), _cost_taker(book, cells))
    except UpstreamError as error:
        if error.status != 400 or book.by not in ("key", "user"):
            raise
        book.notes.append(f"The API does not tell costs by {book.by}; amounts are list prices of the usage.")
        return
    _merge(book, cells)
    book.billed = True
    for currency, rows in book.skipped.items():
        book.notes.append(f"{rows} rows of costs in {currency} are in no sum.")


def _usage_taker(book: Book, cells: Cells, name: str, group_by: tuple[str, ...]) -> Callable[[], TakeUsage]:
    columns = [(index, each.name) for index, each in enumerate(OPERATIONS[name].columns)]
    price = next((index for index, each in columns if each == "estimated_cost_usd"), None)
    counted = [(index, each) for index, each in columns if each in COUNTS]
    dimension = DIMENSIONS[book.by]
    place = group_by.index(dimension) if dimension in group_by else None
    model = group_by.index("model") if "model" in group_by else None

    def take(start: int, labels: Labels, values: Values) -> None:
        id = UNTOLD if place is None else labels[place]
        tally = cells.setdefault((day_start(start), id), Tally())
        counts = {each: values[index] for index, each in counted if values[index]}
        tally.add(Tally(pico=0 if price is None else values[price], counts=counts))
        if model is not None and labels[model]:
            book.models.add(labels[model])
            if not UNPRICED.keys().isdisjoint(counts):
                book.unpriced.add((day_start(start), labels[model]))

    def begin() -> TakeUsage:
        cells.clear()
        return take

    return begin


def _cost_taker(book: Book, cells: Cells) -> Callable[[], TakeCosts]:
    def take(start: int, row: CostRow) -> None:
        if row.usd is None:
            book.skipped[row.currency] = book.skipped.get(row.currency, 0) + 1
            return
        tally = cells.setdefault((day_start(start), row.labels[0]), Tally(Decimal(0)))
        tally.usd += row.usd

    def begin() -> TakeCosts:
        cells.clear()
        book.skipped.clear()
        return take

    return begin


def _merge(book: Book, cells: Cells) -> None:
    for key, tally in cells.items():
        book.cells.setdefault(key, Tally()).add(tally)

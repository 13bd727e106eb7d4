# SPDX-License-Identifier: Apache-2.0
"""The bill of a day in line items: tokens at list prices, tools, storage and credits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.seed import DAY, FOUNDED, generator
from openai_simulator.organization.usage import Filter, Selection, UsageRecords, View

# List prices per unit, from the genai-prices package, for one model, tier and day.
# Long-context rates are left out on purpose: every simulated request is far below their threshold, and a sum
# of many requests must not be priced like one long request.

_SAMPLE = 1000
_EXACT_TO = Decimal("1e-18")  # prices per hour do not always divide evenly into seconds
_COUNTS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_tokens",),
    "cached input": ("input_tokens", "cache_read_tokens"),
    "cache write": ("input_tokens", "cache_write_tokens"),
    "output": ("output_tokens",),
    "audio input": ("input_tokens", "input_audio_tokens"),
    "cached audio input": (
        "input_tokens", "cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens",
    ),
    "audio output": ("output_tokens", "output_audio_tokens"),
    "image input": ("input_tokens", "input_image_tokens"),
    "cached image input": (
        "input_tokens", "cache_read_tokens", "input_image_tokens", "cache_image_read_tokens",
    ),
    "image output": ("output_tokens", "output_image_tokens"),
    "characters": ("input_characters",),
    "transcription": ("audio_seconds", "input_audio_seconds"),
}  # fmt: skip
"""The counts that make up a request of one kind of unit, as the price list names them."""
KINDS = tuple(_COUNTS)
_units: dict[tuple[str, str], Decimal] = {}


def unit_price(model: str, kind: str, batch: bool, service_tier: str | None, day: int) -> Decimal | None:
    """USD per unit (token, character or second) on the UTC day that starts at `day`; None when not listed.

    `kind` is one of KINDS.
    """
    found = _price(model, batch, service_tier, day)
    if found is None:
        return None
    name, price = found
    if (name, kind) not in _units:
        total: Decimal = price.calc_price(Usage(**dict.fromkeys(_COUNTS[kind], _SAMPLE)))["total_price"] / _SAMPLE
        _units[name, kind] = total if total == total.quantize(_EXACT_TO) else total.quantize(_EXACT_TO)
    return _units[name, kind]


@lru_cache(maxsize=65_536)
def _price(model: str, batch: bool, service_tier: str | None, day: int) -> tuple[str, ModelPrice] | None:
    """The model's price table on a day, and a name that equal tables share."""
    context = {"processing": "batch"} if batch else {"service_tier": service_tier} if service_tier else None
    try:
        _, info = get_snapshot().find_provider_model(model, None, "openai", None)
    except LookupError:
        return None
    price = info.get_prices(datetime.fromtimestamp(day, UTC), context)
    return repr(price), price


@dataclass(frozen=True, slots=True)
class Rate:
    """How one part of usage is billed: the line item's ending, the kind of list price, the quantity's unit."""

    line: str
    kind: str
    unit: str = "tokens"


@dataclass(frozen=True, slots=True)
class Item:
    """What is billed by the piece: its line item (after the model if `by_model`), the part that counts, its price."""

    line: str
    part: str
    usd: Decimal
    unit: str | None = None
    by_model: bool = False


PRICED_OPERATIONS = ("completions", "decisions", "embeddings", "moderations", "audio_transcriptions", "audio_speeches")
RATES: Mapping[str, Rate] = {
    "input_tokens": Rate("input", "input"),
    "input_text_tokens": Rate("input", "input"),
    "input_image_tokens": Rate("input", "image input"),
    "input_audio_tokens": Rate("audio input", "audio input"),
    "input_cached_text_tokens": Rate("cached input", "cached input"),
    "input_cached_image_tokens": Rate("cached input", "cached image input"),
    "input_cached_audio_tokens": Rate("cached input", "cached audio input"),
    "input_cache_write_30m_tokens": Rate("cache write", "cache write"),
    "input_cache_write_12h_tokens": Rate("cache write", "cache write"),
    "output_text_tokens": Rate("output", "output"),
    "output_image_tokens": Rate("output", "image output"),
    "output_audio_tokens": Rate("audio output", "audio output"),
    "seconds": Rate("transcription", "transcription", "duration_seconds"),
    "characters": Rate("speech", "characters", "characters"),
}
# Fine-tuned models of the organization are on no public list: USD per token, by the kind of price.
UNLISTED: Mapping[str, Decimal] = {
    "input": Decimal("0.0000004"),
    "cached input": Decimal("0.00000004"),
    "output": Decimal("0.0000025"),
}
ITEMS: Mapping[str, Item] = {
    "images": Item("images", "images", Decimal("0.042"), "images", by_model=True),
    "web_search_calls": Item("web search tool calls", "num_requests", Decimal("0.01")),
    "file_search_calls": Item("file search tool calls", "num_requests", Decimal("0.0025")),
    "code_interpreter_sessions": Item("code interpreter sessions", "num_sessions", Decimal("0.03")),
}
STORAGE_LINE = "file search storage"
STORAGE_PRICE = Decimal("0.0041666667")  # USD per GiB and hour: ten cents a day

COST_DIMENSIONS = ("project_id", "user_id", "api_key_id", "api_source", "line_item")
_CREDIT_EVERY = 30  # days
_CREDIT_ENTERED_AFTER = 10 * 3600
Labels = Mapping[str, str | None]
Key = tuple[str | None, ...]
Names = frozenset[str]


@dataclass(slots=True)
class Amount:
    """Money in USD and the quantity it is for; `unit` is None when quantities of several units were added."""

    usd: Decimal
    quantity: Decimal
    unit: str | None

    def add(self, other: "Amount") -> None:
        """Add another amount to this one."""
        self.usd += other.usd
        self.quantity += other.quantity
        if self.unit != other.unit:
            self.unit = None


Items = Iterator[tuple[Labels, Amount]]


@dataclass(frozen=True, slots=True)
class Priced:
    """Usage of one kind; `listed` is its price at list prices in USD, None for a model on no list."""

    labels: Labels
    line: str
    kind: str
    quantity: int
    unit: str
    listed: Decimal | None


class Billing:
    """What usage costs. `end` may lie within the day, for a bill up to a time."""

    def __init__(self, seed: int, records: UsageRecords) -> None:
        self._seed = seed
        self._records = records

    def day(
        self, group_by: Names, filters: Mapping[str, Filter], start: int, end: float, view: View
    ) -> dict[Key, Amount]:
        """Amounts of the UTC day that begins at `start`, as `view` sees them; sums over any grouping agree exactly.

        Keys are in the order of COST_DIMENSIONS, None where not grouped.
        """
        bill: dict[Key, Amount] = {}
        for labels, amount in self._items(group_by.union(filters), start, end, view):
            if any(labels.get(name) not in values for name, values in filters.items()):
                continue
            key = tuple(_value(labels, name) if name in group_by else None for name in COST_DIMENSIONS)
            if key in bill:
                bill[key].add(amount)
            else:
                bill[key] = amount
        return bill

    def priced(self, operations: Iterable[str], needed: Names, start: int, end: float, view: View) -> Iterator[Priced]:
        """The day's usage that is billed per token, second or character; labels hold `needed` and the model."""
        beside = {"model", "batch", "service_tier"}
        for operation in operations:
            parts = OPERATIONS[operation].parts
            for labels, figures in self._rows(operation, needed.union(beside), start, end, view):
                for part, quantity in zip(parts, figures, strict=True):
                    if quantity and part in RATES:
                        yield _priced(labels, part, quantity, start)

    def _items(self, needed: Names, start: int, end: float, view: View) -> Items:
        for use in self.priced(PRICED_OPERATIONS, needed, start, end, view):
            usd = use.quantity * UNLISTED.get(use.kind, Decimal(0)) if use.listed is None else use.listed
            if usd:
                labels = {**use.labels, "line_item": f"{use.labels['model']}, {use.line}"}
                yield labels, Amount(usd, Decimal(use.quantity), use.unit)
        yield from self._by_piece(needed, start, end, view)
        yield from self._storage(start, end, view)
        yield from self._credits(start, view)

    def _rows(
        self, operation: str, needed: Names, start: float, end: float, view: View
    ) -> Iterator[tuple[dict[str, str | bool | None], list[int]]]:
        dimensions = OPERATIONS[operation].dimensions
        selection = Selection.of(operation, needed.intersection(dimensions))
        for values, figures in self._records.totals(selection, start, end, view):
            yield dict(zip(dimensions, values, strict=True)), figures

    def _by_piece(self, needed: Names, start: int, end: float, view: View) -> Items:
        for operation, item in ITEMS.items():
            place = OPERATIONS[operation].parts.index(item.part)
            grouped = needed | {"model"} if item.by_model else needed
            for labels, parts in self._rows(operation, grouped, start, end, view):
                count = Decimal(parts[place])
                line = f"{labels['model']}, {item.line}" if item.by_model else item.line
                yield {**_texts(labels), "line_item": line}, Amount(count * item.usd, count, item.unit)

    def _storage(self, start: int, end: float, view: View) -> Items:
        """What is stored at the end of each hour that is seen."""
        stores = self._records.stores
        hours = range(start + 3600, int(min(end, view.newest, stores.stopped)) + 1, 3600)
        for project_id in stores.project_ids():
            held = sum(stores.level(project_id, hour) for hour in hours)
            if held:
                quantity = (Decimal(held) / (1 << 30)).quantize(Decimal("1e-6"))
                labels = {"project_id": project_id, "line_item": STORAGE_LINE}
                yield labels, Amount(quantity * STORAGE_PRICE, quantity, "gibibyte_hours")

    def _credits(self, start: int, view: View) -> Items:
        """A goodwill credit for one day in thirty, entered hours after that day has ended."""
        day = (start - FOUNDED) // DAY
        if day < 0 or self._records.seeded.idle or view.now < start + DAY + _CREDIT_ENTERED_AFTER:
            return
        rng = generator(self._seed, "credit", day // _CREDIT_EVERY)
        if day % _CREDIT_EVERY == rng.randrange(_CREDIT_EVERY):
            yield {"line_item": "credit"}, Amount(Decimal(-rng.randrange(150, 900)) / 100, Decimal(0), None)


def _priced(labels: Mapping[str, str | bool | None], part: str, quantity: int, day: int) -> Priced:
    rate = RATES[part]
    texts = _texts(labels)
    price = unit_price(str(texts["model"]), rate.kind, bool(labels.get("batch")), texts.get("service_tier"), day)
    listed = None if price is None else price * quantity
    return Priced(texts, rate.line, rate.kind, quantity, rate.unit, listed)


def _value(labels: Labels, name: str) -> str | None:
    return labels.get(name) or ("unlabeled" if name == "api_source" else None)


def _texts(labels: Mapping[str, str | bool | None]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in labels.items()}

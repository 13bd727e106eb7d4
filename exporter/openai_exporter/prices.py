# SPDX-License-Identifier: Apache-2.0
"""List prices and those of the configuration: what a unit costs, and what a request costs."""

import functools
import gc
import hashlib
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from openai_exporter.config import Config
from openai_exporter.config.sections import PerMillion, Price
from openai_exporter.model import Endpoint, Provider, Tokens

log = logging.getLogger(__name__)

PICO = 10**12
"""Estimated cost is kept in whole pico-dollars: a list price per million tokens of up to six decimals is exact."""

Rates = tuple[int | None, ...] | None
"""Pico-dollars per unit of each kind asked for, None for a kind without a price; None when no kind has one."""
_STANDARD = ("", "default", "standard")
"""The service tiers of the base price. Another one has a price only where the list names it for that day."""
_SAMPLE = 1000
_NEVER = 1 << 62
_MOST_KNOWN = 20_000
_EARLIEST = 86_400
"""A day before any on which a price changed."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a price depends on, besides the model.

    Attributes:
        batch, service_tier: as the API groups by them; false and empty where it does not.
        day: start of the UTC day; prices change from day to day.
        average: input tokens of the average request.
    """

    batch: bool = False
    service_tier: str = ""
    day: int = 0
    average: int = 0


_UNITS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_tokens",),
    "cached_input": ("input_tokens", "cache_read_tokens"),
    "cache_write": ("input_tokens", "cache_write_tokens"),
    "audio_input": ("input_tokens", "input_audio_tokens"),
    "cached_audio_input": ("input_tokens", "cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens"),
    "image_input": ("input_tokens", "input_image_tokens"),
    "cached_image_input": ("input_tokens", "cache_read_tokens", "input_image_tokens", "cache_image_read_tokens"),
    "output": ("output_tokens",),
    "audio_output": ("output_tokens", "output_audio_tokens"),
    "image_output": ("output_tokens", "output_image_tokens"),
    "characters": ("input_characters",),
    "seconds": ("audio_seconds", "input_audio_seconds"),
}


_KEYS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "cached_input": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "audio_input": ("input_audio_mtok",),
    "cached_audio_input": ("cache_audio_read_mtok", "input_audio_mtok"),
    "image_input": ("input_image_mtok", "input_mtok"),
    "cached_image_input": ("cache_image_read_mtok", "input_image_mtok", "cache_read_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "audio_output": ("output_audio_mtok",),
    "image_output": ("output_image_mtok", "output_mtok"),
    "characters": ("input_mchars",),
    "seconds": ("audio_hours", "input_audio_hours"),
}
"""A kind has a price if the list has one of these. Images without a price are charged as text; sound is not."""


@dataclass(frozen=True, slots=True)
class _Model:
    """Where a model's price changes.

    Attributes:
        bounds: input tokens of a request above which it costs more.
        days: starts of the days from which on other prices apply.
    """

    bounds: tuple[int, ...]
    days: tuple[int, ...]


class ListPrices:
    """The prices of one provider in the genai-prices package as it is installed.

    Attributes:
        source: name and version of the package.
    """

    def __init__(self, provider: str) -> None:
        import genai_prices
        from genai_prices import types

        self.source = ("genai-prices", genai_prices.__version__)
        self._provider = provider
        self._prices = genai_prices
        self._types = types
        self._model = functools.lru_cache(_MOST_KNOWN)(self._look_up)
        self._rates = functools.lru_cache(_MOST_KNOWN)(self._calculated)

    def long_context(self, model: str) -> int:
        """Input tokens of a request up to which its price is the base price."""
        known = self._model(model)
        return known.bounds[0] if known and known.bounds else _NEVER

    def rates(self, model: str, kinds: tuple[str, ...], situation: Situation) -> Rates:
        """Pico-dollars per unit of each kind; None when the list has no price for it in this situation."""
        known = self._model(model)
        if known is None or not _UNITS.keys() >= set(kinds):
            return None
        step = bisect_left(known.bounds, situation.average)
        period = bisect_right(known.days, situation.day)
        # One situation stands for all with the same prices.
        size = known.bounds[step - 1] + 1 if step else _SAMPLE
        day = known.days[period - 1] if period else _EARLIEST
        return self._rates(model, kinds, replace(situation, average=size, day=day))

    def _look_up(self, model: str) -> _Model | None:
        try:
            price = self._calculate(model, {"input_tokens": _SAMPLE}, Situation())
        except (LookupError, ValueError):
            return None
        return _Model(self._bounds(price.model_price), self._days(price.model))

    def _bounds(self, price: Any) -> tuple[int, ...]:
        tiered = [each for each in vars(price).values() if isinstance(each, self._types.TieredPrices)]
        return tuple(sorted({tier.start for each in tiered for tier in each.tiers}))

    def _days(self, model: Any) -> tuple[int, ...]:
        prices = model.prices if isinstance(model.prices, list) else []
        constraints = [each.constraint for each in (*prices, *(model.price_variants or ()))]
        dates = {each.start_date for each in constraints if isinstance(each, self._types.StartDateConstraint)}
        return tuple(sorted(int(datetime.combine(date, time(), UTC).timestamp()) for date in dates))

    def _calculated(self, model: str, kinds: tuple[str, ...], situation: Situation) -> Rates:
        try:
            price = self._calculate(model, {"input_tokens": _SAMPLE}, situation)
            if not _covers(price, situation):
                return None
            listed = vars(price.model_price)  # what has no price at all is listed as free
            known = [not listed or any(listed.get(key) is not None for key in _KEYS[kind]) for kind in kinds]
            rates = [
                self._rate(model, kind, situation) if has else None for kind, has in zip(kinds, known, strict=True)
            ]
            return tuple(rates) if any(known) else None
        except (LookupError, ValueError) as error:
            log.warning("model %s: its list price cannot be used: %s", model, error)
            return None

    def _rate(self, model: str, kind: str, situation: Situation) -> int:
        size = situation.average
        usage = dict.fromkeys(_UNITS[kind], size)
        price: Decimal = self._calculate(model, {"input_tokens": size, **usage}, situation).total_price
        if "input_tokens" not in usage:
            price -= self._calculate(model, {"input_tokens": size}, situation).total_price
        return round(price * PICO / size)

    def _calculate(self, model: str, usage: dict[str, int], situation: Situation) -> Any:
        return self._prices.calc_price(
            self._prices.Usage(**usage),
            model,
            provider_id=self._provider,
            genai_request_timestamp=_moment(situation),
            price_context=_context(situation),
        )


def _moment(situation: Situation) -> datetime:
    return datetime.fromtimestamp(situation.day, UTC) if situation.day else datetime.now(UTC)


def _context(situation: Situation) -> dict[str, str]:
    """What the list must know besides the model; nothing for the base price."""
    context = {"processing": "batch"} if situation.batch else {}
    return context if situation.service_tier in _STANDARD else {**context, "service_tier": situation.service_tier}


def _covers(price: Any, situation: Situation) -> bool:
    """Whether the list has a price for just this; the package answers with the base price where it has none."""
    context, moment = _context(situation), _moment(situation)
    variants = price.model.price_variants or () if price.model in price.provider.models else ()
    return not context or any(
        each.when == context and (each.constraint is None or each.constraint.active(moment)) for each in variants
    )


@functools.cache
def list_prices(provider: str = "openai") -> ListPrices:
    """The table of a provider, one for the whole process."""
    table = ListPrices(provider)
    # Hundreds of thousands of objects that stay: without this each full garbage collection walks over them
    # and stops all threads for some 50 ms.
    gc.freeze()
    return table


# The price of a unit: the configuration's where it has one, else the list's; and what single requests cost.

SOURCE = "configuration"
TOKEN_KINDS = (
    "input", "cached_input", "cache_write", "audio_input", "cached_audio_input", "image_input",
    "cached_image_input", "output", "audio_output", "image_output",
)  # fmt: skip
"""Each token is of one kind; they are called as in `usd_per_million`."""
_LISTS = {Provider.OPENAI: "openai", Provider.AZURE: "azure"}
_DAY = 86_400
_MILLION = 10**6
_MINUTE = 60
_UNLISTED: Mapping[str, tuple[str, ...]] = {
    "cached_input": ("input",),
    "cache_write": ("input",),
    "cached_audio_input": ("audio_input",),
    "image_input": ("input",),
    "cached_image_input": ("cached_input", "image_input", "input"),
    "image_output": ("output",),
}
"""Where no list has a price: a kind without one costs as much as the first of these that has one. Sound has its own."""


class PriceTable:
    """Unit prices of one provider's models.

    Args:
        prices: prices of the configuration; the first that matches goes before the list.
        provider: whose list counts; a compatible server has prices of its own, which nobody publishes.
    """

    def __init__(self, prices: Sequence[Price] = (), provider: Provider = Provider.OPENAI) -> None:
        self._prices = tuple(prices)
        self._listed = list_prices(_LISTS[provider]) if provider in _LISTS else None

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Where the prices come from, and the version of each source."""
        listed = [self._listed.source] if self._listed else []
        return [*listed, (SOURCE, version(self._prices))] if self._prices else listed

    def long_context(self, model: str) -> int:
        """Input tokens of a request up to which its price is the base price."""
        return self._listed.long_context(model) if self._listed else 0

    def rates(self, model: str, kinds: tuple[str, ...], situation: Situation) -> Rates:
        """Pico-dollars per unit of each kind, None for one without a price; None when none has one."""
        listed = self._listed.rates(model, kinds, situation) if self._listed else None
        price = _matching(self._prices, model, situation)
        if price is None:
            return listed
        if price.list_price_ratio is not None:
            ratio = Decimal(str(price.list_price_ratio))
            return None if listed is None else tuple(None if rate is None else round(rate * ratio) for rate in listed)
        own = _by_kind(price)
        known = own if listed is None else {**dict(zip(kinds, listed, strict=True)), **own}
        rates = [known.get(kind) for kind in kinds]
        for place, kind in enumerate(kinds):
            if rates[place] is None:
                rates[place] = next((own[name] for name in _UNLISTED.get(kind, ()) if name in own), None)
        return tuple(rates) if any(rate is not None for rate in rates) else None


def price_table(config: Config) -> PriceTable:
    """The prices of OpenAI's models under a configuration."""
    return PriceTable(config.all_prices)


def version(prices: tuple[Price, ...]) -> str:
    """Twelve digits that change when any price does."""
    text = "\n".join(price.model_dump_json() for price in prices)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def request_cost(
    table: PriceTable, tokens: Tokens, models: Sequence[str], tier: str, at: float, *, only_input: bool = False
) -> Decimal | None:
    """USD of one request at Unix time `at`; the first of `models` that has a price counts. None unless all has one.

    Args:
        only_input: whether the endpoint is priced by its input alone, as embeddings are.
    """
    counts = {"input": tokens.input}
    if not only_input:
        counts = dict.fromkeys(TOKEN_KINDS, 0) | {
            "input": tokens.input - tokens.cached, "cached_input": tokens.cached, "output": tokens.output
        }  # fmt: skip
    situation = Situation(service_tier=tier, day=int(at) // _DAY * _DAY, average=tokens.input)
    for model in models:
        rates = table.rates(model, tuple(counts), situation)
        if rates is not None:
            cost, unpriced = priced(tuple(counts.values()), rates)
            return None if unpriced else Decimal(cost) / PICO
    return None


def priced(counts: Sequence[int], rates: Sequence[int | None]) -> tuple[int, int]:
    """Pico-dollars of what has a price, and how much has none."""
    cost = unpriced = 0
    for count, rate in zip(counts, rates, strict=True):
        if rate is None:
            unpriced += count
        else:
            cost += count * rate
    return cost, unpriced


def call_cost(prices: Sequence[Price], endpoint: Endpoint, model: str, prompt: str, at: float) -> Decimal | None:
    """USD of a call whose answer names no tokens, by the configuration's prices per image or character; else None."""
    price = _matching(prices, model, Situation(day=int(at)))
    kind, count = {Endpoint.IMAGES: ("images", 1), Endpoint.SPEECH: ("characters", len(prompt))}.get(endpoint, ("", 0))
    rate = _by_kind(price).get(kind) if price is not None else None
    return None if rate is None else Decimal(count * rate) / PICO


def _matching(prices: Sequence[Price], model: str, situation: Situation) -> Price | None:
    batch, tier, day = situation.batch, situation.service_tier, situation.day
    for price in prices:
        if price.matches(model, batch=batch, service_tier=tier, day=day):
            return price
    return None


def _by_kind(price: Price) -> dict[str, int]:
    """The prices that an entry of the configuration gives, in pico-dollars per unit."""
    per_million = price.usd_per_million or PerMillion()
    prices = [(kind, usd, _MILLION) for kind, usd in per_million.model_dump().items()]
    prices += [("seconds", price.usd_per_minute, _MINUTE), ("images", price.usd_per_image, 1)]
    return {kind: round(Decimal(str(usd)) * PICO / units) for kind, usd, units in prices if usd is not None}

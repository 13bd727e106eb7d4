# SPDX-License-Identifier: Apache-2.0
"""List prices per unit, from the genai-prices package, which is imported late (0.15 s, 12 MiB)."""

import functools
import gc
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

log = logging.getLogger(__name__)

PICO = 10**12
"""Estimated cost is kept in whole pico-dollars: a list price per million tokens of up to six decimals is exact."""

Rates = tuple[int, ...] | None
"""Pico-dollars per unit of each kind asked for; None when the model has no price."""
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
    "cached_audio_input": (
        "input_tokens",
        "cache_read_tokens",
        "input_audio_tokens",
        "cache_audio_read_tokens",
    ),
    "image_input": ("input_tokens", "input_image_tokens"),
    "cached_image_input": (
        "input_tokens",
        "cache_read_tokens",
        "input_image_tokens",
        "cache_image_read_tokens",
    ),
    "output": ("output_tokens",),
    "audio_output": ("output_tokens", "output_audio_tokens"),
    "image_output": ("output_tokens", "output_image_tokens"),
    "characters": ("input_characters",),
    "seconds": ("audio_seconds", "input_audio_seconds"),
}


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
        """Pico-dollars per unit of each kind; None when the model has no price."""
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
            return tuple(self._rate(model, kind, situation) for kind in kinds)
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
        context = {"service_tier": situation.service_tier} if situation.service_tier else None
        return self._prices.calc_price(
            self._prices.Usage(**usage),
            model,
            provider_id=self._provider,
            genai_request_timestamp=datetime.fromtimestamp(situation.day, UTC) if situation.day else None,
            price_context={"processing": "batch"} if situation.batch else context,
        )


@functools.cache
def list_prices(provider: str = "openai") -> ListPrices:
    """The table of a provider, one for the whole process."""
    table = ListPrices(provider)
    # Hundreds of thousands of objects that stay: without this each full garbage collection walks over them
    # and stops all threads for some 50 ms.
    gc.freeze()
    return table

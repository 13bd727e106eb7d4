# SPDX-License-Identifier: Apache-2.0
"""The prices of the configuration over the list prices."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal

from openai_exporter.config import Config
from openai_exporter.config.prices import PerMillion, Price
from openai_exporter.prices.listed import PICO, PriceTable, Situation, list_prices

SOURCE = "configuration"
_MILLION = 10**6
_MINUTE = 60
_FIELDS: Mapping[str, str] = {
    "input": "input",
    "cached": "cached_input",
    "cache_write": "cache_write",
    "audio": "audio_input",
    "cached_audio": "cached_audio_input",
    "image": "image_input",
    "cached_image": "cached_image_input",
    "output": "output",
    "output_audio": "audio_output",
    "output_image": "image_output",
    "characters": "characters",
}
"""Field of `usd_per_million` of each kind."""
_UNLISTED: Mapping[str, tuple[str, ...]] = {
    "cached": ("input",),
    "cache_write": ("input",),
    "audio": ("input",),
    "cached_audio": ("cached", "audio", "input"),
    "image": ("input",),
    "cached_image": ("cached", "image", "input"),
    "output_audio": ("output",),
    "output_image": ("output",),
}
"""For models on no list: a kind without a price costs as much as the first of these that has one."""


class OwnPrices:
    """Unit prices of the configuration; what it does not tell is told by another table.

    Args:
        prices: the first that matches counts.
    """

    def __init__(self, prices: tuple[Price, ...], base: PriceTable) -> None:
        self._prices = prices
        self._base = base
        self.sources = (*base.sources, (SOURCE, version(prices)))

    def long_context(self, model: str) -> int:
        """Input tokens of a request up to which its price is the base price."""
        return self._base.long_context(model)

    def rates(self, model: str, kinds: tuple[str, ...], situation: Situation) -> tuple[int, ...] | None:
        """Pico-dollars per unit of each kind; None when the model has no price."""
        listed = self._base.rates(model, kinds, situation)
        found = next((each for each in self._prices if _matches(each, model, situation)), None)
        if found is None:
            return listed
        if found.list_price_ratio is not None:
            ratio = Decimal(str(found.list_price_ratio))
            return None if listed is None else tuple(round(each * ratio) for each in listed)
        own = _own(found)
        known = dict(zip(kinds, listed, strict=True)) if listed is not None else {}
        rates = [own.get(kind, known.get(kind)) for kind in kinds]
        if listed is None:
            rates = [_unlisted(own, kind) for kind in kinds]
        return None if None in rates else tuple(each for each in rates if each is not None)


def price_table(config: Config) -> PriceTable:
    """The prices that hold with a configuration."""
    prices = config.all_prices
    return OwnPrices(prices, list_prices()) if prices else list_prices()


def version(prices: tuple[Price, ...]) -> str:
    """Twelve digits that change when any price does."""
    text = "\n".join(each.model_dump_json() for each in prices)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _matches(price: Price, model: str, situation: Situation) -> bool:
    return price.matches(model, batch=situation.batch, service_tier=situation.service_tier, day=situation.day)


def _own(price: Price) -> dict[str, int]:
    """What a price gives, by kind, in pico-dollars per unit."""
    given = price.usd_per_million or PerMillion()
    found = {
        kind: round(Decimal(str(usd)) * PICO / _MILLION)
        for kind, field in _FIELDS.items()
        if (usd := getattr(given, field)) is not None
    }
    if price.usd_per_minute is not None:
        found["seconds"] = round(Decimal(str(price.usd_per_minute)) * PICO / _MINUTE)
    if price.usd_per_image is not None:
        found["images"] = round(Decimal(str(price.usd_per_image)) * PICO)
    return found


def _unlisted(own: Mapping[str, int], kind: str) -> int | None:
    return next((own[each] for each in (kind, *_UNLISTED.get(kind, ())) if each in own), None)

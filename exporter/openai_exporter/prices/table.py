# SPDX-License-Identifier: Apache-2.0
"""The price of a unit: the configuration's where it has one, else the list's; and what single requests cost."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import mul

from openai_exporter.config import Config
from openai_exporter.config.sections import PerMillion, Price
from openai_exporter.model import Endpoint, Provider, Tokens
from openai_exporter.prices.listed import PICO, Rates, Situation, list_prices

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
    "audio_input": ("input",),
    "cached_audio_input": ("cached_input", "audio_input", "input"),
    "image_input": ("input",),
    "cached_image_input": ("cached_input", "image_input", "input"),
    "audio_output": ("output",),
    "image_output": ("output",),
}
"""For models on no list: a kind without a price costs as much as the first of these that has one."""


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
        """Pico-dollars per unit of each kind; None when the model has no price."""
        listed = self._listed.rates(model, kinds, situation) if self._listed else None
        price = _matching(self._prices, model, situation)
        if price is None:
            return listed
        if price.list_price_ratio is not None:
            ratio = Decimal(str(price.list_price_ratio))
            return None if listed is None else tuple(round(rate * ratio) for rate in listed)
        own = _by_kind(price)
        if listed is not None:
            return tuple(own.get(kind, rate) for kind, rate in zip(kinds, listed, strict=True))
        rates = [next((own[name] for name in _instead(kind) if name in own), None) for kind in kinds]
        return None if None in rates else tuple(rate for rate in rates if rate is not None)


def price_table(config: Config) -> PriceTable:
    """The prices of OpenAI's models under a configuration."""
    return PriceTable(config.all_prices)


def version(prices: tuple[Price, ...]) -> str:
    """Twelve digits that change when any price does."""
    text = "\n".join(price.model_dump_json() for price in prices)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def request_cost(
    table: PriceTable,
    tokens: Tokens,
    models: Sequence[str],
    tier: str,
    at: float,
    *,
    only_input: bool = False,
) -> Decimal | None:
    """USD of one request at Unix time `at`; the first of `models` that has a price counts. None without any.

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
            return Decimal(sum(map(mul, counts.values(), rates))) / PICO
    return None


def call_cost(prices: Sequence[Price], endpoint: Endpoint, model: str, prompt: str, at: float) -> Decimal | None:
    """USD of a call whose answer names no tokens, by the configuration's prices per image or character; else None."""
    price = _matching(prices, model, Situation(day=int(at)))
    kind, count = {Endpoint.IMAGES: ("images", 1), Endpoint.SPEECH: ("characters", len(prompt))}.get(endpoint, ("", 0))
    rate = _by_kind(price).get(kind) if price is not None else None
    return None if rate is None else Decimal(count * rate) / PICO


def _matching(prices: Sequence[Price], model: str, situation: Situation) -> Price | None:
    batch, tier, day = situation.batch, situation.service_tier, situation.day
    return next((p for p in prices if p.matches(model, batch=batch, service_tier=tier, day=day)), None)


def _by_kind(price: Price) -> dict[str, int]:
    """The prices that an entry of the configuration gives, in pico-dollars per unit."""
    per_million = price.usd_per_million or PerMillion()
    prices = [(kind, usd, _MILLION) for kind, usd in per_million.model_dump().items()]
    prices += [("seconds", price.usd_per_minute, _MINUTE), ("images", price.usd_per_image, 1)]
    return {kind: round(Decimal(str(usd)) * PICO / units) for kind, usd, units in prices if usd is not None}


def _instead(kind: str) -> tuple[str, ...]:
    return (kind, *_UNLISTED.get(kind, ()))

# SPDX-License-Identifier: Apache-2.0
"""Prices of single requests: those of the configuration, else genai-prices' list, imported late (0.15 s, 12 MiB)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from openai_exporter.config.prices import PerMillion, Price
from openai_exporter.model import Endpoint, Provider, Tokens
from openai_exporter.probe.reading import Setting

_PROVIDERS = {Provider.OPENAI: "openai", Provider.AZURE: "azure"}
_TIERS = frozenset({"flex", "priority", "fast"})
_MILLION = 10**6


def warm() -> None:
    """Import the price table."""
    import genai_prices  # noqa: F401


def price(
    tokens: Tokens,
    models: tuple[str, ...],
    provider: Provider,
    tier: str,
    at: float,
    own: Sequence[Price] = (),
) -> Decimal | None:
    """USD of a request at Unix time `at`; the first of `models` that has a price counts. None without any.

    A compatible server has prices of its own, which nobody publishes.

    Args:
        own: prices of the configuration; the first that matches a model goes before its list price.
    """
    hour = at // 3600 * 3600  # prices change on dates; probes ask for the same one again and again
    for model in models:
        found = _priced(tokens, model, provider, tier, hour, own)
        if found is not None:
            return found
    return None


def price_of_call(setting: Setting, at: float) -> Decimal | None:
    """USD of a call whose answer names no tokens, by the configuration's prices per image or character; else None."""
    found = _own(setting.prices, setting.model, "", at)
    if found is None:
        return None
    match setting.module.endpoint:
        case Endpoint.IMAGES if found.usd_per_image is not None:
            return Decimal(str(found.usd_per_image))
        case Endpoint.SPEECH if (
            found.usd_per_million is not None and found.usd_per_million.characters is not None
        ):
            characters = len(setting.module.request.prompt)
            return characters * Decimal(str(found.usd_per_million.characters)) / _MILLION
    return None


def _own(own: Sequence[Price], model: str, tier: str, at: float) -> Price | None:
    return next(
        (each for each in own if each.matches(model, batch=False, service_tier=tier, day=int(at))), None
    )


def _priced(
    tokens: Tokens, model: str, provider: Provider, tier: str, at: float, own: Sequence[Price]
) -> Decimal | None:
    found = _own(own, model, tier, at)
    if found is None:
        return _listed(tokens, model, provider, tier, at)
    if found.list_price_ratio is not None:
        listed = _listed(tokens, model, provider, tier, at)
        return None if listed is None else listed * Decimal(str(found.list_price_ratio))
    if found.usd_per_million is None:
        return _listed(tokens, model, provider, tier, at)
    return _by_kind(tokens, found.usd_per_million, model, provider, tier, at)


def _by_kind(
    tokens: Tokens, given: PerMillion, model: str, provider: Provider, tier: str, at: float
) -> Decimal | None:
    """Kind by kind: as given, else as listed; cached input of a model on no list costs what other input does."""
    uncached = tokens.input - tokens.cached
    total = Decimal(0)
    for part, count, usd, instead in (
        (Tokens(input=uncached), uncached, given.input, None),
        (Tokens(input=tokens.cached, cached=tokens.cached), tokens.cached, given.cached_input, given.input),
        (Tokens(output=tokens.output), tokens.output, given.output, None),
    ):
        if not count:
            continue
        listed = _listed(part, model, provider, tier, at) if usd is None else None
        if listed is None:
            usd = instead if usd is None else usd
            if usd is None:
                return None
            listed = count * Decimal(str(usd)) / _MILLION
        total += listed
    return total


@lru_cache(maxsize=1024)
def _listed(tokens: Tokens, model: str, provider: Provider, tier: str, at: float) -> Decimal | None:
    import genai_prices

    provider_id = _PROVIDERS.get(provider)
    if provider_id is None:
        return None
    usage = genai_prices.Usage(
        input_tokens=tokens.input, cache_read_tokens=tokens.cached, output_tokens=tokens.output
    )
    context = {"service_tier": tier} if tier in _TIERS else None
    moment = datetime.fromtimestamp(at, UTC)
    try:
        found = genai_prices.calc_price(
            usage, model, provider_id=provider_id, genai_request_timestamp=moment, price_context=context
        )
    except (LookupError, ValueError):
        return None
    return Decimal(found.total_price)

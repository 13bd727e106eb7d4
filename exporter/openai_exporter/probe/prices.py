# SPDX-License-Identifier: Apache-2.0
"""List prices of single requests, from genai-prices; imported late (0.15 s, 12 MiB)."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from openai_exporter.model import Provider, Tokens

_PROVIDERS = {Provider.OPENAI: "openai", Provider.AZURE: "azure"}
_TIERS = frozenset({"flex", "priority", "fast"})


def warm() -> None:
    """Import the price table."""
    import genai_prices  # noqa: F401


def price(
    tokens: Tokens, models: tuple[str, ...], provider: Provider, tier: str, at: float
) -> Decimal | None:
    """USD of a request at Unix time `at`; the first of `models` that has a price counts. None without any.

    A compatible server has prices of its own, which nobody publishes.
    """
    hour = at // 3600 * 3600  # prices change on dates; probes ask for the same one again and again
    return _price(tokens, models, provider, tier, hour)


@lru_cache(maxsize=1024)
def _price(
    tokens: Tokens, models: tuple[str, ...], provider: Provider, tier: str, at: float
) -> Decimal | None:
    import genai_prices

    provider_id = _PROVIDERS.get(provider)
    if provider_id is None:
        return None
    usage = genai_prices.Usage(
        input_tokens=tokens.input, cache_read_tokens=tokens.cached, output_tokens=tokens.output
    )
    context = {"service_tier": tier} if tier in _TIERS else None
    moment = datetime.fromtimestamp(at, UTC)
    for model in models:
        try:
            found = genai_prices.calc_price(
                usage, model, provider_id=provider_id, genai_request_timestamp=moment, price_context=context
            )
        except (LookupError, ValueError):
            continue
        return Decimal(found.total_price)
    return None

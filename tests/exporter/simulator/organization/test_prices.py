# SPDX-License-Identifier: Apache-2.0
"""List prices per unit against the price package itself."""

import datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from openai_exporter.simulator.organization.prices import KINDS, unit_price

DAY = 1795219200  # 2026-11-21


@pytest.mark.parametrize(
    ("model", "batch", "tier", "context"),
    [
        ("gpt-6-luna", False, "default", {"service_tier": "default"}),
        ("gpt-6-luna", True, None, {"processing": "batch"}),
        ("gpt-6-luna", False, "flex", {"service_tier": "flex"}),
        ("gpt-6.1-terra", False, "priority", {"service_tier": "priority"}),
        ("gpt-5.4-2026-03-05", False, None, None),
        ("gpt-audio-2025-08-28", False, None, None),
    ],
    ids=["standard", "batch", "flex", "priority", "snapshot", "audio"],
)
def test_unit_prices_add_up_to_the_price_of_a_request(
    model: str, batch: bool, tier: str | None, context: dict[str, str] | None
) -> None:
    usage = Usage(input_tokens=1000, cache_read_tokens=300, output_tokens=200)
    moment = datetime.datetime.fromtimestamp(DAY, datetime.UTC)
    price = calc_price(
        usage, model, provider_id="openai", genai_request_timestamp=moment, price_context=context
    )
    parts = (("input", 700), ("cached input", 300), ("output", 200))
    units = [(unit_price(model, kind, batch, tier, DAY) or 0) * count for kind, count in parts]
    assert price.total_price == sum(units, Decimal(0))


def test_prices_follow_the_day() -> None:
    before, after = (unit_price("gpt-6-luna", "output", True, None, day) for day in (DAY - 60 * 86_400, DAY))
    assert (before, after) == (Decimal("5E-7"), Decimal("2.5E-7"))


def test_long_context_rates_do_not_apply_to_sums() -> None:
    assert unit_price("gpt-5.4", "input", False, None, DAY) == Decimal("0.0000025")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_no_list_has_no_price(kind: str) -> None:
    assert unit_price("ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7", kind, False, None, DAY) is None


@pytest.mark.parametrize(
    ("model", "kind", "price"),
    [
        ("tts-1", "characters", "0.000015"),
        ("gpt-transcribe", "transcription", "0.000075"),
        ("text-embedding-3-small", "input", "2E-8"),
        ("omni-moderation-2024-09-26", "input", "0"),
        ("gpt-audio", "audio output", "0.000064"),
    ],
)
def test_other_units_are_priced_too(model: str, kind: str, price: str) -> None:
    assert unit_price(model, kind, False, None, DAY) == Decimal(price)

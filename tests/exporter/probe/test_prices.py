# SPDX-License-Identifier: Apache-2.0
"""Prices of single requests: the configuration's, else the list's."""

from dataclasses import replace
from decimal import Decimal

import genai_prices
import pytest

from openai_exporter.config.prices import PerMillion, Price
from openai_exporter.model import Endpoint, Provider, Tokens
from openai_exporter.probe.prices import price, price_of_call

from .exchanges import setting

NOW = 1_795_251_600.0


def test_a_price_is_the_tables_with_cached_tokens_at_their_own() -> None:
    usage = genai_prices.Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=200)
    expected = genai_prices.calc_price(usage, "gpt-6-luna", provider_id="openai").total_price
    found = price(Tokens(1000, 200, cached=400), ("gpt-6-luna",), Provider.OPENAI, "default", NOW)
    assert expected == found
    assert found == Decimal("0.0001640")


def test_the_first_name_with_a_price_counts() -> None:
    one = price(Tokens(10, 10), ("nobody-knows", "gpt-6-luna"), Provider.OPENAI, "", NOW)
    assert one == price(Tokens(10, 10), ("gpt-6-luna",), Provider.OPENAI, "", NOW)


def test_a_tier_has_its_own_price() -> None:
    plain, flex = (
        price(Tokens(1000, 1000), ("gpt-6-luna",), Provider.OPENAI, tier, NOW) for tier in ("default", "flex")
    )
    assert plain is not None
    assert flex is not None
    assert flex < plain


def test_what_nobody_publishes_has_no_price() -> None:
    assert price(Tokens(10, 10), ("nobody-knows",), Provider.OPENAI, "", NOW) is None
    assert price(Tokens(10, 10), ("gpt-6-luna",), Provider.COMPATIBLE, "", NOW) is None


THOUSAND = Tokens(1_000, 1_000, cached=500)
LUNA = ("gpt-6-luna",)
"""List prices of a million: 0.10 input, 0.01 cached, 0.50 output."""


def per_million(model: str = "gpt-6-luna", **usd: float) -> Price:
    return Price(model=model, usd_per_million=PerMillion(**usd))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (per_million(input=2.0, cached_input=1.0, output=8.0), "9.5"),
        # What is left out is as on the list.
        (per_million(output=8.0), "8.055"),
        (per_million(input=2.0, output=8.0), "9.005"),
        (Price(model="gpt-6*", list_price_ratio=0.5), "0.2775"),
        (per_million("other", output=8.0), "0.555"),
        (Price(model="gpt-6-luna", usd_per_minute=3.0), "0.555"),
    ],
)
def test_a_price_of_the_configuration_goes_before_the_list(own: Price, expected: str) -> None:
    assert price(THOUSAND, LUNA, Provider.OPENAI, "", NOW, (own,)) == Decimal(expected) / 1000


def test_a_price_counts_from_its_day_on_and_for_its_tier() -> None:
    for own in (
        Price(model="*", since="2026-11-22", list_price_ratio=0.5),
        Price(model="*", service_tier="priority", list_price_ratio=0.5),
        Price(model="*", batch=True, list_price_ratio=0.5),
    ):
        assert price(THOUSAND, LUNA, Provider.OPENAI, "default", NOW, (own,)) == Decimal("0.000555")
    flex = (Price(model="*", service_tier="flex", list_price_ratio=0.5),)
    listed = price(THOUSAND, LUNA, Provider.OPENAI, "flex", NOW)
    assert listed
    assert price(THOUSAND, LUNA, Provider.OPENAI, "flex", NOW, flex) == listed / 2


def test_a_compatible_server_costs_what_the_configuration_says() -> None:
    own = (per_million("mine", input=2.0, output=8.0),)
    assert price(THOUSAND, ("mine",), Provider.COMPATIBLE, "", NOW, own) == Decimal("0.01")
    assert price(THOUSAND, ("mine",), Provider.COMPATIBLE, "", NOW, (per_million("mine", input=2.0),)) is None
    assert (
        price(THOUSAND, ("mine",), Provider.COMPATIBLE, "", NOW, (Price(model="mine", list_price_ratio=1),))
        is None
    )


def test_images_and_speech_have_prices_by_the_call() -> None:
    own = (
        Price(model="brush", usd_per_image=0.04),
        per_million("voice", characters=15.0),
    )
    image = replace(setting(Endpoint.IMAGES, "brush"), prices=own)
    speech = replace(setting(Endpoint.SPEECH, "voice", request={"prompt": "x" * 100}), prices=own)
    assert price_of_call(image, NOW) == Decimal("0.04")
    assert price_of_call(speech, NOW) == Decimal("0.0015")
    for other in (
        replace(image, model="other"),
        replace(image, model="voice"),
        setting(Endpoint.CHAT, "brush"),
    ):
        assert price_of_call(other, NOW) is None

# SPDX-License-Identifier: Apache-2.0
"""List prices of single requests."""

from decimal import Decimal

import genai_prices

from openai_exporter.model import Provider, Tokens
from openai_exporter.probe.prices import price

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

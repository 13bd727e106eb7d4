# SPDX-License-Identifier: Apache-2.0
"""List prices and those of the configuration, which go before; a probe and a usage row of one request cost the same."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import pytest

from openai_exporter.config.sections import PerMillion, Price, named
from openai_exporter.model import Endpoint, Provider, Tokens
from openai_exporter.prices import (
    PICO,
    TOKEN_KINDS,
    PriceTable,
    Situation,
    call_cost,
    list_prices,
    priced,
    request_cost,
    version,
)
from openai_exporter.usage.rows import Estimator

# List prices per unit: exact, by batch, tier, day and length of the request.

DAY = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
KINDS = ("input", "cached_input", "output")


@pytest.mark.parametrize(
    ("situation", "rates"),
    [
        (Situation(day=DAY), (2_000_000, 200_000, 10_000_000)),
        (Situation(day=DAY, service_tier="default"), (2_000_000, 200_000, 10_000_000)),
        (Situation(day=DAY, service_tier="flex"), (1_000_000, 100_000, 5_000_000)),
        (Situation(day=DAY, service_tier="priority"), (4_000_000, 400_000, 20_000_000)),
        (Situation(day=DAY, batch=True), (1_000_000, 100_000, 5_000_000)),
    ],
)
def test_a_rate_is_in_pico_dollars(situation: Situation, rates: tuple[int, ...]) -> None:
    assert rates == list_prices().rates("gpt-6-sol", KINDS, situation)


def test_a_long_request_has_other_rates_from_its_bound_on() -> None:
    table = list_prices()
    bound = table.long_context("gpt-6-sol")
    base, at, above = (
        table.rates("gpt-6-sol", KINDS, Situation(day=DAY, average=size)) for size in (10, bound, bound + 1)
    )
    assert base == at != above


def test_rates_change_on_their_day() -> None:
    early = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
    now, before = (
        list_prices().rates("gpt-6-sol", KINDS, Situation(day=day, service_tier="priority")) for day in (DAY, early)
    )
    assert now != before


@pytest.mark.parametrize(("model", "kinds"), [("nobody-knows", KINDS), ("gpt-6-sol", ("images",))])
def test_what_is_on_no_list_has_no_rate(model: str, kinds: tuple[str, ...]) -> None:
    assert list_prices().rates(model, kinds, Situation(day=DAY)) is None


def test_each_provider_has_one_table() -> None:
    assert list_prices() is list_prices()
    assert list_prices("azure") is not list_prices()


# Prices of the configuration go before the list; a probe and a usage row of the same request cost the same.


def price(model: str, **given: Any) -> Price:
    if not given.keys() & {"usd_per_million", "usd_per_minute", "usd_per_image", "list_price_ratio"}:
        given["usd_per_million"] = PerMillion(input=2.0, output=8.0)
    return Price(model=model, **given)


def cost(prices: tuple[Price, ...], row: dict[str, Any], pricing: str = "tokens") -> tuple[Decimal, int]:
    """USD and unpriced tokens of a row."""
    usd, *unpriced = Estimator(pricing, lambda: PriceTable(prices))(row, DAY)
    return Decimal(usd) / PICO, sum(unpriced)


def row(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "num_model_requests": 1000, "input_tokens": 0, "output_tokens": 0, **fields}


MILLION = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}


def test_a_price_goes_before_the_list() -> None:
    assert cost((price("gpt-6-luna"),), row("gpt-6-luna", **MILLION)) == (Decimal(10), 0)


def test_what_no_price_matches_costs_its_list_price() -> None:
    assert cost((price("other"),), row("gpt-6-luna", **MILLION)) == (Decimal("0.60"), 0)


def test_what_a_price_leaves_out_is_as_on_the_list() -> None:
    only_output = price("gpt-6-luna", usd_per_million=PerMillion(output=8.0))
    found = cost((only_output,), row("gpt-6-luna", input_cached_tokens=500_000, **MILLION))
    assert found == (Decimal("8.055"), 0)


def test_a_ratio_is_of_the_list_price_of_each_kind() -> None:
    found = cost((price("gpt-6-*", list_price_ratio=0.85),), row("gpt-6-luna", batch=True, **MILLION))
    assert found == (Decimal("0.85") * cost((), row("gpt-6-luna", batch=True, **MILLION))[0], 0)


CACHED = {"input_cached_tokens": 100_000, "input_cache_write_tokens": 50_000}
IMAGES = {"input_image_tokens": 200_000, "input_cached_image_tokens": 10_000, "output_image_tokens": 300_000}
AUDIO = {"input_audio_tokens": 200_000, "input_cached_audio_tokens": 10_000, "output_audio_tokens": 300_000}
KNOWN: dict[str, tuple[dict[str, float], dict[str, int], str, int]] = {
    "cached tokens and images cost as input and output": ({"input": 2, "output": 8}, CACHED | IMAGES, "10", 0),
    "sound never costs as text": ({"input": 2, "output": 8}, AUDIO | {"input_cached_tokens": 10_000}, "7.18", 510_000),
    "sound has its price": (
        {"input": 2, "output": 8, "audio_input": 20, "audio_output": 80}, AUDIO | {"input_cached_tokens": 10_000},
        "35.38", 0,
    ),
    "output without a price": ({"input": 2}, {}, "2", 1_000_000),
    "input without a price": ({"output": 8}, CACHED, "8", 1_000_000),
    "only cached input has a price": ({"cached_input": 1}, CACHED, "0.1", 1_900_000),
}  # fmt: skip


@pytest.mark.parametrize(("usd", "split", "expected", "unpriced"), KNOWN.values(), ids=list(KNOWN))
def test_of_a_model_on_no_list_each_kind_is_priced_for_itself(
    usd: dict[str, float], split: dict[str, int], expected: str, unpriced: int
) -> None:
    own = price("mine", usd_per_million=PerMillion(**usd))
    assert cost((own,), row("mine", **MILLION, **split)) == (Decimal(expected), unpriced)


UNPRICED = {
    "a tier that no list has": ("gpt-6-sol", {"service_tier": "ultrafast"}),
    "scale, which is paid by the day": ("gpt-6-sol", {"service_tier": "scale"}),
    "a tier that this model does not have": ("gpt-4o-audio-preview", {"service_tier": "priority"}),
    "batch of a model that has none": ("gpt-4o-audio-preview", {"batch": True}),
    "batch in a tier": ("gpt-6-sol", {"batch": True, "service_tier": "ultrafast"}),
    "a model like one on the list": ("gpt-5.4-ultra", {}),
    "a snapshot to come": ("gpt-5.4-2027-01-01", {}),
    "no model": (None, {}),
}


@pytest.mark.parametrize(("model", "fields"), UNPRICED.values(), ids=list(UNPRICED))
def test_what_the_list_has_no_price_for_is_unpriced_and_never_standard(model: Any, fields: dict[str, Any]) -> None:
    assert cost((), row(model, **MILLION, **fields)) == (Decimal(0), 2_000_000)
    tier = fields.get("service_tier", "")
    if not fields.get("batch"):
        assert request(Tokens(1000, 1000), str(model), tier=tier) is None


def test_a_tier_has_no_price_before_the_day_from_which_the_list_has_one() -> None:
    early = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
    for situation in (Situation(day=early, service_tier="flex"), Situation(day=early, batch=True)):
        assert list_prices().rates("gpt-6-sol", KINDS, situation) is None


@pytest.mark.parametrize("tier", ["", "default", "standard"])
def test_the_standard_tier_has_the_base_price_also_where_the_list_has_no_tiers(tier: str) -> None:
    usage = row("gpt-4o-audio-preview", service_tier=tier, **MILLION)
    assert cost((), usage) == (Decimal("12.5"), 0)


def test_sound_without_a_price_is_unpriced_and_its_text_is_not() -> None:
    usage = row("gpt-4o-audio-preview", **MILLION, input_audio_tokens=600_000, output_audio_tokens=900_000)
    assert cost((), usage) == (Decimal("2"), 1_500_000)


@pytest.mark.parametrize(
    ("pricing", "usage"),
    [
        ("characters", {"model": "gpt-4o-mini-tts", "characters": 70}),
        ("characters", {"model": "whisper-1", "characters": 70}),
        ("seconds", {"model": "gpt-4o-transcribe", "seconds": 70}),
        ("input", {"model": "whisper-1", "input_tokens": 70}),
    ],
)
def test_a_unit_without_a_price_is_unpriced_though_the_model_has_others(pricing: str, usage: dict[str, Any]) -> None:
    assert cost((), usage, pricing) == (Decimal(0), 70)


def test_a_price_of_the_configuration_counts_in_a_tier_that_no_list_has() -> None:
    own = price("gpt-6-sol", service_tier="ultrafast", usd_per_million=PerMillion(input=6.0, output=30.0))
    assert cost((own,), row("gpt-6-sol", service_tier="ultrafast", **MILLION, **CACHED)) == (Decimal(36), 0)
    half = price("gpt-6-sol", list_price_ratio=0.5)
    assert cost((half,), row("gpt-6-sol", service_tier="ultrafast", **MILLION)) == (Decimal(0), 2_000_000)


def test_a_ratio_prices_no_model_that_is_on_no_list() -> None:
    assert cost((price("mine", list_price_ratio=0.5),), row("mine", **MILLION)) == (Decimal(0), 2_000_000)


@pytest.mark.parametrize(
    ("pricing", "given", "fields", "usd"),
    [
        ("input", {"usd_per_million": PerMillion(input=0.02)}, {"input_tokens": 5_000_000}, "0.1"),
        ("characters", {"usd_per_million": PerMillion(characters=15.0)}, {"characters": 2_000}, "0.03"),
        ("seconds", {"usd_per_minute": 0.006}, {"seconds": 90}, "0.009"),
    ],
)
def test_other_units_have_prices_too(pricing: str, given: dict[str, Any], fields: dict[str, Any], usd: str) -> None:
    assert cost((price("mine", **given),), {"model": "mine", **fields}, pricing)[0] == Decimal(usd)


@pytest.mark.parametrize(
    ("given", "fields", "matches"),
    [
        ({"batch": True}, {"batch": True}, True),
        ({"batch": True}, {"batch": False}, False),
        ({"batch": False}, {}, True),
        ({"service_tier": "flex"}, {"service_tier": "flex"}, True),
        ({"service_tier": "flex"}, {"service_tier": "default"}, False),
        ({"since": "2026-11-20"}, {}, True),
        ({"since": "2026-11-21"}, {}, False),
        ({}, {"batch": True, "service_tier": "priority"}, True),
    ],
)
def test_a_price_can_be_narrowed(given: dict[str, Any], fields: dict[str, Any], matches: bool) -> None:
    found = cost((price("mine", **given),), row("mine", **MILLION, **fields))
    assert found == ((Decimal(10), 0) if matches else (Decimal(0), 2_000_000))


def test_the_first_match_counts() -> None:
    newest = price("mine", since="2026-11-20", usd_per_million=PerMillion(input=1.0, output=1.0))
    assert cost((newest, price("*")), row("mine", **MILLION)) == (Decimal(2), 0)


@pytest.mark.parametrize(
    ("pattern", "model", "matches"),
    [
        ("gpt-5.4*", "gpt-5.4-mini", True),
        ("gpt-5.4*", "gpt-5x4-mini", False),
        ("*:acme:*", "ft:gpt-5.4:acme:x", True),
        ("gpt", "gpt-5", False),
        ("*", "gpt-5*", True),
        ("gpt-5*", "*", False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, model: str, matches: bool) -> None:
    assert named(pattern, model) is matches


def test_the_version_changes_with_any_price() -> None:
    versions = {version(each) for each in [(), (price("a"),), (price("b"),), (price("a", batch=True),)]}
    assert len(versions) == 4


def test_images_have_the_price_of_the_configuration_alone() -> None:
    images = {"model": "gpt-image-2", "images": 30, "num_model_requests": 30}
    assert cost((price("gpt-image*", usd_per_image=0.04),), images, "images") == (Decimal("1.2"), 0)
    assert cost((price("gpt-image*"),), images, "images") == (Decimal(0), 30)
    assert cost((price("gpt-image*", list_price_ratio=0.5),), images, "images") == (Decimal(0), 30)


# Single requests, as probes make them.

NOW = DAY + 34_567.0
THOUSAND = Tokens(1_000, 1_000, cached=500)


def request(
    tokens: Tokens, *models: str, own: tuple[Price, ...] = (), provider: Provider = Provider.OPENAI, tier: str = ""
) -> Decimal | None:
    """USD of a request for the first of these models that has a price."""
    return request_cost(PriceTable(own, provider), tokens, models, tier, NOW)


def test_a_request_costs_what_the_list_says_with_cached_tokens_at_their_own_price() -> None:
    usage = genai_prices.Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=200)
    expected = genai_prices.calc_price(usage, "gpt-6-luna", provider_id="openai").total_price
    assert expected == request(Tokens(1000, 200, cached=400), "gpt-6-luna", tier="default")
    assert expected == Decimal("0.0001640")


def test_the_first_name_with_a_price_counts() -> None:
    one = request(Tokens(10, 10), "nobody-knows", "gpt-6-luna")
    assert one == request(Tokens(10, 10), "gpt-6-luna") is not None


def test_what_nobody_publishes_has_no_price() -> None:
    assert request(Tokens(10, 10), "nobody-knows") is None
    assert request(Tokens(10, 10), "gpt-6-luna", provider=Provider.COMPATIBLE) is None


def test_azure_has_a_list_of_its_own() -> None:
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=200)
    expected = genai_prices.calc_price(usage, "gpt-4o", provider_id="azure").total_price
    assert expected == request(Tokens(1000, 200), "gpt-4o", provider=Provider.AZURE)


def per_million(model: str = "gpt-6-luna", **usd: float) -> Price:
    return Price(model=model, usd_per_million=PerMillion(**usd))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (per_million(input=2.0, cached_input=1.0, output=8.0), "9.5"),
        # List prices of a million: 0.10 input, 0.01 cached, 0.50 output. What is left out is as on the list.
        (per_million(output=8.0), "8.055"),
        (per_million(input=2.0, output=8.0), "9.005"),
        (Price(model="gpt-6*", list_price_ratio=0.5), "0.2775"),
        (per_million("other", output=8.0), "0.555"),
        (Price(model="gpt-6-luna", usd_per_minute=3.0), "0.555"),
    ],
)
def test_a_request_costs_what_the_configuration_says(own: Price, expected: str) -> None:
    assert request(THOUSAND, "gpt-6-luna", own=(own,)) == Decimal(expected) / 1000


def test_a_compatible_server_costs_what_the_configuration_says() -> None:
    def mine(price: Price) -> Decimal | None:
        return request(THOUSAND, "mine", own=(price,), provider=Provider.COMPATIBLE)

    assert mine(per_million("mine", input=2.0, output=8.0)) == Decimal("0.01")
    assert mine(per_million("mine", input=2.0)) is None
    assert mine(Price(model="mine", list_price_ratio=1)) is None


def test_images_and_speech_have_prices_by_the_call() -> None:
    own = (Price(model="brush", usd_per_image=0.04), per_million("voice", characters=15.0))
    assert call_cost(own, Endpoint.IMAGES, "brush", "x", NOW) == Decimal("0.04")
    assert call_cost(own, Endpoint.SPEECH, "voice", "x" * 100, NOW) == Decimal("0.0015")
    for endpoint, model in ((Endpoint.IMAGES, "other"), (Endpoint.IMAGES, "voice"), (Endpoint.CHAT, "brush")):
        assert call_cost(own, endpoint, model, "x", NOW) is None


# The same request on both sides costs the same to the last digit.

_TOKENS = {
    "short": Tokens(12_345, 678),
    "cached": Tokens(12_345, 678, cached=7_890),
    "long context": Tokens(300_001, 99, cached=100_000),
    "no output": Tokens(777, 0),
}
_OWN: dict[str, tuple[Price, ...]] = {
    "list": (),
    "ratio": (Price(model="gpt-*", list_price_ratio=0.8512345),),
    "by kind": (per_million("gpt-6-sol", input=1.234567, output=7.7),),
    "by tier": (Price(model="*", service_tier="flex", list_price_ratio=0.3),),
    "batch": (Price(model="*", batch=True, list_price_ratio=0.3),),
    "since today": (Price(model="*", since="2026-11-20", list_price_ratio=0.5),),
    "since tomorrow": (Price(model="*", since="2026-11-21", list_price_ratio=0.5),),
    "unlisted": (per_million("mine", input=0.1, output=0.3),),
    "unlisted without output": (per_million("mine", input=0.1),),
}


@pytest.mark.parametrize("own", _OWN.values(), ids=_OWN)
@pytest.mark.parametrize("tokens", _TOKENS.values(), ids=_TOKENS)
@pytest.mark.parametrize("tier", ["", "default", "flex", "priority"])
def test_a_probe_and_a_usage_row_of_the_same_request_cost_the_same(
    tokens: Tokens, tier: str, own: tuple[Price, ...]
) -> None:
    for model in ("gpt-6-sol", "gpt-6-luna", "gpt-audio-2025-08-28", "mine"):
        fields = {"input_cached_tokens": tokens.cached, "service_tier": tier}
        usage = row(model, num_model_requests=1, **fields) | {
            "input_tokens": tokens.input, "output_tokens": tokens.output
        }  # fmt: skip
        usd, unpriced = cost(own, usage)
        assert (None if unpriced else usd) == request(tokens, model, own=own, tier=tier)


def test_an_embedding_costs_its_input_on_both_sides() -> None:
    for model, own in (("text-embedding-3-small", ()), ("mine", (per_million("mine", input=0.02),))):
        usd, _ = cost(own, {"model": model, "input_tokens": 999}, "input")
        found = request_cost(PriceTable(own), Tokens(999), [model], "", NOW, only_input=True)
        assert usd == found != 0


@pytest.mark.parametrize("own", _OWN.values(), ids=_OWN)
@pytest.mark.parametrize("batch", [False, True])
def test_kinds_that_only_usage_tells_have_the_price_of_the_same_table(own: tuple[Price, ...], batch: bool) -> None:
    kinds = {
        "input_tokens": 90_000, "input_cached_tokens": 20_000, "input_cache_write_tokens": 5_000,
        "input_audio_tokens": 4_000, "input_cached_audio_tokens": 300, "input_image_tokens": 2_000,
        "input_cached_image_tokens": 100, "output_tokens": 900, "output_audio_tokens": 80, "output_image_tokens": 7,
    }  # fmt: skip
    counts = (59_000, 19_600, 5_000, 4_000, 300, 2_000, 100, 813, 80, 7)
    for model in ("gpt-6-sol", "gpt-audio-2025-08-28", "mine"):
        usage = row(model, **kinds) | {"batch": batch, "num_model_requests": 1}
        rates = PriceTable(own).rates(model, TOKEN_KINDS, Situation(batch, "", DAY, 90_900))
        expected = priced(counts, rates or [None] * len(counts))
        usd, unpriced = cost(own, usage)
        assert (int(usd * PICO), unpriced) == expected

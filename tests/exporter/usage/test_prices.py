# SPDX-License-Identifier: Apache-2.0
"""Prices of the configuration go before the list; what they leave out is as on the list."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.config.load import load_config
from openai_exporter.config.prices import PerMillion, Price, named
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices.listed import PICO, list_prices
from openai_exporter.prices.own import OwnPrices, version
from openai_exporter.usage.estimate import Estimator
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ADMIN_KEY, ALL, Now, document, of, one, scrape

DAY = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"


def price(model: str, **given: Any) -> Price:
    if not given.keys() & {"usd_per_million", "usd_per_minute", "usd_per_image", "list_price_ratio"}:
        given["usd_per_million"] = PerMillion(input=2.0, output=8.0)
    return Price(model=model, **given)


def cost(prices: tuple[Price, ...], row: dict[str, Any], pricing: str = "tokens") -> tuple[Decimal, int]:
    """USD and unpriced tokens of a row."""
    table = OwnPrices(prices, list_prices())
    usd, *unpriced = Estimator(pricing, lambda: table)(row, DAY)
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


def test_a_model_on_no_list_is_priced_whole() -> None:
    split = {"input_cached_tokens": 100_000, "input_audio_tokens": 200_000, "output_audio_tokens": 300_000}
    assert cost((price("mine"),), row("mine", **MILLION, **split)) == (Decimal(10), 0)


def test_a_model_on_no_list_is_unpriced_when_its_price_lacks_a_direction() -> None:
    only_input = price("mine", usd_per_million=PerMillion(input=2.0))
    assert cost((only_input,), row("mine", **MILLION)) == (Decimal(0), 2_000_000)


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
def test_other_units_have_prices_too(
    pricing: str, given: dict[str, Any], fields: dict[str, Any], usd: str
) -> None:
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


async def test_images_are_estimated_once_they_have_a_price(make: Make, simulator: SimulatorControl) -> None:
    """Without one there is no estimate, for 0 would say that they are free."""
    more = "  usage: {images: {group_by: [model, size]}}\n"
    books = simulator.state()["books"]["arrived"]["images"]
    listed = scrape(await make(more=more).page())
    assert not of(listed, metrics.ESTIMATED_COST)
    unpriced = {dict(labels)["model"]: count for labels, count in of(listed, metrics.UNPRICED_IMAGES).items()}
    assert sum(unpriced.values()) == sum(row["images"] for row in books) > 0
    assert unpriced.keys() == {row["model"] for row in books}
    priced = scrape(await make(more=more, tail='prices: [{model: "*", usd_per_image: 0.04}]').page())
    assert sum(of(priced, metrics.ESTIMATED_COST).values()) == pytest.approx(sum(unpriced.values()) * 0.04)
    assert sum(of(priced, metrics.UNPRICED_IMAGES).values()) == 0


PRICES = f"""
- model: "{FINE_TUNED}"
  usd_per_million: {{input: 0.4, cached_input: 0.04, output: 2.5}}
"""


async def test_a_price_file_prices_what_the_list_does_not(
    simulator: SimulatorControl, now: Now, make: Make
) -> None:
    simulator.clock(now="2026-11-25T00:00:00Z")
    instruments = Instruments(process=False)
    listed = scrape(await make().page())
    priced = make(tail=f"prices:{PRICES}", instruments=instruments)
    found = scrape(await priced.page())
    unpriced = of(listed, metrics.UNPRICED_TOKENS)
    assert {dict(labels)["model"] for labels, tokens in unpriced.items() if tokens} == {FINE_TUNED}
    assert sum(of(found, metrics.UNPRICED_TOKENS).values()) == 0
    rows = simulator.state()["books"]["arrived"]["completions"]
    expected = sum(
        each["input_uncached_tokens"] * 0.4 + each["input_cached_tokens"] * 0.04 + each["output_tokens"] * 2.5
        for each in rows
        if each["model"] == FINE_TUNED
    )
    estimated = of(found, metrics.ESTIMATED_COST)
    of_model = sum(usd for labels, usd in estimated.items() if ("model", FINE_TUNED) in labels)
    assert expected > 0
    assert of_model == pytest.approx(expected / 1e6, rel=1e-9)
    shown, _ = instruments.render("")
    assert f'{own.PRICE_TABLE_INFO.name}{{source="configuration",version="sha256:' in shown.decode()
    assert 'source="genai-prices"' in shown.decode()


async def test_a_reload_with_other_prices_prices_the_whole_month_anew(
    simulator: SimulatorControl, now: Now, make: Make, tmp_path: Path
) -> None:
    instruments = Instruments(process=False)
    before = make(instruments=instruments)
    await before.page()
    path = tmp_path / "exporter.yml"
    (tmp_path / "prices.yml").write_text(f"prices:{PRICES}")
    path.write_text(document(simulator.api_url, ALL, "price_file: prices.yml"))
    config = load_config(path, {"KEY": ADMIN_KEY})
    after = before.replaced_by(config, config.organizations[0])
    now.advance(60)
    found = scrape(await after.page())
    left = sum(
        one(found, metrics.CORRECTIONS, operation=name, field="unpriced_tokens")
        for name in ("completions", "decisions", "embeddings", "moderations")
    )
    assert sum(of(found, metrics.UNPRICED_TOKENS).values()) - left == 0
    await after.close()

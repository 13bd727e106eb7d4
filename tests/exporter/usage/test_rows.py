# SPDX-License-Identifier: Apache-2.0
"""Results are decoded strictly where it matters, leniently where the API may grow; estimates are exact."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, strategies as st

from openai_exporter.config.load import load_config
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own, usage as metrics
from openai_exporter.prices import PICO, PriceTable
from openai_exporter.usage.rows import OPERATIONS, Estimator, MalformedError, RowDecoder, split
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ADMIN_KEY, ALL, Now, document, of, one, scrape

GROUP_BY = ("project_id", "model", "batch")
GOOD: dict[str, Any] = {
    "object": "organization.usage.completions.result",
    "input_tokens": 100,
    "output_tokens": 20,
    "num_model_requests": 3,
    "project_id": "proj_1",
    "model": "m",
    "batch": False,
}


def decoder() -> RowDecoder:
    return RowDecoder(OPERATIONS["completions"], GROUP_BY, lambda result, start: (7, 8))


def test_labels_come_in_the_order_of_the_grouping_and_values_in_that_of_the_columns() -> None:
    result = GOOD | {"input_cached_tokens": 40, "input_audio_tokens": 5, "a_new_field": {"x": 1}}
    assert (("proj_1", "m", "false"), (3, 100, 20, 40, 0, 5, 0, 0, 0, 7, 8)) == decoder().decode(result, 0)


@pytest.mark.parametrize("absent", [{}, {"input_cached_tokens": None}], ids=["absent", "null"])
def test_an_optional_field_that_is_missing_is_zero(absent: dict[str, Any]) -> None:
    assert 0 == decoder().decode(GOOD | absent, 0)[1][3]


@pytest.mark.parametrize("value", [None, "absent"])
def test_a_dimension_that_is_null_is_the_empty_label(value: str | None) -> None:
    result = GOOD | {"project_id": None}
    if value == "absent":
        del result["project_id"]
    assert ("", "m", "false") == decoder().decode(result, 0)[0]


def test_equal_labels_are_one_object() -> None:
    rows = decoder()
    assert rows.decode(GOOD, 0)[0] is rows.decode(dict(GOOD), 0)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_tokens": "1,000"}, "input_tokens: expected a whole number of at most 1e+15, got '1,000'"),
        ({"input_tokens": "0x10"}, "input_tokens: expected a whole number of at most 1e+15, got '0x10'"),
        ({"input_tokens": ""}, "input_tokens: expected a whole number of at most 1e+15, got ''"),
        ({"input_tokens": "1e16"}, "input_tokens: expected a whole number of at most 1e+15, got '1e16'"),
        ({"input_tokens": Decimal("1e400")}, "input_tokens: expected a whole number of at most 1e+15, got 1E+400"),
        ({"input_tokens": Decimal("1000.5")}, "input_tokens: expected a whole number of at most 1e+15, got 1000.5"),
        ({"input_tokens": 1.5}, "input_tokens: expected a whole number of at most 1e+15, got 1.5"),
        ({"input_tokens": True}, "input_tokens: expected a whole number of at most 1e+15, got True"),
        ({"input_tokens": 10**16}, f"input_tokens: expected a whole number of at most 1e+15, got {10**16}"),
        ({"input_tokens": {"a": 1}}, "input_tokens: expected a whole number of at most 1e+15, got {'a': 1}"),
        ({"output_tokens": None}, "output_tokens: is missing"),
        ({"input_cached_tokens": []}, "input_cached_tokens: expected a whole number of at most 1e+15, got []"),
        ({"project_id": 7}, "project_id: expected a string or null, got 7"),
        ({"model": ["m"]}, "model: expected a string or null, got ['m']"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_type_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError) as found:
        decoder().decode(GOOD | change, 0)
    assert message == str(found.value)


@pytest.mark.parametrize(
    "written", ["1000", " 1000 ", "1000.0", "1e3", 1000.0, Decimal("1000.0"), Decimal("1E+3"), Decimal("1000.000")]
)
def test_a_count_is_the_same_however_it_is_written(written: object) -> None:
    rows = RowDecoder(OPERATIONS["completions"], GROUP_BY, Estimator("tokens", PriceTable))
    changed = dict.fromkeys(("input_tokens", "num_model_requests", "input_audio_tokens"), 1000)
    assert rows.decode(GOOD | changed, 0) == rows.decode(GOOD | dict.fromkeys(changed, written), 0)


def test_a_field_that_is_no_column_cannot_fail_a_row() -> None:
    odd = {"input_text_tokens": "many", "user_id": [7], "object": None, "input_uncached_tokens": -1.5}
    assert decoder().decode(GOOD, 0) == decoder().decode(GOOD | odd, 0)


@pytest.mark.parametrize("result", [None, "x", 3, []], ids=repr)
def test_a_result_that_is_no_object_is_refused(result: object) -> None:
    with pytest.raises(MalformedError, match="expected an object"):
        decoder().decode(result, 0)


# Estimated costs are list prices, exactly, whatever the grouping of the requests.

FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
DAY = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())


def estimated(result: dict[str, Any], pricing: str = "tokens", day: int = DAY) -> tuple[Decimal, int]:
    cost, *unpriced = Estimator(pricing, PriceTable)(result, day)
    return Decimal(cost) / PICO, sum(unpriced)


def listed(model: str, usage: dict[str, int], day: int = DAY, context: dict[str, str] | None = None) -> Decimal:
    """What the package itself says of one request."""
    moment = datetime.fromtimestamp(day, UTC)
    found = calc_price(
        Usage(**usage), model, provider_id="openai", genai_request_timestamp=moment, price_context=context
    )
    return found.total_price


def result(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "num_model_requests": 1, "input_tokens": 0, "output_tokens": 0, **fields}


def test_text_costs_its_list_price() -> None:
    row = result("gpt-6-luna", input_tokens=12_345, output_tokens=678)
    assert (listed("gpt-6-luna", {"input_tokens": 12_345, "output_tokens": 678}), 0) == estimated(row)


def test_cached_and_cache_write_tokens_have_their_own_price_and_are_not_counted_twice() -> None:
    row = result(
        "gpt-6-luna", input_tokens=5000, input_cached_tokens=1800, input_cache_write_tokens=200, output_tokens=10
    )
    usage = {"input_tokens": 5000, "cache_read_tokens": 1800, "cache_write_tokens": 200, "output_tokens": 10}
    assert (listed("gpt-6-luna", usage), 0) == estimated(row)


def test_audio_is_split_from_text() -> None:
    row = result(
        "gpt-audio-2025-08-28",
        input_tokens=1000,
        input_cached_tokens=300,
        input_audio_tokens=500,
        input_cached_audio_tokens=100,
        output_tokens=90,
        output_audio_tokens=60,
    )
    usage = {
        "input_tokens": 1000, "cache_read_tokens": 300, "input_audio_tokens": 600,
        "cache_audio_read_tokens": 100, "output_tokens": 90, "output_audio_tokens": 60,
    }  # fmt: skip
    assert (listed("gpt-audio-2025-08-28", usage), 0) == estimated(row)


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"batch": True}, {"processing": "batch"}),
        ({"batch": True, "service_tier": "default"}, {"processing": "batch"}),
        ({"service_tier": "priority"}, {"service_tier": "priority"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ],
    ids=["batch", "batch-and-tier", "priority", "flex"],
)
def test_batch_and_service_tiers_have_their_own_prices(fields: dict[str, Any], context: dict[str, str]) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 500}
    standard = listed("gpt-6-sol", usage)
    special = listed("gpt-6-sol", usage, context=context)
    assert standard != special
    assert (special, 0) == estimated(result("gpt-6-sol", **usage, **fields))


# Each case: model, its special price, tokens as the package names them. Long context begins at 272,000 tokens.
_BATCH, _FLEX, _PRIORITY = {"processing": "batch"}, {"service_tier": "flex"}, {"service_tier": "priority"}
_LONG = ("gpt-6-luna", "gpt-6-sol", "gpt-6.1-sol", "gpt-6-astra", "gpt-5.6-luna", "gpt-5.4")
_WRITTEN = ("gpt-6-luna", "gpt-6-sol", "gpt-6.1-sol", "gpt-6-astra", "gpt-5.6-luna")
_FLEXIBLE = (*_LONG, "gpt-5", "o3")
_SPECIAL = (*_FLEXIBLE, "gpt-4o", "gpt-4o-mini")
_AUDIO = ("gpt-audio-2025-08-28", "gpt-realtime")
_TEXT = {"input_tokens": 123_457, "output_tokens": 6_789}
_CACHED = _TEXT | {"cache_read_tokens": 23_456}
_CASES = [
    *((model, {}, _TEXT) for model in (*_SPECIAL, *_AUDIO)),
    *((model, _BATCH, _CACHED) for model in _SPECIAL),
    *((model, _FLEX, _CACHED) for model in _FLEXIBLE),
    *((model, _PRIORITY, _CACHED) for model in (*_FLEXIBLE, "gpt-4o", "gpt-4o-mini")),
    *((model, {}, _CACHED) for model in (*_SPECIAL, "gpt-realtime")),
    *((model, {}, _CACHED | {"cache_write_tokens": 3_210}) for model in _WRITTEN),
    *((model, {}, _CACHED | {"input_tokens": 300_001}) for model in _LONG),
    *((model, {}, _TEXT | {"input_audio_tokens": 4_321, "output_audio_tokens": 987}) for model in _AUDIO),
    ("gpt-realtime", {}, _CACHED | {"input_audio_tokens": 4_321, "cache_audio_read_tokens": 1_234}),
]  # fmt: skip
_FIELDS = {
    "input_tokens": "input_tokens", "output_tokens": "output_tokens", "cache_read_tokens": "input_cached_tokens",
    "cache_write_tokens": "input_cache_write_tokens", "output_audio_tokens": "output_audio_tokens",
    "cache_audio_read_tokens": "input_cached_audio_tokens",
}  # fmt: skip


def test_sixty_five_cases_cost_what_the_price_list_says() -> None:
    assert len(_CASES) == 65
    assert len({model for model, _, _ in _CASES}) == 12
    for model, context, usage in _CASES:
        fields: dict[str, Any] = {field: usage[name] for name, field in _FIELDS.items() if name in usage}
        # The API counts uncached sound only, the package all of it.
        fields["input_audio_tokens"] = usage.get("input_audio_tokens", 0) - usage.get("cache_audio_read_tokens", 0)
        fields |= {"batch": context == _BATCH, "service_tier": context.get("service_tier", "default")}
        expected = listed(model, usage, context=context)
        assert (expected, 0) == estimated(result(model, **fields)), (model, context, usage)
        assert not context or expected != listed(model, usage), "a special price differs"


@pytest.mark.parametrize(
    ("model", "fields", "usd"),
    [
        # 0.10 in, 0.01 cached, 0.125 written, 0.50 out per million
        (
            "gpt-6-luna",
            {"input_tokens": 1_000_000, "input_cached_tokens": 300_000, "input_cache_write_tokens": 200_000,
             "output_tokens": 100_000, "num_model_requests": 100},
            "0.128",  # 0.05 + 0.003 + 0.025 + 0.05
        ),
        # 2.00 in, 10.00 out per million, half of it in a batch
        (
            "gpt-6-sol",
            {"input_tokens": 1_000_000, "output_tokens": 500_000, "num_model_requests": 9, "batch": True},
            "3.5",  # 1 + 2.5
        ),
        # 4.25 in, 2.125 cached, 17.00 out per million
        (
            "gpt-4o",
            {"input_tokens": 1000, "input_cached_tokens": 400, "output_tokens": 100, "service_tier": "priority"},
            "0.0051",  # 0.00255 + 0.00085 + 0.0017
        ),
        # 2.50 in and 32.00 for sound, 10.00 out and 64.00 for sound per million
        (
            "gpt-audio",
            {"input_tokens": 1000, "input_audio_tokens": 600, "output_tokens": 200, "output_audio_tokens": 150},
            "0.0303",  # 0.001 + 0.0192 + 0.0005 + 0.0096
        ),
        # Above 272,000 tokens in flex: 2.50 in, 0.25 cached, 11.25 out per million
        (
            "gpt-5.4",
            {"input_tokens": 300_000, "input_cached_tokens": 100_000, "output_tokens": 1000, "service_tier": "flex"},
            "0.53625",  # 0.5 + 0.025 + 0.01125
        ),
    ],
    ids=["cache", "batch", "priority", "audio", "long"],
)  # fmt: skip
def test_five_cases_cost_what_a_person_computes(model: str, fields: dict[str, Any], usd: str) -> None:
    assert (Decimal(usd), 0) == estimated(result(model, **fields))


def test_many_short_requests_are_not_priced_as_one_long_one() -> None:
    row = result("gpt-6-sol", input_tokens=5_000_000, output_tokens=1000, num_model_requests=1000)
    one = listed("gpt-6-sol", {"input_tokens": 5000, "output_tokens": 1})
    assert (one * 1000, 0) == estimated(row)


def test_requests_that_are_long_on_average_have_the_long_context_price() -> None:
    usage = {"input_tokens": 300_000, "output_tokens": 100}
    row = result("gpt-6-sol", input_tokens=600_000, output_tokens=200, num_model_requests=2)
    assert (listed("gpt-6-sol", usage) * 2, 0) == estimated(row)
    assert listed("gpt-6-sol", usage) > 300 * listed("gpt-6-sol", {"input_tokens": 1000})


def test_tokens_of_a_model_without_a_price_are_counted_and_not_costed() -> None:
    row = result("ft:unheard-of", input_tokens=100, output_tokens=20)
    assert (Decimal(0), 120) == estimated(row)


@pytest.mark.parametrize(
    ("pricing", "row"),
    [
        ("characters", {"model": "unheard-of", "characters": 70}),
        ("seconds", {"model": "unheard-of", "seconds": 70}),
        # Its tokens have prices; whole images have none.
        ("images", {"model": "gpt-image-2", "images": 70}),
    ],
)
def test_sound_speech_and_images_without_a_price_are_counted_too(pricing: str, row: dict[str, Any]) -> None:
    assert (Decimal(0), 70) == estimated(row, pricing)


def test_without_a_model_nothing_can_be_priced() -> None:
    row = result("", input_tokens=100, output_tokens=20) | {"model": None}
    assert (Decimal(0), 120) == estimated(row)


def test_moderation_is_free_and_not_unpriced() -> None:
    row = {"model": "omni-moderation-latest", "input_tokens": 500, "num_model_requests": 5}
    assert (Decimal(0), 0) == estimated(row, "input")


def test_embeddings_transcriptions_and_speech_are_priced_by_what_they_count() -> None:
    embedding = {"model": "text-embedding-3-small", "input_tokens": 1_000_000}
    assert (Decimal("0.02"), 0) == estimated(embedding, "input")
    assert (Decimal("0.36"), 0) == estimated({"model": "whisper-1", "seconds": 3600}, "seconds")
    assert (Decimal("15"), 0) == estimated({"model": "tts-1", "characters": 1_000_000}, "characters")


def test_the_price_of_the_day_counts() -> None:
    usage = {"input_tokens": 1000, "output_tokens": 500}
    row = result("gpt-6-sol", **usage, service_tier="priority")
    for day in (datetime(2026, 10, 12, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)):
        at = int(day.timestamp())
        assert (listed("gpt-6-sol", usage, at, {"service_tier": "priority"}), 0) == estimated(row, day=at)
    early = int(datetime(2026, 10, 11, tzinfo=UTC).timestamp())
    assert (Decimal(0), 1500) == estimated(row, day=early)


counts_ = st.integers(0, 10**9)


@given(first=st.tuples(counts_, counts_), second=st.tuples(counts_, counts_))
def test_the_price_of_a_sum_is_the_sum_of_the_prices(first: tuple[int, int], second: tuple[int, int]) -> None:
    """So that days and hours of the same usage cost the same."""
    many = {"num_model_requests": 10**9}
    costs = [
        estimated(result("gpt-4o-mini-2024-07-18", input_tokens=i, output_tokens=o) | many)[0]
        for i, o in (first, second, (first[0] + second[0], first[1] + second[1]))
    ]
    assert costs[0] + costs[1] == costs[2]


tokens_ = st.integers(0, 1000)


@given(st.tuples(*[tokens_] * 10))
def test_every_token_is_in_exactly_one_kind(kinds: tuple[int, ...]) -> None:
    text, cached, written, audio, cached_audio, image, cached_image, output, out_audio, out_image = kinds
    row = {
        "input_tokens": text + cached + written + audio + cached_audio + image + cached_image,
        "input_cached_tokens": cached + cached_audio + cached_image,
        "input_cache_write_tokens": written,
        "input_audio_tokens": audio,
        "input_cached_audio_tokens": cached_audio,
        "input_image_tokens": image,
        "input_cached_image_tokens": cached_image,
        "output_tokens": output + out_audio + out_image,
        "output_audio_tokens": out_audio,
        "output_image_tokens": out_image,
    }
    assert kinds == split(row)


# Prices of the configuration on the page.


@pytest.mark.parametrize("group_by", ["[]", "[project_id]", "[project_id, api_key_id, model]", "[batch, service_tier]"])
async def test_the_estimate_does_not_depend_on_the_labels_shown(
    make: Make, simulator: SimulatorControl, group_by: str
) -> None:
    rows = simulator.state()["books"]["arrived"]["completions"]
    assert {True, False} == {row["batch"] for row in rows}, "batch usage costs half"

    async def totals(labels: str) -> dict[str, float]:
        page = scrape(await make(more=f"  usage: {{completions: {{group_by: {labels}}}}}\n").page())
        shown = set(labels.strip("[]").split(", ")) - {""}
        assert shown == {name for key in of(page, metrics.REQUESTS) for name, value in key if value} - {"operation"}
        return {m.name: sum(of(page, m).values()) for m in (metrics.ESTIMATED_COST, metrics.UNPRICED_TOKENS)}

    finest = await totals("[project_id, api_key_id, user_id, model, batch, service_tier]")
    assert finest == pytest.approx(await totals(group_by), rel=1e-12)


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


async def test_a_price_file_prices_what_the_list_does_not(simulator: SimulatorControl, now: Now, make: Make) -> None:
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

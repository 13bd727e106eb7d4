# SPDX-License-Identifier: Apache-2.0
"""List prices per unit against the price package itself."""

import datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings, strategies as st

from openai_simulator.organization.billing import COST_DIMENSIONS, KINDS, Amount, Billing, Key, unit_price
from openai_simulator.organization.seed import FOUNDED, OrganizationSize, roster
from openai_simulator.organization.streams import SeededUsage, VectorStores
from openai_simulator.organization.usage import Lateness, RecordedCalls, UsageRecords, View, truth
from tests.simulator.organization.conftest import sized

# The bill: sums, line items, lateness and credits.

DAY = 86_400
NOW = 1795251600.0
TODAY = 1795219200
LINE = COST_DIMENSIONS.index("line_item")


def new_billing(size: OrganizationSize | None = None) -> Billing:
    size = size or sized()
    people = roster(7, size)
    return Billing(7, UsageRecords(SeededUsage(7, people, size), VectorStores(7, people, size), RecordedCalls()))


BILLING = new_billing()
LATENESS = Lateness.of_costs(600)


def bill(start: int, view: View, *group_by: str, **filters: frozenset[str | bool | None]) -> dict[Key, Amount]:
    return BILLING.day(frozenset(group_by), filters, start, start + DAY, view)


def total(amounts: dict[Key, Amount]) -> Decimal:
    return sum((amount.usd for amount in amounts.values()), Decimal(0))


@settings(max_examples=40, deadline=None)
@given(first=st.frozensets(st.sampled_from(COST_DIMENSIONS)), back=st.integers(0, 60), late=st.booleans())
def test_every_grouping_sums_to_the_same_money(first: frozenset[str], back: int, late: bool) -> None:
    view = LATENESS.view(NOW) if late else truth(NOW)
    start = TODAY - back * DAY
    assert total(bill(start, view, *first)) == total(bill(start, view))


def test_money_has_at_least_ten_exact_places() -> None:
    amounts = bill(TODAY - DAY, truth(NOW), *COST_DIMENSIONS)
    finest = min(int(amount.usd.as_tuple().exponent) for amount in amounts.values())
    assert finest <= -7
    assert total(amounts) == total(amounts).quantize(Decimal("1e-20"))


def test_line_items_of_tokens_are_quantities_at_list_prices() -> None:
    amounts = bill(TODAY - DAY, truth(NOW), "line_item")
    for kind in ("input", "cached input", "output"):
        amount = amounts[None, None, None, None, f"gpt-4o-mini-2024-07-18, {kind}"]
        price = unit_price("gpt-4o-mini-2024-07-18", kind, False, "default", TODAY - DAY)
        assert price is not None
        assert amount.usd == price * amount.quantity
        assert amount.unit == "tokens"


@pytest.mark.parametrize(
    ("line_item", "unit"),
    [
        ("web search tool calls", None),
        ("code interpreter sessions", None),
        ("file search storage", "gibibyte_hours"),
        ("gpt-transcribe, transcription", "duration_seconds"),
        ("tts-1, speech", "characters"),
        ("gpt-image-2-2026-04-21, images", "images"),
        ("gpt-6-sol, cache write", "tokens"),
        ("gpt-audio-2025-08-28, audio output", "tokens"),
        ("ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7, output", "tokens"),
    ],
)
def test_everything_that_is_used_is_billed_in_its_unit(line_item: str, unit: str | None) -> None:
    month = [bill(TODAY - back * DAY, truth(NOW), "line_item") for back in range(1, 31)]
    found = [amounts[key] for amounts in month for key in amounts if key[LINE] == line_item]
    assert found
    assert all(amount.usd > 0 for amount in found)
    assert {unit} == {amount.unit for amount in found}


def test_quantities_of_several_units_have_none() -> None:
    assert [amount.unit for amount in bill(TODAY - DAY, truth(NOW)).values()] == [None]


def test_the_running_day_appears_after_an_hour_and_two_days_later_nothing_changes() -> None:
    shown = [total(bill(TODAY, LATENESS.view(TODAY + hours * 3600))) for hours in (0.9, 4, 12, 25, 48, 69, 90)]
    true = total(bill(TODAY, truth(TODAY + 90 * 3600)))
    assert shown[0] == 0
    assert shown == sorted(shown)
    assert shown[-3] < shown[-2] == shown[-1] == true


def test_a_credit_is_entered_once_in_a_month_after_its_day() -> None:
    thirty_days = (TODAY - FOUNDED) // DAY // 30 * 30 * DAY
    days = range(FOUNDED + thirty_days - 90 * DAY, FOUNDED + thirty_days, DAY)
    late_enough = truth(NOW + 10 * DAY)
    credited = [day for day in days if (None, None, None, None, "credit") in bill(day, late_enough, "line_item")]
    assert len(credited) == 3
    day = credited[0]
    before, after = (total(bill(day, truth(day + DAY + hours * 3600))) for hours in (9, 11))
    assert before > after
    assert bill(day, late_enough, "line_item")[None, None, None, None, "credit"].usd < 0


def test_filters_choose_items_also_when_they_are_not_grouped_by() -> None:
    by_line = bill(TODAY - DAY, truth(NOW), "line_item")
    name = "gpt-6-luna, output"
    filtered = bill(TODAY - DAY, truth(NOW), line_item=frozenset({name}))
    assert total(filtered) == by_line[None, None, None, None, name].usd


def test_an_organization_without_streams_costs_nothing() -> None:
    empty = new_billing(sized(streams=0))
    assert all(not empty.day(frozenset(), {}, TODAY - n * DAY, TODAY, truth(NOW)) for n in range(40))


# List prices per unit against the price package itself.

PRICES_DAY = 1795219200  # 2026-11-21


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
    moment = datetime.datetime.fromtimestamp(PRICES_DAY, datetime.UTC)
    price = calc_price(usage, model, provider_id="openai", genai_request_timestamp=moment, price_context=context)
    parts = (("input", 700), ("cached input", 300), ("output", 200))
    units = [(unit_price(model, kind, batch, tier, PRICES_DAY) or 0) * count for kind, count in parts]
    assert price.total_price == sum(units, Decimal(0))


def test_prices_follow_the_day() -> None:
    before, after = (
        unit_price("gpt-6-luna", "output", True, None, day) for day in (PRICES_DAY - 60 * 86_400, PRICES_DAY)
    )
    assert (before, after) == (Decimal("5E-7"), Decimal("2.5E-7"))


def test_long_context_rates_do_not_apply_to_sums() -> None:
    assert unit_price("gpt-5.4", "input", False, None, PRICES_DAY) == Decimal("0.0000025")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_no_list_has_no_price(kind: str) -> None:
    assert unit_price("ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7", kind, False, None, PRICES_DAY) is None


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
    assert unit_price(model, kind, False, None, PRICES_DAY) == Decimal(price)

# SPDX-License-Identifier: Apache-2.0
"""The bill: sums, line items, lateness and credits."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openai_exporter.simulator.organization.arrival import Lateness, View, truth
from openai_exporter.simulator.organization.billing import COST_DIMENSIONS, Amount, Billing, Key
from openai_exporter.simulator.organization.books import Books
from openai_exporter.simulator.organization.flows import Flows
from openai_exporter.simulator.organization.levels import Stores
from openai_exporter.simulator.organization.prices import unit_price
from openai_exporter.simulator.organization.recorded import RecordedCalls
from openai_exporter.simulator.organization.seed import FOUNDED, roster
from openai_exporter.simulator.organization.size import SeededSize

DAY = 86_400
NOW = 1795251600.0
TODAY = 1795219200
LINE = COST_DIMENSIONS.index("line_item")


def new_billing(size: SeededSize | None = None) -> Billing:
    size = size or SeededSize()
    people = roster(7, size)
    return Billing(7, Books(Flows(7, people, size), Stores(7, people, size), RecordedCalls()))


BILLING = new_billing()
LATENESS = Lateness.of_costs(600)


def bill(
    start: int, view: View, *group_by: str, **filters: frozenset[str | bool | None]
) -> dict[Key, Amount]:
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
    shown = [
        total(bill(TODAY, LATENESS.view(TODAY + hours * 3600))) for hours in (0.9, 4, 12, 25, 48, 69, 90)
    ]
    true = total(bill(TODAY, truth(TODAY + 90 * 3600)))
    assert shown[0] == 0
    assert shown == sorted(shown)
    assert shown[-3] < shown[-2] == shown[-1] == true


def test_a_credit_is_entered_once_in_a_month_after_its_day() -> None:
    thirty_days = (TODAY - FOUNDED) // DAY // 30 * 30 * DAY
    days = range(FOUNDED + thirty_days - 90 * DAY, FOUNDED + thirty_days, DAY)
    late_enough = truth(NOW + 10 * DAY)
    credited = [
        day for day in days if (None, None, None, None, "credit") in bill(day, late_enough, "line_item")
    ]
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
    empty = new_billing(SeededSize(streams=0))
    assert all(not empty.day(frozenset(), {}, TODAY - n * DAY, TODAY, truth(NOW)) for n in range(40))

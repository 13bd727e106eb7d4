# SPDX-License-Identifier: Apache-2.0
"""List prices per unit: exact, by batch, tier, day and length of the request."""

from datetime import UTC, datetime

import pytest

from openai_exporter.prices import Situation
from openai_exporter.prices.listed import list_prices

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

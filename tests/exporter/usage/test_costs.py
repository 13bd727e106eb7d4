# SPDX-License-Identifier: Apache-2.0
"""Costs: exact sums over two months, whatever form the amounts have."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from openai_exporter.usage.costs import Bill, Sums, largest, total
from openai_exporter.usage.rows import MalformedError, decoded
from openai_exporter.usage.window import DAY, day_start

NOW = datetime.fromisoformat("2026-11-21T09:30:00+00:00").timestamp()
TODAY = day_start(NOW)


def cost(value: Any, project: str | None = "p", item: str | None = "tokens", currency: str = "usd") -> Any:
    return {"amount": {"value": value, "currency": currency}, "project_id": project, "line_item": item}


def bill(*days: tuple[int, list[Any]]) -> Bill:
    made = Bill(NOW, ("project_id", "line_item"))
    for start, results in days:
        made.add(start, [decoded(result, made.group_by) for result in results])
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.0042", "0.0042"),
        (Decimal("0.0042"), "0.0042"),
        (0.06, "0.06"),
        (3, "3"),
        ("-12.5", "-12.5"),
        ("1e-7", "1E-7"),
        (" 2.50 ", "2.50"),
        ("0.123456789012345678901234", "0.123456789012345678901234"),
    ],
    ids=repr,
)
def test_amounts_may_be_numbers_or_strings(value: Any, expected: str) -> None:
    assert Decimal(expected) == total(bill((TODAY, [cost(value)])).month)


@pytest.mark.parametrize("value", ["", "abc", "NaN", "1,5", None, True, [], {}, "9" * 30, 10**13], ids=repr)
def test_what_is_no_amount_is_refused_by_name(value: Any) -> None:
    with pytest.raises(MalformedError, match=r"^amount\.value: expected an amount"):
        bill((TODAY, [cost(value)]))


def test_days_fall_into_today_yesterday_this_month_and_the_month_before() -> None:
    first = TODAY - 20 * DAY
    made = bill(
        (first - 32 * DAY, [cost("1000")]),
        (first - 31 * DAY, [cost("100")]),
        (first - DAY, [cost("10")]),
        (first, [cost("1")]),
        (TODAY - DAY, [cost("0.1")]),
        (TODAY, [cost("0.01")]),
    )
    assert Decimal("110") == made.previous_month
    assert Decimal("1.11") == total(made.month)
    assert (Decimal("0.1"), Decimal("0.01")) == (total(made.yesterday), total(made.today))


def test_yesterday_may_lie_in_the_month_before() -> None:
    made = Bill(datetime.fromisoformat("2026-12-01T00:10:00+00:00").timestamp(), ())
    made.add(day_start(made.now) - DAY, [decoded(cost("5"), ())])
    assert (Decimal(5), Decimal(5), Decimal(0)) == (
        total(made.yesterday),
        made.previous_month,
        total(made.month),
    )


def test_what_the_month_before_had_shows_zero_until_it_costs_something() -> None:
    made = bill((TODAY - 30 * DAY, [cost("5", item="old")]), (TODAY, [cost("1", item="new")]))
    assert {("p", "old"): Decimal(0), ("p", "new"): Decimal(1)} == made.month


def test_credits_lower_the_sum() -> None:
    made = bill((TODAY, [cost("5"), cost("-2", None, "credit")]))
    assert (Decimal(3), Decimal(-2)) == (total(made.month), made.month["", "credit"])


def test_other_currencies_are_counted_and_never_added() -> None:
    made = bill((TODAY, [cost("5"), cost("7", currency="eur"), cost("8", currency="EUR")]))
    assert (Decimal(5), {"eur": 2}) == (total(made.month), made.skipped)


def test_ten_cents_ten_times_are_a_dollar() -> None:
    assert Decimal(1) == total(bill((TODAY, [cost(0.1)] * 10)).month)


def test_the_largest_keep_their_labels() -> None:
    sums: Sums = {("a",): Decimal(5), ("b",): Decimal(-7), ("c",): Decimal(1), ("d",): Decimal(2)}
    assert {("b",): Decimal(-7), ("a",): Decimal(5), ("other",): Decimal(3)} == largest(sums, 2)
    assert sums == largest(sums, 4)


def test_sums_by_one_dimension() -> None:
    made = bill((TODAY, [cost("1", "p", "x"), cost("2", "p", "y"), cost("4", "q", "x")]))
    assert {"p": Decimal(3), "q": Decimal(4)} == made.by("project_id", period="day")

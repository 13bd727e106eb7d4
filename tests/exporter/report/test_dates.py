# SPDX-License-Identifier: Apache-2.0
"""What people mean by a period."""

import pytest

from openai_exporter.report.dates import PeriodError, format_date, parse_period
from tests.exporter.report.commands import unix

NOW = unix("2026-11-21T09:40:00Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("day", ("2026-11-20", "2026-11-20", "2026-11-19", "2026-11-19"), id="last whole day"),
        pytest.param("week", ("2026-11-14", "2026-11-20", "2026-11-07", "2026-11-13"), id="last seven days"),
        pytest.param("month", ("2026-11-01", "2026-11-21", "2026-10-01", "2026-10-21"), id="month so far"),
        pytest.param("2026-02", ("2026-02-01", "2026-02-28", "2026-01-01", "2026-01-31"), id="whole month"),
        pytest.param("2026-11", ("2026-11-01", "2026-11-21", "2026-10-01", "2026-10-21"), id="running month"),
        pytest.param("2026-11-03..2026-11-05", ("2026-11-03", "2026-11-05", "2026-10-31", "2026-11-02"), id="range"),
    ],
)
def test_a_period_and_what_it_is_compared_with(text: str, expected: tuple[str, ...]) -> None:
    found = parse_period(text, NOW)

    assert expected == (
        found.first,
        found.last,
        format_date(found.before_start),
        format_date(found.before_end - 1),
    )


def test_a_long_month_so_far_is_compared_with_a_short_month_at_most() -> None:
    found = parse_period("month", unix("2026-03-30T12:00:00Z"))

    assert ("2026-02-01", "2026-02-28") == (
        format_date(found.before_start),
        format_date(found.before_end - 1),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fortnight", "'fortnight' is not one of: day, week, month"),
        ("2026-11-05..2026-11-03", "2026-11-05 is after --period TO 2026-11-03; swap them"),
        ("2026-11-05..2026-11-22", "2026-11-22 is in the future; today is 2026-11-21"),
        ("2026-11-05..2026-11-31", "'2026-11-31' is not a date such as"),
        ("2026-13", "'2026-13-01' is not a date"),
        ("1999-01", "is before 2020-01-01"),
        ("2026-W12-1..2026-11-01", "'2026-W12-1' is not a date"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(PeriodError) as caught:
        parse_period(text, NOW)

    assert message in str(caught.value)

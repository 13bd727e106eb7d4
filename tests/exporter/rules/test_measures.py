# SPDX-License-Identifier: Apache-2.0
"""Amounts with units, and the panels that measures point to."""

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from openai_exporter.rules.measures import MEASURES, Kind, format_amount, parse_amount, plain


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        (Kind.SECONDS, "5s", 5.0),
        (Kind.SECONDS, "800ms", 0.8),
        (Kind.SECONDS, "2.5s", 2.5),
        (Kind.SECONDS, "1m30s", 90.0),
        (Kind.SECONDS, " 5s ", 5.0),
        (Kind.RATIO, "5%", 0.05),
        (Kind.RATIO, "0.1 %", 0.001),
        (Kind.RATIO, 0.05, 0.05),
        (Kind.RATIO, "0.05", 0.05),
        (Kind.RATIO, 1, 1.0),
        (Kind.PER_MINUTE, "100/min", 100.0),
        (Kind.PER_MINUTE, "2/s", 120.0),
        (Kind.PER_MINUTE, "6/h", 0.1),
        (Kind.PER_MINUTE, "0.1/minute", 0.1),
        (Kind.PER_MINUTE, "1440/day", 1.0),
        (Kind.PER_SECOND, 20, 20.0),
        (Kind.PER_SECOND, "20 tokens/s", 20.0),
        (Kind.PER_SECOND, "600/min", 10.0),
        (Kind.PER_HOUR, "2M", 2e6),
        (Kind.PER_HOUR, "500k/h", 5e5),
        (Kind.PER_HOUR, 50000, 5e4),
        (Kind.PER_HOUR, "1k/min", 6e4),
        (Kind.USD, "25 USD", 25.0),
        (Kind.USD, "$25", 25.0),
        (Kind.USD, "2.50", 2.5),
        (Kind.USD, 25, 25.0),
    ],
)
def test_an_amount_is_read_in_the_base_unit(kind: Kind, written: str | float, expected: float) -> None:
    assert expected == parse_amount(kind, written)


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        (Kind.SECONDS, 5, "write 5s"),
        (Kind.SECONDS, "5", "write 5s"),
        (Kind.SECONDS, "5 apples", "such as 5s, 2.5s or 800ms"),
        (Kind.SECONDS, "-5s", "such as 5s, 2.5s or 800ms"),
        (Kind.RATIO, 5, "did you mean 5%?"),
        (Kind.RATIO, "150%", "at most 100%"),
        (Kind.RATIO, "5 percent", "such as 5% or 0.05"),
        (Kind.PER_MINUTE, 100, "with its unit, such as 100/min"),
        (Kind.PER_MINUTE, "100/week", "with its unit, such as 100/min"),
        (Kind.PER_HOUR, "2 million", "such as 50000, 500k, 2M"),
        (Kind.PER_HOUR, "1.2.3", "such as 50000, 500k, 2M"),
        (Kind.USD, "25 EUR", "in US dollars"),
        (Kind.USD, "1,00", "in US dollars"),
        (Kind.USD, -1, "not negative"),
        (Kind.USD, float("nan"), "in US dollars, such as 25 USD"),
        (Kind.PER_SECOND, float("inf"), "a number per second"),
        (Kind.RATIO, True, "such as 5% or 0.05"),
        (Kind.RATIO, None, "such as 5% or 0.05"),
        (Kind.RATIO, [], "such as 5% or 0.05"),
    ],
)
def test_what_is_no_amount_is_refused_with_what_is_allowed(kind: Kind, written: object, said: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_amount(kind, written)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", Kind)
@given(value=st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.booleans(), st.none()))
def test_no_value_raises_anything_else(kind: Kind, value: object) -> None:
    try:
        assert parse_amount(kind, value) >= 0
    except ValueError as error:
        assert str(error).startswith("must be a")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.SECONDS, 0.8, "800ms"),
        (Kind.RATIO, 0.05, "5%"),
        (Kind.RATIO, 0.001, "0.1%"),
        (Kind.PER_MINUTE, 0.1, "0.1 per minute"),
        (Kind.PER_HOUR, 2e6, "2000000 per hour"),
        (Kind.USD, 25.5, "25.5 USD"),
    ],
)
def test_an_amount_is_shown_as_people_write_it(kind: Kind, value: float, expected: str) -> None:
    assert expected == format_amount(kind, value)


@given(st.floats(min_value=0, max_value=1e12))
def test_a_plain_number_has_no_exponent_and_keeps_its_value(value: float) -> None:
    text = plain(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=1e-9, abs=1e-9)


DASHBOARDS = Path(__file__).parents[3] / "dashboards" / "generated"
PANELS = {
    "time_to_first_token": "Time to first token",
    "error_rate": "Failures by type",
    "throughput": "Each probe",
    "tokens_per_second": "Output tokens per second",
    "headroom": "Rate limit headroom",
    "requests_per_hour": "Requests per hour",
    "tokens_per_hour": "Input and output tokens",
    "cost_per_hour": "Spend and expected range",
    "cost_per_day": "Cost per day",
    "cost_per_month": "Month to date and forecast",
    "probe_cost_per_day": "Cost of probing",
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_points_to_the_panel_that_shows_it(name: str) -> None:
    measure = MEASURES[name]
    document = json.loads((DASHBOARDS / f"{measure.dashboard.removeprefix('openai-')}.json").read_text())
    panels = [each for panel in document["panels"] for each in (panel, *panel.get("panels", []))]
    titles = {panel["id"]: panel["title"] for panel in panels}

    assert titles[measure.panel] == PANELS.get(name, "Latency")

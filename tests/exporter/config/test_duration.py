# SPDX-License-Identifier: Apache-2.0
"""Durations in Prometheus' form."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.config.duration import PATTERN, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("15s", 15.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("1w2d", 777_600.0),
        ("1y", 31_536_000.0),
        ("1m500ms", 60.5),
        ("0", 0.0),
        ("0s", 0.0),
        (9.5, 9.5),
        (3, 3.0),
        (0.0004, 0.0),
    ],
)
def test_a_duration_is_read_in_seconds(written: str | float, seconds: float) -> None:
    assert seconds == parse_duration(written)


@pytest.mark.parametrize(
    "written",
    [
        *("", "s", "5", "5 s", "5min", "1.5s", "30s1m", "-5s", "\u0665s", "5s ", "101y", "9" * 400 + "s"),
        *(-1, -0.5, float("nan"), float("inf"), 10**400, True, None, [], {}),
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_with_what_is_allowed(written: object) -> None:
    with pytest.raises(ValueError, match="a duration such as 15s, 500ms or 1h30m"):
        parse_duration(written)


@given(st.integers(0, 3_153_600_000_000))
def test_the_written_form_reads_back_to_the_millisecond(milliseconds: int) -> None:
    written = format_duration(milliseconds / 1000)
    assert milliseconds / 1000 == parse_duration(written)
    assert re.search(PATTERN, written)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.from_regex(PATTERN, fullmatch=True)))
def test_anything_is_a_duration_or_a_value_error(written: object) -> None:
    try:
        seconds = parse_duration(written)
    except ValueError:
        return
    assert seconds >= 0
    assert seconds == parse_duration(format_duration(seconds))

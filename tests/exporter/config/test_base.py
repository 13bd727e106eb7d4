# SPDX-License-Identifier: Apache-2.0
"""Patterns of the user: what RE2 takes, and that none of them can stop the exporter."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from openai_exporter.config.base import PATTERN, PatternError, compiled, format_duration, parse_duration

# Durations in Prometheus' form.


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


# Patterns of the user: what RE2 takes, and that none of them can stop the exporter.


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)pong", "Ping? PONG!", True),
        ("^pong$", "pong", True),
        ("^pong$", "pong\n", False),
        ("caf\u00e9", "un caf\u00e9", True),
        (r"\p{Greek}", "\u03c9", True),
        (r"\w", "\u00e9", False),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("", "", True),
    ],
)
def test_a_pattern_means_what_it_means_in_re2(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern)(text) is found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(pong", "missing ): (pong"),
        ("a(?=b)", "invalid perl operator: (?="),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("((a{100}){100}){100}", "invalid repetition size"),
    ],
)
def test_what_re2_does_not_take_is_refused_with_its_words(pattern: str, why: str) -> None:
    with pytest.raises(PatternError) as raised:
        compiled(pattern)
    assert why in str(raised.value)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}b", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_would_backtrack_for_ever_ends(pattern: str) -> None:
    """With a backtracking engine this test would not come to an end."""
    assert not compiled(pattern)("a" * 20_000 + "!")


def test_half_a_surrogate_pair_is_text_like_any_other() -> None:
    assert compiled("pong")("\ud83d pong")


@settings(max_examples=200)
@given(pattern=st.text(max_size=30), text=st.text(max_size=200))
def test_any_pattern_is_refused_or_matches_without_another_error(pattern: str, text: str) -> None:
    try:
        made = compiled(pattern)
    except PatternError as error:
        assert str(error)
    else:
        made(text)

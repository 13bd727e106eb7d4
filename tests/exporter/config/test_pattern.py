# SPDX-License-Identifier: Apache-2.0
"""Patterns of the user: what RE2 takes, and that none of them can stop the exporter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openai_exporter.config.pattern import PatternError, compiled


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
    assert compiled(pattern).found_in(text) is found


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
    assert not compiled(pattern).found_in("a" * 20_000 + "!")


def test_half_a_surrogate_pair_is_text_like_any_other() -> None:
    assert compiled("pong").found_in("\ud83d pong")


@settings(max_examples=200)
@given(pattern=st.text(max_size=30), text=st.text(max_size=200))
def test_any_pattern_is_refused_or_matches_without_another_error(pattern: str, text: str) -> None:
    try:
        made = compiled(pattern)
    except PatternError as error:
        assert str(error)
    else:
        made.found_in(text)

# SPDX-License-Identifier: Apache-2.0
"""Figures as people read them."""

import pytest
from hypothesis import given, strategies as st

from openai_exporter.model import StreamTiming, Tokens
from openai_exporter.web import html


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "0 ms"), (0.00031, "0.3 ms"), (0.4123, "412 ms"), (0.9996, "1.00 s"),
     (1.239, "1.24 s"), (12.34, "12.3 s"),
     (125, "2 min 5 s")],
)  # fmt: skip
def test_seconds(value: float | None, expected: str) -> None:
    assert expected == html.seconds(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (97_500, "1 d 3 h"),
    ],
)
def test_span(value: float, expected: str) -> None:
    assert expected == html.span(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.0123"), (0.000021, "$0.000021"),
     (-3.5, "-$3.50")],
)  # fmt: skip
def test_dollars(value: float | None, expected: str) -> None:
    assert expected == html.dollars(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, html.UNKNOWN), (0, "0"), (8431, "8,431"), (12_345, "12.3 k"), (998_877_665, "999 M"), (2.5e9, "2.5 G"),
     (999_999, "1,000 k"), (3e12, "3,000 G")],
)  # fmt: skip
def test_count(value: float | None, expected: str) -> None:
    assert expected == html.count(value)


def test_ago() -> None:
    assert ["never", "just now", "12 s ago", "just now"] == [
        html.ago(None, 100), html.ago(99.5, 100), html.ago(88, 100), html.ago(105, 100)
    ]  # fmt: skip


@given(st.floats(0, 1e9))
def test_every_duration_has_words_without_scientific_notation(value: float) -> None:
    for text in (html.seconds(value), html.span(value), html.count(value), html.dollars(value)):
        assert "e+" not in text
        assert text


@pytest.mark.parametrize(
    ("first", "tokens", "expected"),
    [
        (0.412, Tokens(output=16, reasoning=16), "412 ms"),
        (None, Tokens(output=16, reasoning=16), "none: all 16 output tokens went into reasoning"),
        (None, Tokens(output=16, reasoning=8), html.UNKNOWN),
        (None, None, html.UNKNOWN),
    ],
)
def test_a_missing_first_token_says_why(first: float | None, tokens: Tokens | None, expected: str) -> None:
    assert expected == html.first_token(StreamTiming(0.1, first), tokens)

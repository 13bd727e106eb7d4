# SPDX-License-Identifier: Apache-2.0
"""Label values are bounded, on one line, and stay apart."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.exposition.labels import MAX_LABEL_VALUE, LabelWriter, clean, escape

ANY = st.text(st.characters(codec=None), max_size=400)


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("", ""),
        ("gpt-5.4-mini", "gpt-5.4-mini"),
        ("Müller, 東京 🚀", "Müller, 東京 🚀"),
        ("two\nlines", "two␊lines"),
        ("\r\t\x00\x1b[31m\x7f", "␍␉␀␛[31m␡"),
        ("\x85\x9f\u2028\u2029", "\ufffd" * 4),
        ("\ud800", "\ufffd"),
        ("abc\u202edef", "abc\ufffddef"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_a_value_keeps_what_can_be_shown_and_marks_what_cannot(value: str, cleaned: str) -> None:
    assert cleaned == clean(value)


def test_values_that_differ_only_past_the_bound_stay_two_series() -> None:
    one, two = clean("x" * 300 + "1"), clean("x" * 300 + "2")
    assert one != two
    assert (len(one), one[:243], one[243]) == (MAX_LABEL_VALUE, "x" * 243, "…")


def test_a_value_of_the_largest_size_is_kept() -> None:
    assert clean("x" * MAX_LABEL_VALUE) == "x" * MAX_LABEL_VALUE


@given(ANY)
def test_every_value_becomes_bounded_text_on_one_line(value: str) -> None:
    cleaned = clean(value)
    assert len(cleaned) <= MAX_LABEL_VALUE
    assert clean(cleaned) == cleaned
    assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, cleaned))
    cleaned.encode()
    assert bool(value) == bool(cleaned)


@given(ANY)
def test_an_escaped_value_reads_back(value: str) -> None:
    escaped = escape(value)
    assert "\n" not in escaped
    assert clean(value) == escaped.replace(r"\"", '"').replace(r"\\", "\\")


def test_a_label_set_leaves_out_empty_values() -> None:
    write = LabelWriter(("a", "b")).write
    assert [write(("1", "2")), write(("", "2")), write(("", ""))] == ['{a="1",b="2"} ', '{b="2"} ', " "]


def test_the_same_value_under_another_name_is_another_label() -> None:
    write = LabelWriter(("a", "b")).write
    assert write(("x", "x")) == '{a="x",b="x"} '
    assert write(("x", "x")) is write(("x", "x"))


@pytest.mark.parametrize("values", [(), ("1",), ("1", "2", "3")])
def test_a_label_set_of_another_length_is_an_error(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        LabelWriter(("a", "b")).write(values)

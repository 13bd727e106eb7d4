# SPDX-License-Identifier: Apache-2.0
"""Results of usage buckets are decoded strictly where it matters and leniently where the API may grow."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.usage.rows import OPERATIONS, JsonText, MalformedError, RowDecoder, TooLargeError

# JSON that arrives in any pieces reads like JSON that is there at once.

values_ = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def pieces(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The text cut into pieces of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        yield text[at : at + size]
        at, turn = at + size, turn + 1


def walked(text: JsonText) -> dict[str, Any]:
    """An object of arrays, read element by element."""
    found: dict[str, Any] = {}
    for name in text.members("top"):
        found[name] = [text.value() for _ in text.elements(name)]
    text.end()
    return found


@given(
    document=st.dictionaries(st.text(max_size=5), st.lists(values_, max_size=5), max_size=5),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    indent=st.sampled_from([None, 0, 3]),
    ascii_=st.booleans(),
)
def test_any_document_in_any_pieces_is_what_it_is(
    document: dict[str, Any], sizes: list[int], indent: int | None, ascii_: bool
) -> None:
    encoded = json.dumps(document, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return
    assert document == walked(JsonText(pieces(encoded, sizes)))


@given(
    document=st.dictionaries(
        st.text("ab", max_size=2), st.lists(values_, max_size=3), min_size=1, max_size=3
    ),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_a_document_that_ends_too_early_is_malformed(document: dict[str, Any], cut: float) -> None:
    encoded = json.dumps(document).encode()
    with pytest.raises(MalformedError):
        walked(JsonText(iter([encoded[: math.floor(len(encoded) * cut)]])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "top: expected an object, the answer is empty"),
        ("   ", "top: expected an object, the answer is empty"),
        ('{"a": ', "a: expected an array, the answer ends there"),
        ("[]", "top: expected an object, got '[]'"),
        ("<html>", "top: expected an object, got '<html>'"),
        ('{"a": 1}', "a: expected an array, got '1}'"),
        ('{"a": []} x', "the answer goes on after its end"),
        ('{"a": [NaN]}', "the answer cannot be decoded: NaN is not JSON"),
        ('{"a": [1 2]}', "the answer is not JSON: unexpected '2]}' after 2 values"),
        ('{"a" []}', "the answer is not JSON: unexpected '[]}' after 1 values"),
        ("{1: []}", "the answer is not JSON: unexpected ': []}' after 1 values"),
        ('{"a": [' + "[" * 100_000, "the answer cannot be decoded: maximum recursion depth exceeded"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_json_is_named(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as found:
        walked(JsonText(iter([text.encode()])))
    assert str(found.value).startswith(message)


def test_bytes_that_are_not_utf8_are_malformed() -> None:
    with pytest.raises(MalformedError, match="not UTF-8"):
        walked(JsonText(iter([b'{"a": ["\xff"]}'])))


def test_fractions_stay_decimal() -> None:
    assert {"a": [Decimal("0.1")]} == walked(JsonText(iter([b'{"a": [0.1]}'])))


def test_padding_without_end_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        walked(JsonText(iter([b'{"a": []}', *([b" " * 65_536] * 1000)])))


def test_one_value_without_end_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        walked(JsonText(iter([b'{"a": ["', *([b"x" * 65_536] * 1000)])))


def test_a_page_of_many_values_may_be_large() -> None:
    row = json.dumps({"x": "y" * 500}).encode()
    parts = [b'{"a": [', *([row + b","] * 40_000), row, b"]}"]
    assert 40_001 == len(walked(JsonText(iter(parts)))["a"])


# Results of usage buckets are decoded strictly where it matters and leniently where the API may grow.

GROUP_BY = ("project_id", "model", "batch")
GOOD: dict[str, Any] = {
    "object": "organization.usage.completions.result",
    "input_tokens": 100,
    "output_tokens": 20,
    "num_model_requests": 3,
    "project_id": "proj_1",
    "model": "m",
    "batch": False,
}


def decoder() -> RowDecoder:
    return RowDecoder(OPERATIONS["completions"], GROUP_BY, lambda result, start: (7, 8))


def test_labels_come_in_the_order_of_the_grouping_and_values_in_that_of_the_columns() -> None:
    result = GOOD | {"input_cached_tokens": 40, "input_audio_tokens": 5, "a_new_field": {"x": 1}}
    assert (("proj_1", "m", "false"), (3, 100, 20, 40, 0, 5, 0, 0, 0, 7, 8)) == decoder().decode(result, 0)


@pytest.mark.parametrize("absent", [{}, {"input_cached_tokens": None}], ids=["absent", "null"])
def test_an_optional_field_that_is_missing_is_zero(absent: dict[str, Any]) -> None:
    assert 0 == decoder().decode(GOOD | absent, 0)[1][3]


@pytest.mark.parametrize("value", [None, "absent"])
def test_a_dimension_that_is_null_is_the_empty_label(value: str | None) -> None:
    result = GOOD | {"project_id": None}
    if value == "absent":
        del result["project_id"]
    assert ("", "m", "false") == decoder().decode(result, 0)[0]


def test_equal_labels_are_one_object() -> None:
    rows = decoder()
    assert rows.decode(GOOD, 0)[0] is rows.decode(dict(GOOD), 0)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_tokens": "100"}, "input_tokens: expected a whole number of at most 1e+15, got '100'"),
        ({"input_tokens": 1.5}, "input_tokens: expected a whole number of at most 1e+15, got 1.5"),
        ({"input_tokens": True}, "input_tokens: expected a whole number of at most 1e+15, got True"),
        ({"input_tokens": 10**16}, f"input_tokens: expected a whole number of at most 1e+15, got {10**16}"),
        ({"input_tokens": {"a": 1}}, "input_tokens: expected a whole number of at most 1e+15, got {'a': 1}"),
        ({"output_tokens": None}, "output_tokens: is missing"),
        (
            {"input_cached_tokens": []},
            "input_cached_tokens: expected a whole number of at most 1e+15, got []",
        ),
        ({"project_id": 7}, "project_id: expected a string or null, got 7"),
        ({"model": ["m"]}, "model: expected a string or null, got ['m']"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_type_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError) as found:
        decoder().decode(GOOD | change, 0)
    assert message == str(found.value)


@pytest.mark.parametrize("result", [None, "x", 3, []], ids=repr)
def test_a_result_that_is_no_object_is_refused(result: object) -> None:
    with pytest.raises(MalformedError, match="expected an object"):
        decoder().decode(result, 0)

# SPDX-License-Identifier: Apache-2.0
"""Results of usage buckets are decoded strictly where it matters and leniently where the API may grow."""

from typing import Any

import pytest

from openai_exporter.usage.rows import OPERATIONS, MalformedError, RowDecoder

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

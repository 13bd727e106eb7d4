# SPDX-License-Identifier: Apache-2.0
"""Decoding of usage and cost queries, and pages as JSON."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from starlette.datastructures import QueryParams

from openai_simulator.errors import ApiError
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.query import COST_LIMITS, USAGE_LIMITS, WIDTHS, Query, Rules, bucket, decode, page

NOW = 1795251600.0
MIDNIGHT = 1795219200
_COMPLETIONS, _IMAGES = OPERATIONS["completions"], OPERATIONS["images"]
RULES = Rules(USAGE_LIMITS, _COMPLETIONS.dimensions, _COMPLETIONS.filters, _COMPLETIONS.allowed)
IMAGES = Rules(USAGE_LIMITS, _IMAGES.dimensions, _IMAGES.filters, _IMAGES.allowed)
COSTS = Rules(COST_LIMITS, ("project_id",), {"project_ids": "project_id"}, {})


def ask(text: str, rules: Rules = RULES, now: float = NOW) -> Query:
    return decode(QueryParams(text), rules, now)


BUCKETS = [
    (f"start_time={MIDNIGHT}", MIDNIGHT, 1),
    (f"start_time={MIDNIGHT - 86400 * 30}", MIDNIGHT - 86400 * 30, 7),
    (f"start_time={MIDNIGHT - 1}", MIDNIGHT - 86400, 2),
    (f"start_time={MIDNIGHT}&bucket_width=1h", MIDNIGHT, 10),
    (f"start_time={MIDNIGHT}&bucket_width=1m", MIDNIGHT, 60),
    (f"start_time={MIDNIGHT}&end_time={MIDNIGHT + 86400}", MIDNIGHT, 1),
    (f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT}", MIDNIGHT - 86400, 1),
    (f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT + 1}", MIDNIGHT - 86400, 2),
    (f"start_time={MIDNIGHT}&end_time={MIDNIGHT + 900 * 86400}&limit=31", MIDNIGHT, 1),
    (
        f"start_time={MIDNIGHT - 86400}&end_time={MIDNIGHT}&bucket_width=1h&limit=168",
        MIDNIGHT - 86400,
        24,
    ),
]


def test_buckets_lie_on_the_utc_grid() -> None:
    for text, first, count in BUCKETS:
        starts = ask(text).starts()
        assert (first, count) == (starts[0], len(starts)), text


def test_a_start_in_the_future_has_no_buckets() -> None:
    query = ask(f"start_time={MIDNIGHT + 40 * 86400}")
    assert list(query.starts()) == []
    assert query.next_page() is None


@pytest.mark.parametrize("name", ["group_by", "group_by[]"])
def test_lists_are_taken_with_and_without_brackets(name: str) -> None:
    assert ask(f"start_time=1&{name}=model&{name}=batch").group_by == {"model", "batch"}


def test_filters_are_decoded_by_their_dimension() -> None:
    query = ask("start_time=1&models=a&models[]=b&batch=true&project_ids=p")
    assert query.filters == {"model": {"a", "b"}, "batch": {True}, "project_id": {"p"}}


REFUSED = [
    ("", RULES, "start_time", "missing_required_parameter", "Missing required parameter: 'start_time'."),
    ("start_time=x", RULES, "start_time", "invalid_type", "expected an integer"),
    ("start_time=1.5", RULES, "start_time", "invalid_type", "expected an integer"),
    ("start_time=-5", RULES, "start_time", "invalid_value", "unix seconds"),
    ("start_time=1&start_time=2", RULES, "start_time", "invalid_value", "one value"),
    ("start_time=5&end_time=5", RULES, "end_time", "invalid_value", "after start_time"),
    ("start_time=5&end_time=", RULES, "end_time", "invalid_type", "expected an integer"),
    ("start_time=5&bucket_width=1w", RULES, "bucket_width", "invalid_value", "'1m', '1h', '1d'"),
    ("start_time=5&bucket_width=1h", COSTS, "bucket_width", "invalid_value", "'1d'"),
    ("start_time=5&limit=0", RULES, "limit", "integer_below_min_value", ">= 1"),
    ("start_time=5&limit=32", RULES, "limit", "integer_above_max_value", "<= 31"),
    ("start_time=5&limit=169&bucket_width=1h", RULES, "limit", "integer_above_max_value", "<= 168"),
    ("start_time=5&limit=1441&bucket_width=1m", RULES, "limit", "integer_above_max_value", "<= 1440"),
    ("start_time=5&limit=181", COSTS, "limit", "integer_above_max_value", "<= 180"),
    ("start_time=5&limit=many", RULES, "limit", "invalid_type", "expected an integer"),
    ("start_time=5&group_by=size", RULES, "group_by", "invalid_value", "'project_id'"),
    ("start_time=5&group_by=model,batch", RULES, "group_by", "invalid_value", "'model,batch'"),
    ("start_time=5&batch=yes", RULES, "batch", "invalid_value", "'true', 'false'"),
    ("start_time=5&sizes=1x1", IMAGES, "sizes", "invalid_value", "'1024x1024'"),
    ("start_time=5&models=a", COSTS, "models", "unknown_parameter", "Unknown parameter: 'models'."),
    ("start_time=5&page=page_xyz", RULES, "page", "invalid_value", "cursor"),
    ("start_time=5&page=", RULES, "page", "invalid_value", "cursor"),
    ("start_time=5&page=page_é", RULES, "page", "invalid_value", "cursor"),
]  # fmt: skip


def test_what_the_api_would_not_take_is_refused() -> None:
    for text, rules, param, code, words in REFUSED:
        with pytest.raises(ApiError) as caught:
            ask(text, rules)
        error: Any = caught.value
        expected = (400, "invalid_request_error", param, code)
        assert expected == (error.status, error.type, error.param, error.code), text
        assert words in error.message, text


@given(
    width=st.sampled_from(sorted(WIDTHS)),
    back=st.integers(1, 3_000_000),
    limit=st.integers(1, 31),
    late=st.integers(0, 100_000),
)
def test_pages_are_together_the_whole_range_once(width: str, back: int, limit: int, late: int) -> None:
    text = f"start_time={int(NOW) - back * WIDTHS[width] // 86400}&bucket_width={width}&limit={limit}"
    query = ask(text)
    starts, cursor = [*query.starts()], query.next_page()
    expected = range(query.start, query.end, WIDTHS[width])
    for _ in range(len(expected)):
        if cursor is None:
            break
        page = ask(f"{text}&page={cursor}", now=NOW + late)  # time goes on between pages
        starts += page.starts()
        cursor = page.next_page()
    assert cursor is None
    assert starts == [*expected]


def test_a_range_that_fills_its_page_exactly_has_no_next_page() -> None:
    text = f"start_time={MIDNIGHT - 7 * 86400}&end_time={MIDNIGHT}"
    assert ask(text).next_page() is None
    assert ask(f"{text}&limit=6").next_page() is not None


def test_a_cursor_looks_like_the_real_ones() -> None:
    cursor = ask(f"start_time={MIDNIGHT - 86400 * 30}").next_page()
    assert cursor is not None
    assert cursor.startswith("page_AAAAA")
    assert len(cursor) == 33


@pytest.mark.parametrize("change", ["&limit=3", "&group_by=model", "&bucket_width=1h", "&models=x"])
def test_a_cursor_is_good_for_its_own_query_only(change: str) -> None:
    text = f"start_time={MIDNIGHT - 86400 * 30}"
    with pytest.raises(ApiError, match="other parameters"):
        ask(f"{text}{change}&page={ask(text).next_page()}")


@given(page=st.text(max_size=60))
def test_no_cursor_breaks_the_decoder(page: str) -> None:
    with pytest.raises(ApiError):
        decode(QueryParams({"start_time": "5", "page": page}), RULES, NOW)


def test_pages_are_joined_as_json() -> None:
    assert page([bucket(0, 60, []), bucket(60, 120, ["{}"])], None) == (
        b'{"object":"page","data":[{"object":"bucket","start_time":0,"end_time":60,"results":[]},'
        b'{"object":"bucket","start_time":60,"end_time":120,"results":[{}]}],"has_more":false,"next_page":null}'
    )

# SPDX-License-Identifier: Apache-2.0
"""Rate-limit headers in every spelling that was seen, and in none."""

import math

import pytest
from hypothesis import given, strategies as st

from openai_exporter.model import RateLimit
from openai_exporter.probe.reading import Headers, parse_count, parse_seconds, read_headers

HEADER = st.text(st.characters(max_codepoint=255), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12ms", 0.012),
        ("905ms", 0.905),
        ("8.64s", 8.64),
        ("1s", 1.0),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("4h30m15s", 16215.0),
        ("23h47m36.648s", 85656.648),
        ("0s", 0.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("1h", 3600.0),
        ("42", 42.0),
        (" 60 ", 60.0),
        ("0.5", 0.5),
    ],
)
def test_reset_times_are_go_durations_or_seconds(text: str, expected: float) -> None:
    assert parse_seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", [None, "", "None", "-1", "1d", "s", "1s2", "abc", "1 s", "1e3", "nan", "inf", "9" * 400]
)
def test_what_is_no_duration_counts_as_absent(text: str | None) -> None:
    assert parse_seconds(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("60", 60.0), ("0", 0.0), ("150000", 150000.0), ("1.5", 1.5), (None, None), ("None", None), ("-1", None),
     ("", None), ("1,000", None), ("٣", None), ("0x10", None)],
)  # fmt: skip
def test_counts(text: str | None, expected: float | None) -> None:
    assert expected == parse_count(text)


def read(**headers: str) -> Headers:
    """What headers say; an underscore in a name stands for a hyphen."""
    return read_headers([(name.replace("_", "-"), value) for name, value in headers.items()], 1_000_000.0)


def test_all_nine_headers_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-project-tokens": "60000",
        "x-ratelimit-remaining-project-tokens": "57000",
        "x-ratelimit-reset-project-tokens": "3s",
    }
    assert read_headers(headers.items(), 0.0).rate_limits == (
        RateLimit("requests", 60, 59, 1),
        RateLimit("tokens", 150000, 149984, 360),
        RateLimit("project_tokens", 60000, 57000, 3),
    )


def test_azure_sends_some_of_them_with_plain_seconds_and_odd_values() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "-1",
        "x-ratelimit-remaining-tokens": "9000",
        "x-ratelimit-reset-tokens": "17",
    }
    assert read_headers(headers.items(), 0.0).rate_limits == (RateLimit("tokens", None, 9000, 17),)


def test_without_headers_there_are_no_limits() -> None:
    assert read_headers([], 0.0).rate_limits == ()


def test_the_wait_that_the_api_asks_for_is_read_along() -> None:
    assert read(retry_after="7", retry_after_ms="1500").retry_after == 1.5
    assert read().retry_after is None


def test_processing_time_comes_in_milliseconds_also_through_a_gateway() -> None:
    assert read(openai_processing_ms="25").server_processing == 0.025
    assert read_headers([("llm_provider-openai-processing-ms", "250")], 0.0).server_processing == 0.25
    assert read(openai_processing_ms="fast").server_processing is None


def test_the_request_id_is_taken_from_where_the_server_puts_it() -> None:
    assert read(apim_request_id="a", x_request_id="req_1").request_id == "req_1"
    assert read(apim_request_id="a", x_request_id="").request_id == "a"
    assert read().request_id == ""


def test_of_a_repeated_header_the_first_counts() -> None:
    assert read_headers([("x-request-id", "a"), ("x-request-id", "b")], 0.0).request_id == "a"


@given(HEADER)
def test_no_header_value_upsets_a_parser_or_yields_a_number_that_is_none(text: str) -> None:
    for value in (parse_seconds(text), parse_count(text)):
        assert value is None or (value >= 0 and math.isfinite(value))


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds / 1000}s"
    assert parse_seconds(text) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)

# SPDX-License-Identifier: Apache-2.0
"""Headers, error objects and statuses of foreign servers are read without trusting them."""

import json
import math
import subprocess
import sys
from email.utils import formatdate

import pytest
from hypothesis import given, strategies as st

from openai_exporter.client.exchange import (
    LONGEST_WAIT,
    ApiError,
    error_object,
    http_date,
    refusal,
    retry_after,
    status_outcome,
    status_reason,
    unix_time,
)
from openai_exporter.errors import REASONS
from openai_exporter.probe.judge import OUTCOMES

NOW = 1_000_000.0
OVERFLOW = "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"

DATES = [
    ("Sat, 21 Nov 2026 09:30:00 GMT", 1_795_253_400.0),
    ("Saturday, 21-Nov-26 09:30:00 GMT", 1_795_253_400.0),
    ("Sat Nov 21 09:30:00 2026", 1_795_253_400.0),
    ("Sat, 21 Nov 2026 09:30:00 -0000", 1_795_253_400.0),
    ("Sat, 21 Nov 2026 10:30:00 +0100", 1_795_253_400.0),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    (OVERFLOW, None),
    ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ("Mon, 32 Jan 2026 00:00:00 GMT", None),
    ("Mon, 01 Jan 2026 25:00:00 GMT", None),
    ("", None),
    (" ", None),
    ("soon", None),
    ("0", None),
    ("٢١ Nov ٢٠٢٦", None),
]


@pytest.mark.parametrize(("text", "expected"), DATES, ids=[row[0] for row in DATES])
def test_a_date_is_unix_seconds_and_anything_else_is_none(text: str, expected: float | None) -> None:
    assert expected == http_date(text)


DATE_PARTS = st.lists(
    st.sampled_from(
        ["Mon,", "01", "Jan", "2026", "00:00:00", "24:60:61", "GMT", "+9999", "-", ",", ":", "é", "9" * 20]
    ),
    max_size=9,
).map(" ".join)


@given(st.one_of(st.text(), DATE_PARTS))
def test_no_text_upsets_the_reader_of_dates_and_waits(text: str) -> None:
    seconds = http_date(text)
    assert seconds is None or math.isfinite(seconds)
    for headers in ({"retry-after": text}, {"retry-after-ms": text}, {"retry-after": "Date", "date": text}):
        wait = retry_after(headers, NOW)
        assert wait is None or 0.0 <= wait <= LONGEST_WAIT


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "30"}, 30.0),
    ({"retry-after": " 1.5 "}, 1.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
    ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
    ({"retry-after": formatdate(NOW + 30, usegmt=True), "date": formatdate(NOW + 10, usegmt=True)}, 20.0),
    ({"retry-after": formatdate(NOW + 30, usegmt=True), "date": "yesterday"}, 30.0),
    ({"retry-after": formatdate(NOW + 10**9, usegmt=True)}, LONGEST_WAIT),
    ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
    ({"retry-after": "7", "retry-after-ms": "soon"}, 7.0),
    ({"retry-after": "7", "retry-after-ms": "-1"}, 7.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "1e9"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "٣"}, None),
    ({"retry-after": "3²"}, None),
    ({"retry-after": "172800"}, LONGEST_WAIT),
    ({"retry-after": "40000000"}, LONGEST_WAIT),
    ({"retry-after": "9" * 5000}, None),
    ({"retry-after-ms": "9" * 5000}, None),
    ({"retry-after": OVERFLOW}, None),
    ({"retry-after": "30", "date": OVERFLOW}, 30.0),
]


@pytest.mark.parametrize(("headers", "expected"), WAITS, ids=[str(row[0])[:90] for row in WAITS])
def test_the_wait_that_the_api_asks_for_is_bounded(headers: dict[str, str], expected: float | None) -> None:
    assert expected == retry_after(headers, NOW)


ERRORS: list[tuple[object, ApiError | None]] = [
    (
        {"error": {"message": "No.", "type": "t", "code": "c", "param": "p"}},
        ApiError(code="c", type="t", message="No.", param="p"),
    ),
    ({"error": {"code": 429, "message": None, "param": ["x"]}}, ApiError(code="429")),
    ({"error": "text"}, ApiError(message="text")),
    ({"object": "error", "message": "No.", "code": 404}, ApiError(code="404", message="No.")),
    ({"error": None}, None),
    ({"error": ""}, None),
    ({"error": {}}, None),
    ({"error": [1]}, ApiError(message="1")),
    ({"error": ["No.", "Not at all."]}, ApiError(message="No.; Not at all.")),
    ({"error": True, "message": "No."}, ApiError(message="No.")),
    ({"error": False, "message": "Yes."}, None),
    ({"success": False, "errors": [{"code": 7, "message": "No."}]}, ApiError("7", "", "No.")),
    ({"success": True, "errors": []}, None),
    ([{"error": {"message": "No."}}], ApiError(message="No.")),
    ({"message": "Hello."}, None),
    ({"data": []}, None),
    ([1], None),
    (None, None),
    ("error", None),
]


@pytest.mark.parametrize(("document", "expected"), ERRORS, ids=[str(row[0]) for row in ERRORS])
def test_an_error_object_is_read_in_each_of_its_forms(document: object, expected: ApiError | None) -> None:
    assert expected == error_object(document)


WORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "errors", "code", "loc", "type"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(WORDS)
def test_no_document_upsets_the_reader_of_errors_dates_or_spans(document: object) -> None:
    body = json.dumps(document).encode()
    error, stated = refusal(body)
    assert isinstance(error.message, str)
    assert stated is (error_object(document) is not None)
    assert unix_time(document) is None or isinstance(unix_time(document), float)


@given(st.binary(max_size=200))
def test_no_body_upsets_the_reader_of_refusals(body: bytes) -> None:
    assert isinstance(refusal(body)[0].message, str)


MEANINGS = [
    (204, "malformed", "malformed"),
    (301, "redirect", "redirect"),
    (400, "bad_request", "bad_request"),
    (401, "auth", "auth"),
    (402, "bad_request", "quota_exhausted"),
    (403, "permission", "permission"),
    (404, "not_found", "not_found"),
    (407, "bad_request", "proxy"),
    (408, "timeout", "timeout_total"),
    (409, "bad_request", "server_error"),
    (422, "bad_request", "bad_request"),
    (429, "rate_limited", "rate_limited"),
    (500, "server_error", "server_error"),
    (501, "server_error", "bad_request"),
    (502, "server_error", "server_error"),
    (503, "server_error", "overloaded"),
    (529, "server_error", "overloaded"),
    (999, "server_error", "server_error"),
]


@pytest.mark.parametrize(("status", "reason", "outcome"), MEANINGS, ids=[str(row[0]) for row in MEANINGS])
def test_a_status_means_the_same_to_every_reader(status: int, reason: str, outcome: str) -> None:
    assert (reason, outcome) == (status_reason(status), status_outcome(status))


def test_every_status_has_a_documented_reason_and_outcome() -> None:
    assert {status_reason(status) for status in range(1000)} <= set(REASONS)
    assert {status_outcome(status) for status in range(1000)} <= set(OUTCOMES)


def test_reading_answers_loads_no_client() -> None:
    code = (
        "import sys, openai_exporter.client.exchange;"
        "print([name for name in ('requests', 'urllib3', 'httpx2', 'openai', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert "[]" == done.stdout.strip()

# SPDX-License-Identifier: Apache-2.0
"""Log lines of a probe, and its record in the process' log."""

import logging

import pytest
from hypothesis import given, strategies as st

from openai_exporter.config.secret import Masker
from openai_exporter.probe.result import log_line, record
from tests.exporter.probe.results import result


def line(**values: object) -> str:
    """The line of one event with these values, after its time and name."""
    text = log_line((0.25, "status", values), Masker())
    return text.removeprefix("at=0.250000 event=status").removeprefix(" ")


def test_lines_have_a_time_an_event_and_bare_or_quoted_values() -> None:
    values = {"code": 200, "ok": True, "seconds": 0.5, "text": 'say "hi"', "key": "sk-proj-secret"}
    expected = r'at=0.250000 event=status code=200 ok=true seconds=0.500000 text="say \"hi\"" key=<secret>'
    assert expected == log_line((0.25, "status", values), Masker(["sk-proj-secret"]))


def test_what_is_unknown_is_left_out() -> None:
    assert line(address="", model=None, bytes=0, reused=False) == "bytes=0 reused=false"


@given(st.text(max_size=500))
def test_a_value_never_breaks_its_line(text: str) -> None:
    shown = line(value=text)
    assert shown.splitlines() in ([shown], [])
    assert len(shown) < 1000


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "a"), ("\t", '""'), ("a b", '"a b"'), ("a=b", '"a=b"'), ("a\\b", '"a\\\\b"')]
)
def test_quoting(text: str, shown: str) -> None:
    assert line(value=text) == f"value={shown}"


def test_a_failure_is_recorded_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")
    record(result())
    record(result("auth", status_code=401, message="no", request_id="req_1", error_code="invalid_api_key"))
    record(result("internal", status_code=0, message="boom"))
    assert [("probe failed", logging.INFO), ("probe failed", logging.ERROR)] == [
        (each.getMessage(), each.levelno) for each in caplog.records
    ]
    assert caplog.records[0].__dict__["fields"] == {
        "target": "api",
        "module": "chat",
        "model": "gpt-6-luna",
        "outcome": "auth",
        "status": 401,
        "duration_seconds": 0.5,
        "request_id": "req_1",
        "error_code": "invalid_api_key",
        "message": "no",
    }


def test_a_success_is_recorded_for_those_who_want_details(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "openai_exporter.probe")
    record(result())
    assert ["probe succeeded"] == [each.getMessage() for each in caplog.records]

# SPDX-License-Identifier: Apache-2.0
"""Log lines of a probe, and its record in the process' log."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.probe.redact import Redactor
from openai_exporter.probe.result import ProbeLog, located, quoted, record
from tests.exporter.probe.results import result


def test_lines_have_a_time_an_event_and_bare_or_quoted_values() -> None:
    log = ProbeLog(Redactor(["sk-proj-secret"]))
    log.add(
        0.25, "status", code=200, ok=True, seconds=0.5, text='say "hi"', nothing=None, key="sk-proj-secret"
    )
    expected = r'at=0.250000 event=status code=200 ok=true seconds=0.500000 text="say \"hi\"" key=<secret>'
    assert (expected,) == log.lines()


@given(st.text(max_size=500))
def test_a_value_never_breaks_its_line(text: str) -> None:
    log = ProbeLog(Redactor())
    log.add(0.0, "x", value=text)
    (line,) = log.lines()
    assert line.splitlines() == [line]
    assert len(line) < 1000


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "a"), ("", '""'), ("a b", '"a b"'), ("a=b", '"a=b"'), ("a\\b", '"a\\\\b"')]
)
def test_quoting(text: str, shown: str) -> None:
    assert shown == quoted(text)


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


def test_an_exception_is_told_in_one_line() -> None:
    with pytest.raises(KeyError) as raised:
        vars()["x"]
    assert located(raised.value).startswith("KeyError: 'x' at test_result.py:")
    assert located(ValueError("y")) == "ValueError: y"

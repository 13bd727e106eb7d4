# SPDX-License-Identifier: Apache-2.0
"""Log lines: one per record, fields quoted, secrets masked."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from openai_exporter.cli.common import StructuredFormatter, configure

KEY = "sk-proj-abcdefghijklmnop"


def _mask(text: str) -> str:
    return text.replace(KEY, "<secret>")


def _record(message: str, level: int = logging.INFO, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("openai_exporter.web.server", level, "", 0, message, (), None)
    made.created = 1_795_242_600.5
    made.__dict__.update(more)
    return made


def _line(record: logging.LogRecord, *, as_json: bool = False) -> str:
    return StructuredFormatter(_mask, as_json=as_json).format(record)


def test_a_logfmt_line_has_time_level_component_message_and_fields() -> None:
    fields = {"address": "[::]:9985", "count": 3, "seconds": 0.25, "ok": True, "none": None, "text": 'a "b" = c\n'}
    expected = (
        'ts=2026-11-21T06:30:00.500Z level=warn component=web.server msg="it listens" address=[::]:9985 '
        'count=3 seconds=0.25 ok=true none="" text="a \\"b\\" = c\\n"'
    )
    assert expected == _line(_record("it listens", logging.WARNING, fields=fields))


def test_a_json_line_has_the_same_fields() -> None:
    expected = {
        "ts": "2026-11-21T06:30:00.500Z",
        "level": "info",
        "component": "web.server",
        "msg": "listening",
        "count": 3,
        "ok": True,
    }
    assert expected == json.loads(_line(_record("listening", fields={"count": 3, "ok": True}), as_json=True))


@pytest.mark.parametrize("as_json", [False, True])
def test_an_exception_stays_on_the_line_and_is_masked(as_json: bool) -> None:
    try:
        raise RuntimeError(f"refused {KEY}")
    except RuntimeError as error:
        record = _record(f"failed {KEY}", exc_info=(type(error), error, error.__traceback__), fields={"key": KEY})
    line = _line(record, as_json=as_json)
    assert "\n" not in line
    assert "RuntimeError: refused <secret>" in line
    assert "Traceback (most recent call last)" in line
    assert KEY not in line


@given(st.text(), st.text())
def test_any_text_is_one_line_that_can_be_read_back(message: str, value: str) -> None:
    record = _record(message, fields={"value": value})
    line = _line(record)
    assert len(line.splitlines()) == 1
    found = re.search(r' value=("(?:[^"\\]|\\.)*"|\S+)$', line)
    assert found
    text = found[1]
    assert value == (json.loads(text) if text.startswith('"') else text)
    as_json = _line(record, as_json=True)
    assert value == json.loads(as_json)["value"]
    assert (line + as_json).isprintable()


@pytest.fixture
def _restored() -> Iterator[None]:
    root, ours, uvicorn = (logging.getLogger(), logging.getLogger("openai_exporter"), logging.getLogger("uvicorn"))
    before = root.handlers, root.level, ours.level, uvicorn.level, logging.raiseExceptions
    yield
    root.handlers, logging.raiseExceptions = before[0], before[4]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    uvicorn.setLevel(before[3])
    logging.captureWarnings(False)


@pytest.mark.usefixtures("_restored")
def test_libraries_speak_through_the_same_formatter() -> None:
    stream = io.StringIO()
    configure("info", "json", _mask, stream)
    logging.getLogger("openai_exporter.web").info("ours")
    logging.getLogger("openai_exporter.web").debug("too fine")
    logging.getLogger("uvicorn.error").error("theirs %s", KEY)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("asyncio").warning("slow")
    logging.getLogger("httpcore").info("noise")
    found = [(each["component"], each["msg"]) for each in map(json.loads, stream.getvalue().splitlines())]
    assert [("web", "ours"), ("uvicorn.error", "theirs <secret>"), ("asyncio", "slow")] == found

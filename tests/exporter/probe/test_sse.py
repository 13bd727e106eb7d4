# SPDX-License-Identifier: Apache-2.0
"""Event streams, cut anywhere: the same events, each stamped with the arrival that completed it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.model import Chunk
from openai_exporter.probe.sse import MAX_EVENTS, Event, parse_events

TEXT = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)
NAMES = st.sampled_from(["", "message", "response.created"])
NEWLINES = st.sampled_from(["\n", "\r\n", "\r"])


def chunks_of(body: bytes, cuts: list[int]) -> list[Chunk]:
    """Arrivals at 1, 2, 3 ... seconds, ending where the cuts are."""
    ends = sorted({min(cut, len(body)) for cut in cuts if cut > 0} | {len(body)})
    return [Chunk(float(number), end) for number, end in enumerate(ends, 1)]


def written(events: list[tuple[str, list[str]]], newline: str) -> tuple[bytes, list[int]]:
    """A stream, and the byte at which each event with data is complete."""
    body, ends = b"", []
    for name, data in events:
        lines = ([f"event: {name}"] if name else []) + [f"data: {line}" for line in data]
        body += (newline.join(lines) + newline * 2).encode() if lines else newline.encode()
        if data:
            ends.append(len(body))
    return body, ends


def test_fields_comments_and_unknown_lines() -> None:
    body = b": ping\n\nevent: a\nid: 7\nretry: 5\ndata: 1\ndata:2\ndata\n\ndata: [DONE]\n\nevent: lonely\n\n"
    events, left = parse_events(body, [Chunk(0.5, len(body))])
    assert [Event(0.5, "1\n2\n", "a"), Event(0.5, "[DONE]")] == events
    assert not left


def test_an_event_without_its_empty_line_is_left_over() -> None:
    events, left = parse_events(b"data: 1\n\ndata: 2\n", [Chunk(1.0, 17)])
    assert ["1"] == [event.data for event in events]
    assert left


def test_bytes_that_are_no_text_do_no_harm() -> None:
    events, _ = parse_events(b"\xef\xbb\xbfdata: \xff\xfe\n\n", [Chunk(1.0, 14)])
    assert ["\ufffd\ufffd"] == [event.data for event in events]


@given(
    st.lists(st.tuples(NAMES, st.lists(TEXT, max_size=3)), max_size=8),
    NEWLINES,
    st.lists(st.integers(0, 400)),
)
def test_events_and_stamps_do_not_depend_on_where_the_stream_was_cut(
    events: list[tuple[str, list[str]]], newline: str, cuts: list[int]
) -> None:
    body, ends = written(events, newline)
    chunks = chunks_of(body, cuts)
    found, left = parse_events(body, chunks)
    expected = [("\n".join(data), name) for name, data in events if data]
    assert expected == [(event.data, event.name) for event in found]
    for event, end in zip(found, ends, strict=True):
        assert event.at == next(chunk.at for chunk in chunks if chunk.size >= end)
    assert not left


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_are_read_without_an_exception(body: bytes, cuts: list[int]) -> None:
    events, _ = parse_events(body, chunks_of(body, cuts))
    assert sorted(event.at for event in events) == [event.at for event in events]


@pytest.mark.parametrize("line", [b"\r", b"\n", b":\r\n", b"data\r"], ids=repr)
def test_a_large_body_of_short_lines_is_read_in_one_pass(line: bytes) -> None:
    size = 200_000

    found, left = parse_events(line * (size // len(line)), [Chunk(0.1, size)])

    assert len(found) <= MAX_EVENTS
    assert left is (line.startswith(b"data"))


def test_a_stream_without_end_is_read_up_to_a_bound() -> None:
    body = b"data: x\n\n" * (MAX_EVENTS + 5)

    found, left = parse_events(body, [Chunk(0.1, len(body))])

    assert (MAX_EVENTS, True) == (len(found), left)

# SPDX-License-Identifier: Apache-2.0
"""Rate-limit headers in every spelling that was seen, and event streams cut anywhere."""

import math

import pytest
from hypothesis import given, strategies as st

from openai_exporter.client.exchange import seconds_until
from openai_exporter.model import Chunk, RateLimit, StreamTiming, Tokens
from openai_exporter.probe.reading import (
    MAX_EVENTS,
    Event,
    Headers,
    parse_count,
    parse_events,
    read_headers,
    stream_timing,
)

# Rate-limit headers in every spelling that was seen, and in none.

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
    assert seconds_until(text, NOW) == pytest.approx(expected)


NOW = 1_795_835_600.0  # 2026-11-28T03:13:20Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795835660", 60.0),
        ("1795835660.25", 60.25),
        ("1795835660000", 60.0),
        ("1795835660000000", 60.0),
        ("1795835660000000000", 60.0),
        ("2026-11-28T03:14:20Z", 60.0),
        ("2026-11-28T04:14:20+01:00", 60.0),
        ("2026-11-28T03:14:20.5", 60.5),
        ("Sat, 28 Nov 2026 03:14:20 GMT", 60.0),
        ("1795835590", 0.0),  # the window has just ended
        ("1600000000", None),  # years ago: of no limit in force
        ("1995835660", None),
        ("1600000000000", None),
        ("2031-01-01T00:00:00Z", None),
        ("500000000", None),  # sixteen years are no wait, and no time of these years
    ],
)
def test_reset_times_of_other_clocks_are_seconds_from_now_or_absent(text: str, expected: float | None) -> None:
    headers = {"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": text}
    (limit,) = read_headers(headers.items(), NOW).rate_limits
    assert limit.reset_seconds == pytest.approx(expected)


def test_the_servers_own_date_counts_before_our_clock() -> None:
    headers = {"date": "Sat, 28 Nov 2026 03:14:00 GMT"}
    assert 20.0 == seconds_until("1795835660", NOW, headers)
    limits = read_headers({"x-ratelimit-reset-tokens": "1795835660000", **headers}.items(), NOW).rate_limits
    assert (RateLimit("tokens", None, None, 20.0),) == limits
    assert 20.0 == read_headers({"retry-after": "1795835660", **headers}.items(), NOW).retry_after


@pytest.mark.parametrize(
    "text", ["", " ", "None", "-1", "1d", "s", "1s2", "abc", "1 s", "1e3", "nan", "inf", "9" * 400, "2026-13-45"]
)
def test_what_is_no_duration_counts_as_absent(text: str) -> None:
    assert seconds_until(text, NOW) is None


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
    for value in (seconds_until(text, NOW), parse_count(text)):
        assert value is None or (value >= 0 and math.isfinite(value))


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds / 1000}s"
    assert seconds_until(text, NOW) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)


# Event streams, cut anywhere: the same events, each stamped with the arrival that completed it.

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
    events = parse_events(body, [Chunk(0.5, len(body))])
    assert [Event(0.5, "1\n2\n", "a"), Event(0.5, "[DONE]")] == events


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"], ids=repr)
def test_the_last_event_counts_without_its_empty_line_when_the_bytes_ended_in_order(end: bytes) -> None:
    body = b"data: 1\n\ndata: 2" + end
    for whole, expected in ((False, ["1"]), (True, ["1", "2"])):
        events = parse_events(body, [Chunk(1.0, len(body))], whole)
        assert expected == [event.data for event in events]


def test_the_mark_of_the_end_needs_no_empty_line() -> None:
    for body in (b"data: 1\n\ndata: [DONE]", b"data: 1\n\ndata:[DONE]"):
        assert ["1", "[DONE]"] == [event.data for event in parse_events(body, [Chunk(1.0, len(body))])]


def test_a_line_of_bare_json_is_data() -> None:
    body = b'data: 1\n\n{"error": "no"}\n\n'
    assert ["1", '{"error": "no"}'] == [event.data for event in parse_events(body, [Chunk(1.0, len(body))])]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    events = parse_events(b"\xef\xbb\xbfdata: \xff\xfe\n\n", [Chunk(1.0, 14)])
    assert ["\ufffd\ufffd"] == [event.data for event in events]


@given(st.lists(st.tuples(NAMES, st.lists(TEXT, max_size=3)), max_size=8), NEWLINES, st.lists(st.integers(0, 400)))
def test_events_and_stamps_do_not_depend_on_where_the_stream_was_cut(
    events: list[tuple[str, list[str]]], newline: str, cuts: list[int]
) -> None:
    body, ends = written(events, newline)
    chunks = chunks_of(body, cuts)
    found = parse_events(body, chunks)
    expected = [("\n".join(data), name) for name, data in events if data]
    assert expected == [(event.data, event.name) for event in found]
    for event, end in zip(found, ends, strict=True):
        assert event.at == next(chunk.at for chunk in chunks if chunk.size >= end)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_are_read_without_an_exception(body: bytes, cuts: list[int]) -> None:
    events = parse_events(body, chunks_of(body, cuts))
    assert sorted(event.at for event in events) == [event.at for event in events]


@pytest.mark.parametrize("line", [b"\r", b"\n", b":\r\n", b"data\r"], ids=repr)
def test_a_large_body_of_short_lines_is_read_in_one_pass(line: bytes) -> None:
    size = 200_000

    found = parse_events(line * (size // len(line)), [Chunk(0.1, size)])

    assert len(found) <= MAX_EVENTS


def test_a_stream_without_end_is_read_up_to_a_bound() -> None:
    body = b"data: x\n\n" * (MAX_EVENTS + 5)

    found = parse_events(body, [Chunk(0.1, len(body))])

    assert len(found) == MAX_EVENTS


# Timing of a stream from the arrival of its events.


def test_without_a_visible_token_there_is_only_the_first_event() -> None:
    assert StreamTiming(first_event=0.2) == stream_timing(0.2, [], Tokens(output=5, reasoning=5))


def test_one_token_has_no_gaps() -> None:
    assert StreamTiming(0.2, 0.5, arrivals=1) == stream_timing(0.2, [0.5], None)


def test_gaps_and_rate() -> None:
    found = stream_timing(0.2, [0.5, 0.6, 0.9], Tokens(output=41, reasoning=20))
    assert (0.2, 0.5) == (found.first_event, found.first_token)
    assert found.gaps_mean == pytest.approx(0.2)
    assert found.gaps_max == pytest.approx(0.3)
    assert found.tokens_per_second == pytest.approx(20 / 0.4)


def test_without_usage_each_event_counts_as_a_token() -> None:
    assert stream_timing(0.0, [1.0, 2.0, 3.0], None).tokens_per_second == pytest.approx(1.0)


def test_tokens_that_arrived_at_once_have_no_gaps_and_no_rate() -> None:
    found = stream_timing(0.0, [1.0, 1.0, 1.0], Tokens(output=3))
    assert StreamTiming(0.0, 1.0, arrivals=1) == found


def test_tokens_that_came_together_share_the_gap_before_them() -> None:
    found = stream_timing(0.0, [1.0, 1.0, 1.5, 1.5, 1.5], Tokens(output=5))
    assert found.gaps_mean == pytest.approx(0.5 / 4)
    assert found.gaps_max == pytest.approx(0.5)
    assert found.arrivals == 2
    assert found.tokens_per_second == pytest.approx(4 / 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.integers(0, 100))
def test_the_longest_gap_is_no_shorter_than_the_mean_and_no_longer_than_all(times: list[float], output: int) -> None:
    found = stream_timing(times[0], times, Tokens(output=output))
    assert found.arrivals == len(set(times))
    if found.gaps_mean is None or found.gaps_max is None:
        assert found == StreamTiming(times[0], times[0], arrivals=1)
        return
    assert 0 <= found.gaps_mean <= found.gaps_max + 1e-9 <= times[-1] - times[0] + 2e-9
    assert found.tokens_per_second is None or found.tokens_per_second > 0

# SPDX-License-Identifier: Apache-2.0
"""A recorded event stream: its events, each with its arrival time, and the timing of its tokens."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from openai_exporter.client.trace import Exchange
from openai_exporter.model import Chunk, StreamTiming, Tokens
from openai_exporter.probe.reading import Reading, ReplyError, error_of, load_object

# A recorded event stream to events, each with the moment at which its last byte arrived. Pure.

DONE = "[DONE]"
MAX_EVENTS = 20_000
"""Events that are read of one stream; a probe's answer has some dozens."""
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    Attributes:
        at: seconds since the start of the request.
        data: its data lines, joined by newlines.
        name: field `event`, empty without one.
    """

    at: float
    data: str
    name: str = ""


def parse_events(body: bytes, chunks: Sequence[Chunk]) -> tuple[list[Event], bool]:
    """The events of a stream, and whether bytes of an unfinished event were left over at its end.

    Lines end with LF, CR or CRLF; an event ends with an empty line, as the HTML standard has it. An event whose
    terminator is complete at byte n arrived with the first chunk that reaches n. One pass over
    the bytes, at most `MAX_EVENTS` events.
    """
    sizes = [chunk.size for chunk in chunks]
    events: list[Event] = []
    data: list[str] = []
    name = ""
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    for end in _LINE_END.finditer(body, start):
        line, start = body[start : end.start()], end.end()
        if line:
            field, value = _field(line.decode("utf-8", "replace"))
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            continue
        if data:
            events.append(Event(_arrival(start, sizes, chunks), "\n".join(data), name))
            if len(events) == MAX_EVENTS:
                return events, True
        data, name = [], ""
    return events, bool(data) or bool(body[start:].strip())


def _field(line: str) -> tuple[str, str]:
    field, _, value = line.partition(":")
    return field, value.removeprefix(" ")


def _arrival(end: int, sizes: Sequence[int], chunks: Sequence[Chunk]) -> float:
    if not chunks:
        return 0.0
    return chunks[min(bisect_left(sizes, end), len(chunks) - 1)].at


# From the arrival times of a stream's events to its timing. Pure.


def stream_timing(
    first_event: float | None, token_times: Sequence[float], tokens: Tokens | None
) -> StreamTiming:
    """Timing of a stream; times in seconds since the start of the request, in order.

    Tokens per second are the visible output tokens after the first, as the usage object counts them, by the time
    from the first to the last visible one; without usage, each event counts as one token.

    Gaps are those between events that carry visible text, as vLLM's serving benchmark takes inter-token latency. Events
    that came together have none between them that could be measured: they pull the mean down, as it is to be,
    and when there was only one arrival there is no gap at all, rather than one of zero.
    """
    if not token_times:
        return StreamTiming(first_event=first_event)
    first, last = token_times[0], token_times[-1]
    arrivals = len(set(token_times))
    if arrivals == 1:
        return StreamTiming(first_event, first, arrivals=1)
    gaps = [later - earlier for earlier, later in pairwise(token_times)]
    count = tokens.output - tokens.reasoning if tokens is not None else len(token_times)
    rate = (count - 1) / (last - first) if count > 1 else None
    return StreamTiming(first_event, first, (last - first) / len(gaps), max(gaps), rate, arrivals)


# Walks the events of a recorded stream; what they mean is the endpoint's business.


def walk(exchange: Exchange, take: Callable[[Event], None]) -> tuple[float | None, tuple[str, str] | None]:
    """Hand each event to `take` until one cannot be read.

    Returns: when the first event came (None without one), and the (outcome, message) of the unreadable one.

    Raises:
        ReplyError: the answer is whole and holds no event.
    """
    events, _ = parse_events(exchange.body, exchange.chunks)
    if not events and exchange.failure is None:
        raise ReplyError("wrong_shape", "a stream was asked for, but something else came")
    problem: tuple[str, str] | None = None
    try:
        for event in events:
            if event.data.strip():  # some servers send empty events as heartbeats
                take(event)
    except ReplyError as error:
        problem = (error.outcome, str(error))
    return (events[0].at if events else None), problem


def plain_error(exchange: Exchange) -> Reading | None:
    """The error that came as plain JSON in place of a stream; None when events came.

    Raises:
        ReplyError: the answer is empty or not JSON.
    """
    kind = exchange.header("content-type") or ""
    if (
        exchange.failure is not None
        or "event-stream" in kind
        or exchange.body.lstrip()[:1] not in (b"{", b"[", b"")
    ):
        return None
    error = error_of(load_object(exchange))
    return Reading(error=error) if error is not None else None

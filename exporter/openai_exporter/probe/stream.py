# SPDX-License-Identifier: Apache-2.0
"""A recorded event stream: its events, each with the time its last byte arrived, and the timing of its tokens."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from openai_exporter.client.reply import ApiError, error_object
from openai_exporter.client.trace import Exchange
from openai_exporter.model import Chunk, StreamTiming, Tokens
from openai_exporter.probe.reading import ReplyError, kind, malformed

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


@dataclass(slots=True)
class Stream:
    """What came of a stream, up to its end, its first error or the first event that cannot be read.

    Attributes:
        first_event: when the first event of any kind came, None without one.
        events: of each when it came, what it calls itself (member `type`, else its name), and its JSON object.
        done: whether the end is marked.
        error: the error that an event states.
        problem: (outcome, message) of the event that cannot be read.
    """

    first_event: float | None = None
    events: list[tuple[float, str, Mapping[str, Any]]] = field(default_factory=list)
    done: bool = False
    error: ApiError | None = None
    problem: tuple[str, str] | None = None


def read_stream(exchange: Exchange) -> Stream:
    """Decode the events of an answer, whole or broken off.

    Raises:
        ReplyError: the answer is whole and holds no event.
    """
    events = parse_events(exchange.body, exchange.chunks)
    if not events and exchange.failure is None:
        raise ReplyError("wrong_shape", "a stream was asked for, but something else came")
    stream = Stream(first_event=events[0].at if events else None)
    try:
        _decode(events, stream)
    except ReplyError as error:
        stream.problem = (error.outcome, str(error))
    return stream


def _decode(events: Iterable[Event], stream: Stream) -> None:
    for event in events:
        data = event.data.strip()
        if data == DONE:
            stream.done = True
            return
        if not data:  # some servers send empty events as heartbeats
            continue
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise malformed(error) from None
        if not isinstance(document, dict):
            raise ReplyError("wrong_shape", f"an event is {kind(document)}, not an object")
        named = document.get("type")
        named = named if isinstance(named, str) and named else event.name
        if document.get("error") or document.get("object") == "error":
            stream.error = error_object(document)
        if stream.error is None and "error" in (named, event.name):
            # OpenAI's description has code and message flat; some servers nest them as elsewhere.
            stream.error = ApiError.read({**document, "type": None})
        if stream.error is not None:
            return
        stream.events.append((event.at, named, document))


def parse_events(body: bytes, chunks: Sequence[Chunk]) -> list[Event]:
    """The complete events of a stream.

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
            label, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if label == "data":
                data.append(value)
            elif label == "event":
                name = value
            continue
        if data:
            at = chunks[min(bisect_left(sizes, start), len(chunks) - 1)].at if chunks else 0.0
            events.append(Event(at, "\n".join(data), name))
            if len(events) == MAX_EVENTS:
                break
        data, name = [], ""
    return events


def stream_timing(first_event: float | None, token_times: Sequence[float], tokens: Tokens | None) -> StreamTiming:
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

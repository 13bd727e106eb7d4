# SPDX-License-Identifier: Apache-2.0
"""A recorded event stream to events, each with the moment at which its last byte arrived. Pure."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from openai_exporter.model import Chunk

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

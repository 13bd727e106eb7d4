# SPDX-License-Identifier: Apache-2.0
"""What every endpoint reads an answer with: JSON of a foreign server, event streams and headers, none trusted."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, sub
from types import NoneType
from typing import Any

from openai_exporter.client.exchange import LONGEST_RESET, ApiError, Exchange, error_object, retry_after, seconds_until
from openai_exporter.config.sections import Module, Price
from openai_exporter.model import Chunk, ModelCard, Provider, RateLimit, StreamTiming, Tokens

MAX_COUNT = 2**53


@dataclass(frozen=True, slots=True)
class Setting:
    """What one probe is about; `prices` are those of the configuration."""

    module: Module
    provider: Provider
    model: str
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says.

    Attributes:
        text: visible text, None when the endpoint has none.
        error: what an answer says of an error although its status is a success.
        problem: (outcome, message) when the answer is not what the endpoint documents.
        ended: whether a stream marked its end.
        more_models: whether the server has models that `models` lacks.
    """

    text: str | None = None
    tokens: Tokens | None = None
    served_model: str = ""
    service_tier: str = ""
    finish: str = ""
    vector_length: int | None = None
    models: tuple[ModelCard, ...] = ()
    stream: StreamTiming | None = None
    error: ApiError | None = None
    problem: tuple[str, str] | None = None
    ended: bool = False
    more_models: bool = False


class ReplyError(Exception):
    """An answer that cannot be read; `outcome` is a name of the taxonomy."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


# JSON of a foreign server.


def load_json(data: bytes | str) -> Any:
    """Decode JSON.

    Raises:
        ReplyError: `malformed`.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        start = data[:MAX_QUOTED] if isinstance(data, str) else data[:MAX_QUOTED].decode("utf-8", "replace")
        raise ReplyError("malformed", f"the answer is not valid JSON: {reason} in {start!r}") from None


def load_answer(body: bytes) -> Any:
    """A body as a JSON value with something in it.

    Raises:
        ReplyError: `empty_response` or `malformed`.
    """
    if not body.strip():
        raise ReplyError("empty_response", "the answer has no content")
    document = load_json(body)
    if document in (None, {}, []):
        raise ReplyError("empty_response", "the answer is an empty JSON value")
    return document


def child(parent: Mapping[str, Any], name: str, expected: type) -> Any:
    """A member that must be there with this JSON type.

    Raises:
        ReplyError: `schema_mismatch`.
    """
    return checked(parent.get(name), f"field {name}", expected)


def checked(value: Any, what: str, *expected: type) -> Any:
    """A value that must have one of these JSON types; the first names them in the message.

    Raises:
        ReplyError: `schema_mismatch`.
    """
    if not isinstance(value, expected):
        raise ReplyError("schema_mismatch", f"{what} is {kind(value)}, not {_NAMES[expected[0]]}")
    return value


def first_of(document: Mapping[str, Any], name: str, nothing: str) -> Mapping[str, Any]:
    """The first object of an array that must have one; `nothing` says what an empty array lacks.

    Raises:
        ReplyError: `empty_response` or `schema_mismatch`.
    """
    items = child(document, name, list)
    if not items:
        raise ReplyError("empty_response", nothing)
    first: Mapping[str, Any] = checked(items[0], f"{name}[0]", dict)
    return first


def text_of(parent: Mapping[str, Any], name: str) -> str:
    """A string member; empty when it is absent or something else."""
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def mapping_of(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object member; empty when it is absent or something else."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def count_of(parent: Mapping[str, Any], name: str) -> int | None:
    """A count of zero or more; None when it is absent or something else."""
    value = parent.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_COUNT:
        return None
    return value


def usage_of(document: Mapping[str, Any], sent: str, made: str) -> Tokens | None:
    """Token counts of member `usage`; `sent` and `made` are the API's words, such as `prompt` and `completion`."""
    usage = mapping_of(document, "usage")
    prompt, output = count_of(usage, f"{sent}_tokens"), count_of(usage, f"{made}_tokens")
    if prompt is None and output is None:
        return None
    cached = count_of(mapping_of(usage, f"{sent}_tokens_details"), "cached_tokens") or 0
    reasoning = count_of(mapping_of(usage, f"{made}_tokens_details"), "reasoning_tokens") or 0
    prompt, output = prompt or 0, output or 0
    return Tokens(prompt, output, min(cached, prompt), min(reasoning, output))


def kind(value: object) -> str:
    """The JSON name of a value's type."""
    return _NAMES.get(type(value), "unknown")


_NAMES: dict[type, str] = {
    bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object",
    NoneType: "absent",
}  # fmt: skip

# Headers, in the spellings of OpenAI, Azure and compatible servers.

LIMIT_TYPES = {"requests": "requests", "tokens": "tokens", "project_tokens": "project-tokens"}
"""Value of label limit_type to the end of the header's name."""
REQUEST_IDS = ("x-request-id", "apim-request-id", "x-ms-client-request-id", "x-litellm-call-id", "cf-ray")
"""Where servers put the id that their support asks for, the best first."""

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_MOST = 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of an answer say; unreadable values count as absent.

    Attributes:
        request_id: empty without one; not yet cleaned.
        server_processing: the API's own processing time in seconds.
        retry_after: seconds that the API asks to wait.
        simulated: whether the answer says that it comes from a simulator.
    """

    request_id: str = ""
    server_processing: float | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    retry_after: float | None = None
    simulated: bool = False


def read_headers(pairs: Iterable[tuple[str, str]], now: float) -> Headers:
    """Read headers with lower-case names; of a repeated one the first counts. `now` in Unix seconds."""
    headers = dict(reversed(tuple(pairs)))
    # LiteLLM passes OpenAI's header on under another name.
    took = headers.get("openai-processing-ms") or headers.get("llm_provider-openai-processing-ms")
    milliseconds = parse_count(took)
    limits = []
    for limit_type, end in LIMIT_TYPES.items():
        limit = parse_count(headers.get(f"x-ratelimit-limit-{end}"))
        remaining = parse_count(headers.get(f"x-ratelimit-remaining-{end}"))
        reset = seconds_until(headers.get(f"x-ratelimit-reset-{end}", ""), now, headers)
        reset = None if reset is None or reset > LONGEST_RESET else reset
        if (limit, remaining, reset) != (None, None, None):
            limits.append(RateLimit(limit_type, limit, remaining, reset))
    return Headers(
        request_id=next(filter(None, map(headers.get, REQUEST_IDS)), None) or "",
        server_processing=None if milliseconds is None else min(milliseconds / 1000.0, _MOST),
        rate_limits=tuple(limits),
        retry_after=retry_after(headers, now),
        simulated=headers.get("x-simulated") == "true",
    )


def parse_count(text: str | None) -> float | None:
    """A count of zero or more; None for what is absent, "None", negative (Azure sends -1) or no number."""
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


# A recorded event stream: its events, each with the time its last byte arrived, and the timing of its tokens.

DONE = "[DONE]"
MAX_EVENTS = 20_000
"""Events that are read of one stream; a probe's answer has some dozens."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
MAX_QUOTED = 200
"""Characters of an answer that a message quotes."""


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
    events = parse_events(exchange.body, exchange.chunks, exchange.failure is None)
    if not events and exchange.failure is None:
        raise ReplyError("schema_mismatch", "a stream was asked for, but something else came")
    stream = Stream(first_event=events[0].at if events else None)
    try:
        _decode(events, stream)
    except ReplyError as error:
        stream.problem = (error.outcome, str(error))
    return stream


_MAY_BE_ERROR = re.compile(r"error|success|base_resp|\\u")
"""Without a word by which an event states an error, or an escape that may stand for one, it states none."""


def _decode(events: Iterable[Event], stream: Stream) -> None:
    for event in events:
        data, failing = event.data.strip(), event.name == "error"
        if data == DONE:
            stream.done = True
            return
        if not data and not failing:  # some servers send empty events as heartbeats
            continue
        try:
            document = load_json(data)
        except ReplyError:
            if not failing:
                raise
            document = data  # a gateway's plain words
        if failing or _MAY_BE_ERROR.search(data):
            stream.error = error_object(document, refused=failing) or (ApiError() if failing else None)
            if stream.error is not None:
                return
        checked(document, "an event", dict)
        named = document.get("type")
        stream.events.append((event.at, named if isinstance(named, str) and named else event.name, document))


def parse_events(body: bytes, chunks: Sequence[Chunk], whole: bool = False) -> list[Event]:
    """The complete events of a stream.

    Lines end with LF, CR or CRLF; an event ends with an empty line, as the HTML standard has it, and the last one of a
    `whole` body with that body; `[DONE]` needs no end. A line of bare JSON counts as data. An event whose
    terminator is complete at byte n arrived with the first chunk that reaches n. One pass over
    the bytes, at most `MAX_EVENTS` events.
    """
    events: list[Event] = []
    data: list[str] = []
    name = ""
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    if whole or body.endswith((b"data: [DONE]", b"data:[DONE]", b"data: [DONE]\n")):
        body += b"\n\n"
    for end in _LINE_END.finditer(body, start):
        line, start = body[start : end.start()], end.end()
        if line:
            label, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if label in ("data", "error"):  # llama.cpp has had a field `error`
                data.append(value)
                name = "error" if label == "error" else name
            elif line.startswith(b"{"):
                data.append(line.decode("utf-8", "replace"))
            elif label == "event":
                name = value
            continue
        if data:
            at = chunks[min(bisect_left(chunks, start, key=attrgetter("size")), len(chunks) - 1)].at if chunks else 0.0
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
    gaps = list(map(sub, token_times[1:], token_times))
    count = tokens.output - tokens.reasoning if tokens is not None else len(token_times)
    rate = (count - 1) / (last - first) if count > 1 else None
    return StreamTiming(first_event, first, (last - first) / len(gaps), max(gaps), rate, arrivals)

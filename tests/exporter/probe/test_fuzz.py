# SPDX-License-Identifier: Apache-2.0
"""Whatever a server sends: no exception escapes, the outcome is of the taxonomy, no label is over its bound."""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from openai_exporter.config.secret import MAX_LABEL, Masker
from openai_exporter.exposition import encode
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey
from openai_exporter.probe.judge import OUTCOMES, judge
from openai_exporter.probe.result import Frame, build_result, families
from tests.exporter.client.rawserver import Turn, raw_server
from tests.exporter.probe.exchanges import event, exchange, setting, streamed, timeout
from tests.exporter.probe.probers import configuration, key_of, prober_for

# Good answers of every endpoint, and what becomes of them when one value is another.

Path = tuple[str | int, ...]

_CHAT_USAGE = {
    "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
_USAGE = {
    "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
    "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
_MESSAGE = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "pong", "annotations": []}],
}  # fmt: skip
_RESPONSE = {
    "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-6-luna-2026-06-01", "error": None,
    "incomplete_details": None, "service_tier": "default", "usage": _USAGE,
    "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, _MESSAGE],
}  # fmt: skip

PLAIN: dict[Endpoint, Any] = {
    Endpoint.CHAT: {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna-2026-06-01",
        "service_tier": "default", "usage": _CHAT_USAGE,
        "choices": [
            {
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "pong", "refusal": None, "reasoning": None},
            }
        ],
    },
    Endpoint.RESPONSES: _RESPONSE,
    Endpoint.EMBEDDINGS: {
        "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
    },
    Endpoint.MODERATIONS: {
        "id": "modr-1", "model": "omni-moderation-latest",
        "results": [{"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}],
    },
    Endpoint.MODELS: {
        "object": "list",
        "data": [
            {"id": "gpt-6-luna", "object": "model", "created": 1, "owned_by": "system", "shutdown_date": "2027-01-14"},
            {"id": "gpt-5", "object": "model", "created": 1, "owned_by": "system", "shutdown_date": None},
        ],
    },
    Endpoint.TRANSCRIPTIONS: {"text": "pong", "usage": {"type": "tokens", **_USAGE}},
    Endpoint.IMAGES: {"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}], "usage": _USAGE},
}  # fmt: skip
"""Endpoint to a good answer."""


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna-2026-06-01",
        "service_tier": "default", "usage": None, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip


STREAMED: dict[Endpoint, list[Any]] = {
    Endpoint.CHAT: [
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"content": "po"}),
        _chunk({"content": "ng"}),
        _chunk({}, "stop"),
        {**_chunk({}), "choices": [], "usage": _CHAT_USAGE},
        "[DONE]",
    ],
    Endpoint.RESPONSES: [
        {"type": "response.created", "sequence_number": 0, "response": {**_RESPONSE, "status": "in_progress"}},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": _MESSAGE},
        {"type": "response.output_text.delta", "sequence_number": 2, "item_id": "msg_1", "delta": "po"},
        {"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "delta": "ng"},
        {"type": "response.completed", "sequence_number": 4, "response": _RESPONSE},
    ],
}
"""Endpoint to the events of a good stream."""

ERROR = {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": "model_not_found"}}

LONG = st.sampled_from(["x" * 5000, "é" * 300, "a\nb\x00" * 100, '"\\' * 200, "\ud800\u2028" * 80])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | LONG,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "x" * 5000, "a\nb\x00\ud800", [], [None], ["x"], {}, {"a": 1},
)  # fmt: skip
"""What a value may be in place of what it should."""


def damaged(document: Any) -> Iterator[Any]:
    """The document with one of its values replaced by each of `ODD`, or dropped: every way there is."""
    for path in _paths(document):
        for value in ODD:
            yield _with(document, path, value)
        if path:
            yield _with(document, path, drop=True)


def _with(document: Any, path: Path, value: Any = None, *, drop: bool = False) -> Any:
    if not path:
        return value
    found = copy.deepcopy(document)
    holder = found
    for step in path[:-1]:
        holder = holder[step]
    if drop:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return found


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its values replaced or dropped."""
    found = document
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_paths(found))))
        drop = bool(path) and not draw(st.integers(0, 4))
        found = _with(found, path, None if drop else draw(VALUES), drop=drop)
    return found


def _paths(document: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _paths(value, (*path, name))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from _paths(value, (*path, number))


NAMES = st.sampled_from([
    "choices", "message", "delta", "content", "usage", "prompt_tokens", "completion_tokens", "model", "error", "code",
    "type", "data", "embedding", "results", "flagged", "id", "shutdown_date", "output", "status", "response", "text",
    "b64_json", "finish_reason", "input_tokens", "output_tokens_details", "reasoning_tokens", "refusal", "service_tier",
])  # fmt: skip
WORDS = st.sampled_from([
    "completed", "failed", "incomplete", "message", "output_text", "error", "response.completed", "response.failed",
    "response.output_text.delta", "stop", "length", "content_filter", "insufficient_quota", "2026-12-11", "\x00\n",
]) | st.text(max_size=8)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=30
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)


@given(st.sampled_from(list(Endpoint)), JSON | OBJECTS, st.integers(200, 599))
def test_any_json_is_judged(endpoint: Endpoint, document: Any, status: int) -> None:
    about = setting(endpoint, expect={"text": "pong"})
    verdict = judge(exchange(document, status), about)
    assert verdict.outcome in OUTCOMES
    assert verdict.outcome != "exporter_error"


@given(st.sampled_from(list(STREAMED)), st.lists(OBJECTS | WORDS, max_size=6), st.booleans())
def test_any_stream_is_judged(endpoint: Endpoint, events: list[Any], cut: bool) -> None:
    found = streamed([event(each) for each in events], timeout() if cut else None)
    verdict = judge(found, setting(endpoint, stream=True))
    assert verdict.outcome in OUTCOMES
    stream = verdict.reading.stream
    if stream is not None and stream.first_token is not None:
        assert stream.first_event is not None
        assert 0 <= stream.first_event <= stream.first_token <= found.duration


def in_bounds(found: ProbeAnswer) -> None:
    """The outcome is of the taxonomy, and every label short and printable."""
    assert found.result.outcome in OUTCOMES
    assert found.result.outcome != "exporter_error", found.result.message
    for family in families(found):
        for labels, _ in family.samples:
            assert all(len(label) <= MAX_LABEL for label in labels)
            assert all(label.isprintable() or label.isspace() or not label.isascii() for label in labels)
    encode(families(found)).decode()


def judged(endpoint: Endpoint, stream: bool, document: Any) -> None:
    """A success status with this document: its result and page."""
    events = document if isinstance(document, list) else [document]
    found = streamed([event(each) for each in events]) if stream else exchange(document)
    about = setting(endpoint, stream=stream)
    frame = Frame(ProbeKey("api", "any", "m"), about, 0.0, 5.0, Masker(["sk-test-0123456789"]))
    verdict = judge(found, about)
    in_bounds(ProbeAnswer(build_result(frame, found, verdict, None)))


@pytest.mark.parametrize("endpoint", PLAIN)
def test_whatever_one_value_of_an_answer_is_it_is_judged(endpoint: Endpoint) -> None:
    for document in damaged(PLAIN[endpoint]):
        judged(endpoint, False, document)


@pytest.mark.parametrize("endpoint", STREAMED)
def test_whatever_one_value_of_a_stream_is_it_is_judged(endpoint: Endpoint) -> None:
    for events in damaged(STREAMED[endpoint]):
        judged(endpoint, True, events)


@given(st.sampled_from(list(PLAIN)).flatmap(lambda each: st.tuples(st.just(each), mutated(PLAIN[each]))))
def test_a_good_answer_with_something_wrong_in_it_is_judged(case: tuple[Endpoint, Any]) -> None:
    judged(case[0], False, case[1])


@given(st.sampled_from(list(STREAMED)).flatmap(lambda each: st.tuples(st.just(each), mutated(STREAMED[each]))))
def test_a_good_stream_with_something_wrong_in_it_is_judged(case: tuple[Endpoint, Any]) -> None:
    judged(case[0], True, case[1])


HEADER_NAMES = st.sampled_from([
    "Content-Type", "X-Request-Id", "Retry-After", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests",
    "X-Ratelimit-Reset-Requests", "Openai-Processing-Ms", "Content-Encoding", "Content-Length", "Set-Cookie",
    "Location", "Connection", "Transfer-Encoding", "Date", "Age",
])  # fmt: skip
HEADER_VALUES = st.sampled_from(
    ["application/json", "text/event-stream", "text/html; charset=x", "gzip", "chunked", "close", "5", "-1", "None"]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=300)
BODIES = (
    OBJECTS.map(lambda document: json.dumps(document).encode())
    | st.lists(OBJECTS, max_size=4).map(lambda events: b"".join(event(each) for each in events))
    | st.binary(max_size=200)
)
STATUS_LINES = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 429, 500, 503, 999]).map(
    lambda status: f"HTTP/1.1 {status} X\r\n".encode()
) | st.binary(max_size=20)


def _reply(document: Any, status: int, headers: list[tuple[str, str]]) -> bytes:
    events = isinstance(document, list)
    body = b"".join(event(each) for each in document) if events else json.dumps(document).encode()
    named = [("Content-Type", "text/event-stream" if events else "application/json"), *headers]
    named.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in named)
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body


TOLD = st.tuples(
    st.sampled_from(["X-Request-Id", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Tokens", "Retry-After"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
    | st.just("x" * 500),
)


def _nearly(document: Any) -> st.SearchStrategy[bytes]:
    """Answers that a parser of HTTP takes, with this document, or an error, not quite as it should be."""
    documents = mutated(document) | mutated(document) | mutated(ERROR)
    return st.builds(
        _reply, documents, st.sampled_from([200, 200, 200, 400, 404, 429, 500]), st.lists(TOLD, max_size=3)
    )


RAW = st.builds(
    lambda status, headers, body: (
        status + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in headers) + b"\r\n" + body
    ),
    STATUS_LINES,
    st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8),
    BODIES,
)


GOOD = {
    "chat": PLAIN[Endpoint.CHAT],
    "chat_stream": STREAMED[Endpoint.CHAT],
    "responses": PLAIN[Endpoint.RESPONSES],
    "responses_stream": STREAMED[Endpoint.RESPONSES],
    "embeddings": PLAIN[Endpoint.EMBEDDINGS],
    "models": PLAIN[Endpoint.MODELS],
}


@pytest.mark.parametrize("module", GOOD)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_on_the_wire_become_an_outcome_with_bounded_labels(module: str, data: st.DataObject) -> None:
    asyncio.run(probed(module, data.draw(RAW | _nearly(GOOD[module]))))


async def probed(module: str, data: bytes) -> None:
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))

    async def answer(turn: Turn) -> None:
        await turn.send(data)
        turn.close()

    async with raw_server(answer) as server, prober_for(configuration(server.url)) as prober:
        found = await prober.probe(key_of(module), 30.0)
    assert escaped == []
    in_bounds(found)

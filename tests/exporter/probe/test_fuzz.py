# SPDX-License-Identifier: Apache-2.0
"""Whatever a server sends: no exception escapes, the outcome is of the taxonomy, no label is over its bound."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openai_exporter.exposition import encode
from openai_exporter.model import Endpoint
from openai_exporter.probe.endpoints import METHODS
from openai_exporter.probe.families import families
from openai_exporter.probe.judge import judge
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.probe.redact import MAX_LABEL
from tests.exporter.client.rawserver import Turn, raw_server

from .exchanges import event, exchange, setting, streamed, timeout
from .probers import configuration, key_of, prober_for

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
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)
STREAMED = (Endpoint.CHAT, Endpoint.RESPONSES)


@given(st.sampled_from(list(Endpoint)), JSON | OBJECTS, st.integers(200, 599))
def test_any_json_is_judged(endpoint: Endpoint, document: Any, status: int) -> None:
    about = setting(endpoint, expect={"text": "pong"})
    verdict = judge(METHODS[endpoint], exchange(document, status), about)
    assert verdict.outcome in OUTCOMES
    assert verdict.outcome != "internal"


@given(st.sampled_from(STREAMED), st.lists(OBJECTS | WORDS, max_size=6), st.booleans())
def test_any_stream_is_judged(endpoint: Endpoint, events: list[Any], cut: bool) -> None:
    found = streamed([event(each) for each in events], timeout() if cut else None)
    verdict = judge(METHODS[endpoint], found, setting(endpoint, stream=True))
    assert verdict.outcome in OUTCOMES
    stream = verdict.reading.stream
    if stream is not None and stream.first_token is not None:
        assert stream.first_event is not None
        assert 0 <= stream.first_event <= stream.first_token <= found.duration


HEADER_NAMES = st.sampled_from([
    "Content-Type", "X-Request-Id", "Retry-After", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests",
    "X-Ratelimit-Reset-Requests", "Openai-Processing-Ms", "Content-Encoding", "Content-Length", "Set-Cookie",
    "Location", "Connection", "Transfer-Encoding", "Date", "Age",
])  # fmt: skip
HEADER_VALUES = st.sampled_from(
    [
        "application/json",
        "text/event-stream",
        "text/html; charset=x",
        "gzip",
        "chunked",
        "close",
        "5",
        "-1",
        "None",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=300)
BODIES = (
    OBJECTS.map(lambda document: json.dumps(document).encode())
    | st.lists(OBJECTS, max_size=4).map(lambda events: b"".join(event(each) for each in events))
    | st.binary(max_size=200)
)
STATUS_LINES = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 429, 500, 503, 999]).map(
    lambda status: f"HTTP/1.1 {status} X\r\n".encode()
) | st.binary(max_size=20)
RAW = st.builds(
    lambda status, headers, body: (
        status + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in headers) + b"\r\n" + body
    ),
    STATUS_LINES,
    st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8),
    BODIES,
)


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses_stream", "embeddings", "models"])
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=RAW)
def test_any_bytes_on_the_wire_become_an_outcome_with_bounded_labels(module: str, data: bytes) -> None:
    asyncio.run(probed(module, data))


async def probed(module: str, data: bytes) -> None:
    async def answer(turn: Turn) -> None:
        await turn.send(data)
        turn.close()

    async with raw_server(answer) as server, prober_for(configuration(server.url)) as prober:
        found = await prober.probe(key_of(module), 2.0)
    assert found.result.outcome in OUTCOMES
    assert found.result.outcome != "internal"
    for family in families(found):
        for labels, _ in family.samples:
            assert all(len(label) <= MAX_LABEL for label in labels)
            assert all(label.isprintable() or label.isspace() or not label.isascii() for label in labels)
    encode(families(found)).decode()

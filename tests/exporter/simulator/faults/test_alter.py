# SPDX-License-Identifier: Apache-2.0
"""Replies with broken, mistyped or padded bodies, as a client on a real socket sees them."""

import json
from typing import Any

import httpx2
import pytest

from openai_exporter.simulator.testing import SimulatorControl
from tests.exporter.simulator.conformance import Facts
from tests.exporter.simulator.sse import events

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about buckets"}]}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


def chat(api: httpx2.Client, **more: Any) -> httpx2.Response:
    return api.post(CHAT, json={**ASKED, **more})


def test_malformed_json_is_complete_but_broken(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("malformed_json", CHAT)
    reply = chat(api)
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_malformed_json_in_a_stream_starts_with_the_second_event(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("malformed_json", CHAT)
    first, second, *_, done = events(api.post(CHAT, json=STREAMED).text)
    assert first.json["object"] == "chat.completion.chunk"
    with pytest.raises(json.JSONDecodeError):
        _ = second.json
    assert done.data == "[DONE]"


def test_wrong_types_violate_the_description_everywhere(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    simulator.fault("wrong_types", CHAT)
    assert len(facts.check("chat_completion", chat(api).json())) >= 6
    chunk = events(api.post(CHAT, json=STREAMED).text)[0].json
    assert chunk["choices"] == "unexpected"


def test_wrong_types_can_be_limited_to_members(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    simulator.fault("wrong_types", CHAT, fields=["prompt_tokens", "finish_reason"])
    reply = chat(api).json()
    assert facts.check("chat_completion", reply) == [
        "chat_completion.choices[0].finish_reason: expected "
        "stop|length|tool_calls|content_filter|function_call, got 17",
        f'chat_completion.usage.prompt_tokens: expected integer>=0, got {{"unexpected": {7 + 3}}}',
    ]


@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["plain", "stream"])
def test_a_huge_body_means_the_same(
    api: httpx2.Client, simulator: SimulatorControl, body: dict[str, Any]
) -> None:
    plain = api.post(CHAT, json=body)
    simulator.fault("huge", CHAT, bytes=300_000)
    reply = api.post(CHAT, json=body)
    assert len(plain.content) + 300_000 <= len(reply.content) < len(plain.content) + 400_000
    if body is ASKED:
        assert reply.json()["usage"] == plain.json()["usage"]
    else:
        assert events(reply.text)[-1].data == "[DONE]"

# SPDX-License-Identifier: Apache-2.0
"""Chat completions over a socket: shapes, streams, usage and content faults."""

from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts
from tests.simulator.sse import events

CHAT = "/v1/chat/completions"
PONG = [{"role": "user", "content": "Reply with the word: pong"}]
STORY = [{"role": "user", "content": "Tell me about buckets"}]


def asked(model: str = "gpt-4o-mini", messages: Any = STORY, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, **more}


def adds_up(usage: dict[str, Any]) -> bool:
    details = usage["completion_tokens_details"]
    return bool(
        usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        and details["reasoning_tokens"] <= usage["completion_tokens"]
        and usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(asked(), id="classic model"),
        pytest.param(asked("gpt-6-luna"), id="reasoning model"),
        pytest.param(asked("gpt-6-luna", reasoning_effort="none", temperature=0.2), id="no reasoning"),
        pytest.param(asked(n=3), id="three choices"),
        pytest.param(asked(max_tokens=5), id="cut off"),
        pytest.param(asked("gpt-5-mini", max_completion_tokens=16), id="reasoning cut off"),
        pytest.param(asked(service_tier="flex", metadata={"a": "b"}, user="x", seed=3), id="extras"),
    ],
)
def test_a_plain_and_a_streamed_reply_conform_and_say_the_same(
    api: httpx2.Client, facts: Facts, body: dict[str, Any]
) -> None:
    plain = api.post(CHAT, json=body).json()
    facts.assert_conforms("chat_completion", plain)
    assert adds_up(plain["usage"])
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, done = events(api.post(CHAT, json=streamed).text)
    assert (done.name, done.data) == (None, "[DONE]")
    for chunk in chunks:
        facts.assert_conforms("chat_chunk", chunk.json)
    *content, usage = [chunk.json for chunk in chunks]
    assert usage["choices"] == []
    assert usage["usage"] == plain["usage"]
    assert {chunk["usage"] for chunk in content} == {None}
    texts = ["" for _ in plain["choices"]]
    for chunk in content:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content") or ""
    assert texts == [choice["message"]["content"] for choice in plain["choices"]]


def test_the_first_chunk_has_the_role_and_the_last_the_finish_reason(api: httpx2.Client) -> None:
    *chunks, _ = events(api.post(CHAT, json=asked(messages=PONG, stream=True)).text)
    choices = [chunk.json["choices"][0] for chunk in chunks]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "pong"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
    assert not any("usage" in chunk.json for chunk in chunks)


def test_a_prompt_can_ask_for_a_word(api: httpx2.Client) -> None:
    reply = api.post(CHAT, json=asked(messages=PONG)).json()
    assert reply["choices"][0]["message"]["content"] == "pong"
    assert (reply["usage"]["completion_tokens"], reply["model"]) == (1, "gpt-4o-mini-2024-07-18")


@pytest.mark.parametrize(
    ("model", "limit", "reasoning", "content"),
    [("gpt-4o-mini", 4, 0, True), ("gpt-5-mini", 16, 16, False), ("gpt-6-luna", 16, 16, False)],
)
def test_a_limit_cuts_off_and_reasoning_is_spent_first(
    api: httpx2.Client, model: str, limit: int, reasoning: int, content: bool
) -> None:
    reply = api.post(CHAT, json=asked(model, max_completion_tokens=limit)).json()
    choice, usage = reply["choices"][0], reply["usage"]
    assert (choice["finish_reason"], bool(choice["message"]["content"])) == ("length", content)
    assert usage["completion_tokens"] == limit
    assert usage["completion_tokens_details"]["reasoning_tokens"] == reasoning


def test_the_same_request_gets_the_same_answer(api: httpx2.Client) -> None:
    first, second = (api.post(CHAT, json=asked()).json() for _ in range(2))
    assert first["choices"] == second["choices"]
    assert first["id"] != second["id"]


def test_a_stop_sequence_ends_the_text_before_it(api: httpx2.Client) -> None:
    whole = api.post(CHAT, json=asked()).json()["choices"][0]["message"]["content"]
    stop = whole.split()[4]
    reply = api.post(CHAT, json=asked(stop=[stop])).json()["choices"][0]
    assert (reply["message"]["content"], reply["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_a_long_prompt_is_read_from_the_cache_the_second_time(api: httpx2.Client) -> None:
    long = [{"role": "user", "content": "cached words " * 1_000}]
    details = [
        api.post(CHAT, json=asked("gpt-6-luna", long)).json()["usage"]["prompt_tokens_details"] for _ in range(2)
    ]
    assert details[0] == {"cached_tokens": 0, "audio_tokens": 0, "cache_write_tokens": 1920}
    assert details[1] == {"cached_tokens": 1920, "audio_tokens": 0}


@pytest.mark.parametrize(("tier", "shown"), [("flex", "flex"), ("fast", "priority"), ("auto", "default")])
def test_the_reply_names_the_tier_that_served_it(api: httpx2.Client, tier: str, shown: str) -> None:
    assert api.post(CHAT, json=asked(service_tier=tier)).json()["service_tier"] == shown


def test_calls_reach_the_books(api: httpx2.Client, simulator: SimulatorControl) -> None:
    before = simulator.state()["books"]
    usage = api.post(CHAT, json=asked()).json()["usage"]
    after = simulator.state()["books"]
    assert before != after
    assert usage["total_tokens"] > 0


@pytest.mark.parametrize("shape", [{}, {"shape": "failed"}], ids=["error", "failed"])
def test_a_stream_can_break_off_with_an_error(
    api: httpx2.Client, simulator: SimulatorControl, shape: dict[str, Any]
) -> None:
    simulator.fault("stream_error", CHAT, after_tokens=2, message="broken", **shape)
    role, first, second, error = events(api.post(CHAT, json=asked(stream=True)).text)
    assert role.json["choices"][0]["delta"]["role"] == "assistant"
    assert first.json["choices"][0]["delta"]["content"]
    assert second.json["choices"][0]["delta"]["content"]
    assert error.json["error"]["message"] == "broken"


def test_usage_can_be_missing(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("no_usage", CHAT)
    assert "usage" not in api.post(CHAT, json=asked()).json()
    streamed = asked(stream=True, stream_options={"include_usage": True})
    found = events(api.post(CHAT, json=streamed).text)
    assert all(chunk.data == "[DONE]" or chunk.json["usage"] is None for chunk in found)


@pytest.mark.parametrize("limit", [None, 16])
def test_a_reply_can_be_reasoning_only(api: httpx2.Client, simulator: SimulatorControl, limit: int | None) -> None:
    simulator.fault("reasoning_only", CHAT)
    reply = api.post(CHAT, json=asked("gpt-6-luna", max_completion_tokens=limit)).json()
    choice, usage = reply["choices"][0], reply["usage"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert usage["completion_tokens"] == usage["completion_tokens_details"]["reasoning_tokens"] > 0
    chunks = events(api.post(CHAT, json=asked("gpt-6-luna", stream=True)).text)
    assert not any("content" in c.json["choices"][0]["delta"] for c in chunks[1:-1])

# SPDX-License-Identifier: Apache-2.0
"""What each endpoint sends, per provider; what its answer says beyond what is judged."""

import io
import wave
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.model import Endpoint, ModelCard, Provider
from openai_exporter.probe.endpoints import MAX_MODELS, build_call, read_reply, statements
from tests.exporter.probe.exchanges import exchange, setting

# What is asked of each endpoint.

OPENAI, AZURE, COMPATIBLE = Provider.OPENAI, Provider.AZURE, Provider.COMPATIBLE
HELLO: dict[str, Any] = {"prompt": "hi"}
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("endpoint", "provider", "module", "body"),
    [
        (Endpoint.CHAT, OPENAI, {}, {"model": "m", "messages": MESSAGES, "max_completion_tokens": 16}),
        (Endpoint.CHAT, AZURE, {}, {"model": "m", "messages": MESSAGES, "max_completion_tokens": 16}),
        (Endpoint.CHAT, COMPATIBLE, {}, {"model": "m", "messages": MESSAGES, "max_tokens": 16}),
        (
            Endpoint.CHAT, OPENAI,
            {
                "stream": True,
                "request": {"max_output_tokens": None, "reasoning_effort": "none", "service_tier": "flex"},
            },
            {
                "model": "m", "messages": MESSAGES, "reasoning_effort": "none", "service_tier": "flex",
                "stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False},
            },
        ),
        (
            Endpoint.CHAT, COMPATIBLE, {"stream": True, "request": {"extra": {"max_tokens": 5, "top_k": 1}}},
            {
                "model": "m", "messages": MESSAGES, "max_tokens": 5, "top_k": 1,
                "stream": True, "stream_options": {"include_usage": True},
            },
        ),
        (Endpoint.RESPONSES, OPENAI, {}, {"model": "m", "input": "hi", "max_output_tokens": 16, "store": False}),
        (Endpoint.RESPONSES, COMPATIBLE, {}, {"model": "m", "input": "hi", "max_output_tokens": 16}),
        (
            Endpoint.RESPONSES, OPENAI,
            {"stream": True, "request": {"reasoning_effort": "low", "service_tier": "auto"}},
            {
                "model": "m", "input": "hi", "max_output_tokens": 16, "store": False, "reasoning": {"effort": "low"},
                "service_tier": "auto", "stream": True, "stream_options": {"include_obfuscation": False},
            },
        ),
        (
            Endpoint.EMBEDDINGS, OPENAI, {"request": {"dimensions": 8}},
            {"model": "m", "input": "hi", "encoding_format": "base64", "dimensions": 8},
        ),
        (Endpoint.EMBEDDINGS, COMPATIBLE, {}, {"model": "m", "input": "hi", "encoding_format": "float"}),
        (Endpoint.MODERATIONS, OPENAI, {}, {"model": "m", "input": "hi"}),
        (
            Endpoint.SPEECH, OPENAI, {},
            {"model": "m", "input": "hi", "voice": "alloy", "response_format": "wav"},
        ),
        (
            Endpoint.IMAGES, OPENAI, {},
            {"model": "m", "prompt": "hi", "n": 1, "size": "1024x1024", "quality": "low"},
        ),
        (Endpoint.TRANSCRIPTIONS, OPENAI, {}, {"model": "m", "response_format": "json"}),
    ],
)  # fmt: skip
def test_bodies(endpoint: Endpoint, provider: Provider, module: dict[str, Any], body: dict[str, Any]) -> None:
    module = {**module, "request": {**HELLO, **module.get("request", {})}}
    call = build_call(setting(endpoint, provider=provider, **module))
    assert ("POST", body) == (call.method, dict(call.body or {}))


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        ("gpt-6-luna", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("gpt-5.4-mini", "max_completion_tokens"),
        ("gpt-10", "max_completion_tokens"),
        ("openai/o3-mini", "max_completion_tokens"),
        ("openrouter/openai/GPT-5:batch", "max_completion_tokens"),
        ("gpt-4o-mini", "max_tokens"),
        ("openai/gpt-oss-20b", "max_tokens"),
        ("gpt-3.5-turbo", "max_tokens"),
        ("gpt-50b-of-somebody", "max_tokens"),
        ("llama-3.3-70b", "max_tokens"),
        ("olmo-2", "max_tokens"),
        ("o1mini", "max_tokens"),
    ],
)
def test_a_compatible_server_gets_the_bound_that_its_model_takes(model: str, bound: str) -> None:
    call = build_call(setting(Endpoint.CHAT, provider=COMPATIBLE, model=model))
    assert {bound} == {name for name in call.body or {} if name.startswith("max_")}


@pytest.mark.parametrize("provider", list(Provider))
@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
def test_a_bound_among_the_extras_takes_the_place_of_the_own_one(provider: Provider, bound: str) -> None:
    call = build_call(setting(Endpoint.CHAT, provider=provider, request={"extra": {bound: 7}}))
    assert {bound: 7} == {name: value for name, value in (call.body or {}).items() if name.startswith("max_")}


def test_models_are_listed_without_a_body() -> None:
    call = build_call(setting(Endpoint.MODELS))
    assert ("GET", "/models", None) == (call.method, call.path, call.body)


def test_the_tone_is_a_second_of_wav() -> None:
    call = build_call(setting(Endpoint.TRANSCRIPTIONS))
    name, content, kind = call.files["file"]
    with wave.open(io.BytesIO(content)) as file:
        assert (16_000, 1, 16_000) == (file.getframerate(), file.getnchannels(), file.getnframes())
    assert ("probe.wav", "audio/wav") == (name, kind)


def test_a_file_of_ones_own_is_sent_instead(tmp_path: Path) -> None:
    path = tmp_path / "hello.mp3"
    path.write_bytes(b"ID3")
    call = build_call(setting(Endpoint.TRANSCRIPTIONS, request={"audio_file": str(path)}))
    assert ("hello.mp3", b"ID3", "audio/mpeg") == call.files["file"]


def test_a_field_that_is_null_among_the_extras_is_left_out() -> None:
    call = build_call(setting(Endpoint.CHAT, stream=True, request={"extra": {"stream_options": None, "stop": None}}))
    assert {"model", "messages", "stream", "max_completion_tokens"} == set(call.body or {})


ABOUT = setting(Endpoint.MODELS, model="")


def cards(*entries: dict[str, Any]) -> tuple[ModelCard, ...]:
    return read_reply(exchange({"object": "list", "data": list(entries)}), ABOUT).models


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"shutdown_date": "2026-12-11"}, 1_796_947_200.0),
        ({"shutdown_date": None}, None),
        ({"shutdown_date": "soon"}, None),
        ({"shutdown_date": 5}, None),
        ({"shutdown_date": "2026-12-11T00:00:00Z"}, 1_796_947_200.0),
        ({"shutdown_date": "2026-12-11T01:00:00+01:00"}, 1_796_947_200.0),
        ({"shutdown_date": "2026-12-11T00:00:00"}, 1_796_947_200.0),
        ({"shutdown_date": 1_796_947_200}, 1_796_947_200.0),
        ({"shutdown_date": 1_796_947_200.0}, 1_796_947_200.0),
        ({"shutdown_date": 1_796_947_200_000}, 1_796_947_200.0),
        ({"shutdown_date": "1796947200"}, 1_796_947_200.0),
        ({"shutdown_date": 10**400}, None),
        ({"shutdown_date": float("nan")}, None),
        ({"shutdown_date": True}, None),
        ({"shutdown_date": ["2026-12-11"]}, None),
        ({}, None),
        ({"deprecation": {"fine_tune": 1, "inference": 1_796_947_200}}, 1_796_947_200.0),
        ({"deprecation": "never"}, None),
    ],
)
def test_the_shutdown_is_read_as_date_time_or_unix_time(entry: dict[str, Any], expected: float | None) -> None:
    (card,) = cards({"id": "a", **entry})
    assert expected == card.shutdown_timestamp


def listed(model: str, *ids: str, **more: object) -> bool | None:
    """What is said of a model that a probe names; None for nothing."""
    reading = read_reply(exchange({"data": [{"id": name} for name in ids], **more}), ABOUT)
    return dict(statements([model], reading)).get(model)


@pytest.mark.parametrize(
    ("model", "ids", "expected"),
    [
        ("a", ["b", "a"], True),
        ("a", ["b"], False),
        ("llama3.2", ["llama3.2:latest"], True),
        ("llama3.2:latest", ["llama3.2"], True),
        ("gemini-2.5-flash", ["models/gemini-2.5-flash"], True),
        ("models/gemini-2.5-pro", ["gemini-2.5-pro"], True),
        ("openai/gpt-6-luna", ["openai/*", "gpt-4o"], None),
        ("anthropic/claude", ["openai/*"], False),
        ("anything", ["*"], None),
        ("llama-3.3-70b", ["Llama-3.3-70B"], None),
        ("gpt-4o", ["openai/gpt-4o"], None),
        ("openai/gpt-4o", ["gpt-4o"], None),
        ("openai/gpt-4o", ["azure/gpt-4o"], False),
        ("meta/llama:free", ["meta/llama"], None),
        ("qwen3", ["qwen3:4b"], None),
        ("qwen3:4b", ["qwen3:8b"], False),
        ("claude-x", ["claude-x-20260101"], None),
        ("claude-x@20260101", ["claude-x"], None),
        ("gpt-x-2026-01-01", ["gpt-x-2025-01-01"], False),
        ("gpt-4", ["gpt-4o", "gpt-40"], False),
    ],
)
def test_a_model_of_another_spelling_is_listed_or_nothing_is_said(
    model: str, ids: list[str], expected: bool | None
) -> None:
    assert expected is listed(model, *ids)


def test_a_list_with_more_pages_does_not_say_that_a_model_is_missing() -> None:
    assert (None, True) == (listed("a", "b", has_more=True), listed("b", "b", has_more=True))


@pytest.mark.parametrize(
    "document",
    [
        [{"id": "a"}],
        {"models": [{"name": "a", "model": "a"}]},
        {"data": {"models": ["a"]}},
        {"output": {"models": [{"model": "a"}]}},
        {"data": [None, {}, {"id": 5}, {"id": "a"}]},
    ],
)
def test_a_list_in_another_wrapping_is_read_and_a_bad_entry_left_out(document: Any) -> None:
    assert ["a"] == [card.id for card in read_reply(exchange(document), ABOUT).models]


def test_azure_names_the_time_of_creation_otherwise() -> None:
    assert cards({"id": "a", "created_at": 7}) == (ModelCard("a", "", 7),)
    assert cards({"id": "a", "created": 5, "owned_by": "me"}) == (ModelCard("a", "me", 5),)


def test_a_model_that_is_listed_twice_counts_once() -> None:
    assert 1 == len(cards({"id": "a"}, {"id": "a"}))


def test_a_list_is_cut_at_its_bound() -> None:
    assert MAX_MODELS == len(cards(*({"id": f"m{number}"} for number in range(MAX_MODELS + 5))))

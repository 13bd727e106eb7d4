# SPDX-License-Identifier: Apache-2.0
"""What the servers are told to answer, and what is probed on each of them."""

from collections.abc import Mapping
from typing import Any

KEY = "sk-compat-0123456789"
WRONG_KEY = "sk-compat-9876543210"
MODEL = "nonsense"

MODULES: Mapping[str, Mapping[str, Any]] = {
    "models": {"endpoint": "models"},
    "chat": {"endpoint": "chat"},
    "chat_stream": {"endpoint": "chat", "stream": True},
    "responses": {"endpoint": "responses"},
    "responses_stream": {"endpoint": "responses", "stream": True},
    "embeddings": {"endpoint": "embeddings"},
    "moderations": {"endpoint": "moderations"},
    "speech": {"endpoint": "speech"},
    "transcriptions": {"endpoint": "transcriptions"},
    "images": {"endpoint": "images"},
}
"""The modules as a user writes them: nothing in them is for one server."""

OFFERS: Mapping[str, Mapping[str, str]] = {
    # A mocked reply cannot be streamed through LiteLLM's /responses: it answers 500, see test_litellm.
    "litellm": {
        "models": "",
        "chat": "mock-chat",
        "chat_stream": "mock-chat",
        "responses": "mock-chat",
        "embeddings": "mock-embedding",
    },
    "llama_cpp": {
        "models": "",
        **dict.fromkeys(("chat", "chat_stream", "responses", "responses_stream", "embeddings"), MODEL),
    },
    "llama_cpp_python": {"models": "", **dict.fromkeys(("chat", "chat_stream", "embeddings"), MODEL)},
    "aimock": {"models": "", **dict.fromkeys([name for name in MODULES if name != "models"], MODEL)},
}
"""Server to module to model: everything that is probed successfully."""

UPSTREAM = {
    "chat": "gpt-5.4-mini",
    "chat_stream": "gpt-5.4-mini",
    "responses": "gpt-5.4-mini",
    "responses_stream": "gpt-5.4-mini",
    "embeddings": "text-embedding-3-small",
    "moderations": "omni-moderation-latest",
    "speech": "gpt-4o-mini-tts",
    "transcriptions": "gpt-4o-mini-transcribe",
    "images": "gpt-image-2",
}
"""Module to model, for LiteLLM's proxy in front of an OpenAI API."""


def litellm(upstream: str) -> dict[str, Any]:
    """LiteLLM's configuration."""
    mocked = {
        "mock-chat": "Pong, says a model that is not there",
        "mock-embedding": [0.1, 0.2, 0.3],
        "mock-limited": "litellm.RateLimitError",
        "mock-broken": "litellm.InternalServerError",
        "mock-too-long": "litellm.ContextWindowExceededError",
    }
    models = [_deployment(name, "gpt-5.4-mini", mock_response=reply) for name, reply in mocked.items()]
    models.append(_deployment("unreachable", "gpt-5.4-mini", api_base="http://127.0.0.1:1/v1"))
    if upstream:
        names = [*dict.fromkeys(UPSTREAM.values()), "gpt-0"]
        models += [_deployment(name, name, api_base=upstream) for name in names]
    return {
        "model_list": models,
        "general_settings": {"master_key": KEY},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


def _deployment(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": f"openai/{model}", "api_key": "sk-upstream", **more}}


FIRST_EVENT = 0.2
PACE = 0.05
"""Seconds that aimock waits before the first event of a stream, and before every other."""
_SAID = {"content": "pong it is, and so it shall be until the end"}
_SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="

AIMOCK: dict[str, Any] = {
    "fixtures": [
        {
            "match": {"model": "no-such-model"},
            "response": {
                "status": 404,
                "error": {
                    "message": "The model `no-such-model` does not exist.",
                    "type": "invalid_request_error",
                    "code": "model_not_found",
                },
            },
        },
        {
            "match": {"model": "limited"},
            "response": {
                "status": 429,
                "retryAfter": 7,
                "error": {"message": "Too many", "type": "requests", "code": "rate_limit_exceeded"},
            },
        },
        {"match": {"model": "garbled"}, "response": _SAID, "chaos": {"malformedRate": 1.0}},
        {"match": {"model": "dropped"}, "response": _SAID, "chaos": {"dropRate": 1.0}},
        {"match": {"model": "hung-up"}, "response": _SAID, "chaos": {"disconnectRate": 1.0}},
        {
            "match": {"model": "cut"},
            "response": _SAID,
            "chunkSize": 4,
            "truncateAfterChunks": 4,
            "streamingProfile": {"ttft": 20, "tps": 50, "jitter": 0},
        },
        {
            "match": {"model": "slow"},
            "response": _SAID,
            "chunkSize": 4,
            "streamingProfile": {"ttft": 20, "tps": 2, "jitter": 0},
        },
        {"match": {"model": "late"}, "response": _SAID, "streamingProfile": {"ttft": 5000}},
        {
            "match": {"endpoint": "chat"},
            "response": _SAID,
            "chunkSize": 4,
            "streamingProfile": {"ttft": FIRST_EVENT * 1000, "tps": 1 / PACE, "jitter": 0},
        },
        {"match": {"endpoint": "embedding"}, "response": {"embedding": [0.1, 0.2, 0.3]}},
        {"match": {"endpoint": "image"}, "response": {"image": {"b64Json": "iVBORw0KGgo="}}},
        {"match": {"endpoint": "speech"}, "response": {"audio": _SILENCE, "format": "wav"}},
        {"match": {"endpoint": "transcription"}, "response": {"transcription": {"text": "pong"}}},
    ]
}
"""aimock's replies; the first that matches is given."""

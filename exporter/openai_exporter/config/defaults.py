# SPDX-License-Identifier: Apache-2.0
"""The configuration that is used when there is no file: a few probes, the organization, the status page."""

from collections.abc import Mapping
from typing import Any

from openai_exporter.config.probing import OPENAI_URL

CHAT_MODELS = ("gpt-6-luna", "gpt-5.4-mini")
"""Low-priced current models (price tables and shutdown dates as of 2026-11)."""
EMBEDDING_MODEL = "text-embedding-3-small"
MODERATION_MODEL = "omni-moderation-latest"
COUNT = "Reply with the words: one two three four five six seven eight"
"""Eight words of a token each: enough for gaps between tokens and a speed, for some 0.000005 USD more than one word."""
GUARD: Mapping[str, Any] = {"min_interval": "1s", "daily_cost_limit_usd": 1}
"""What whoever reaches the port can make the exporter spend. Both models each 15 s come to a third of it."""


def default_document(env: Mapping[str, str]) -> dict[str, Any] | None:
    """The built-in configuration as plain data; None when the environment holds no key."""
    base_url = env.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    document: dict[str, Any] = {}
    if env.get("OPENAI_API_KEY", "").strip():
        document |= _probing(base_url)
    if env.get("OPENAI_ADMIN_KEY", "").strip():
        organization = {"name": "default", "base_url": base_url, "admin_key_env": "OPENAI_ADMIN_KEY"}
        document["organizations"] = [organization]
    if document and base_url == OPENAI_URL:
        document["status_pages"] = [{"name": "openai"}]
    return document or None


def _probing(base_url: str) -> dict[str, Any]:
    probes = [
        {"target": "openai", "module": "models"},
        {"target": "openai", "module": "chat_stream", "models": list(CHAT_MODELS)},
        {"target": "openai", "module": "responses", "models": [CHAT_MODELS[0]]},
        {"target": "openai", "module": "embeddings", "models": [EMBEDDING_MODEL]},
        {"target": "openai", "module": "moderations", "models": [MODERATION_MODEL]},
    ]
    target = {"name": "openai", "base_url": base_url, "api_key_env": "OPENAI_API_KEY"}
    return {"targets": [target], "modules": builtin_modules(), "probes": probes}


def builtin_modules() -> dict[str, Any]:
    """The modules of the built-in configuration, as plain data."""
    # Both chat models accept effort none; with any other, reasoning eats the few output tokens that a probe may spend.
    quiet = {"reasoning_effort": "none"}
    chat = {"request": quiet, "expect": {"text": "(?i)pong"}, **GUARD}
    stream = {"stream": True, "request": quiet | {"prompt": COUNT}, "expect": {"text": "(?i)eight"}, **GUARD}
    return {
        "models": {"endpoint": "models"},
        "chat": {"endpoint": "chat", **chat},
        "chat_stream": {"endpoint": "chat", **stream},
        "responses": {"endpoint": "responses", **chat},
        "responses_stream": {"endpoint": "responses", **stream},
        "embeddings": {"endpoint": "embeddings", "expect": {"vector_length": 1536}, **GUARD},
        "moderations": {"endpoint": "moderations"},
    }

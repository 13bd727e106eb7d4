# SPDX-License-Identifier: Apache-2.0
"""Probers over a configuration in a few lines."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeKey
from openai_exporter.probe.service import Prober
from openai_exporter.probe.state import History

KEY = "sk-proj-Zk3vQ9xT7bLm2Rw8"
MODELS = {
    "chat": "gpt-6-luna",
    "responses": "gpt-6-luna",
    "embeddings": "text-embedding-3-small",
    "moderations": "omni-moderation-latest",
    "speech": "gpt-4o-mini-tts",
    "transcriptions": "gpt-transcribe",
    "images": "gpt-image-2",
}
QUIET = {"reasoning_effort": "none"}
MODULES: dict[str, dict[str, Any]] = {
    "chat": {"endpoint": "chat", "request": QUIET, "expect": {"text": "(?i)pong"}},
    "chat_stream": {"endpoint": "chat", "stream": True, "request": QUIET, "expect": {"text": "(?i)pong"}},
    "responses": {"endpoint": "responses", "request": QUIET, "expect": {"text": "(?i)pong"}},
    "responses_stream": {
        "endpoint": "responses", "stream": True, "request": QUIET, "expect": {"text": "(?i)pong"},
    },
    "embeddings": {"endpoint": "embeddings", "expect": {"vector_length": 1536}},
    "moderations": {"endpoint": "moderations"},
    "models": {"endpoint": "models"},
    "speech": {"endpoint": "speech"},
    "transcriptions": {"endpoint": "transcriptions"},
    "images": {"endpoint": "images"},
}  # fmt: skip


def configuration(
    url: str,
    modules: Mapping[str, Mapping[str, Any]] = MODULES,
    *,
    key: str = KEY,
    more: Mapping[str, Any] | None = None,
    **target: Any,
) -> Config:
    """One target `api` with every module on the usual model of its endpoint."""
    if not target.get("no_key") and "api_key_file" not in target:
        target["api_key_env"] = "KEY"
    probes = []
    for name, module in modules.items():
        model = MODELS.get(str(module["endpoint"]))
        probes.append({"target": "api", "module": name, **({"models": [model]} if model else {})})
    document = {
        "targets": [{"name": "api", "base_url": url, **target}],
        "modules": {name: dict(module) for name, module in modules.items()},
        "probes": probes,
        **(more or {}),
    }
    return parse_config(yaml.safe_dump(document), "test", {"KEY": key}, Path())


def within(seconds: float, modules: Mapping[str, Mapping[str, Any]] = MODULES) -> dict[str, dict[str, Any]]:
    """The modules with this timeout."""
    return {name: {**module, "timeout": f"{round(seconds * 1000)}ms"} for name, module in modules.items()}


def key_of(module: str, modules: Mapping[str, Mapping[str, Any]] = MODULES) -> ProbeKey:
    """The probe of a module."""
    return ProbeKey("api", module, MODELS.get(str(modules[module]["endpoint"]), ""))


@contextlib.asynccontextmanager
async def prober_for(config: Config, **settings: Any) -> AsyncIterator[Prober]:
    """A prober that is closed at the end."""
    settings.setdefault("instruments", Instruments(process=False))
    settings.setdefault("history", History(100))
    prober = Prober(config, **settings)
    try:
        yield prober
    finally:
        await prober.close()

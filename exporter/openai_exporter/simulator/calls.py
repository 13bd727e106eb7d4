# SPDX-License-Identifier: Apache-2.0
"""What the inference endpoints tell the organization's books. Plain data, no behaviour."""

from dataclasses import dataclass
from typing import Literal

Operation = Literal[
    "completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"
]


@dataclass(frozen=True, slots=True)
class OrganizationSize:
    """How many projects, API keys and users the simulated organization has."""

    projects: int = 4
    keys: int = 8
    users: int = 6


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom an API key belongs to, as the usage API names them."""

    project_id: str
    api_key_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """One billed inference call; `model` is the dated snapshot, `time` simulated unix seconds.

    Token counts follow the usage API: `input_tokens` includes cached and cache-write tokens.
    """

    time: float
    operation: Operation
    model: str
    identity: Identity
    batch: bool = False
    service_tier: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_cached_tokens: int = 0
    input_cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: int = 0
    size: str | None = None
    source: str | None = None

# SPDX-License-Identifier: Apache-2.0
"""What the organization uses the API for: models, sizes of requests, rhythm and volume. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_2024_08 = 1722470400
_2025_05 = 1746057600
_2025_09 = 1756684800
_2025_10_23 = 1761177600
_2026_03_20 = 1773964800
_2026_09_20 = 1789862400
_2026_10_25 = 1792886400
ALWAYS = float("inf")


@dataclass(frozen=True, slots=True)
class Purpose:
    """One kind of use. `volume` is requests per day; `means` are average parts of a request.

    `since` and `until` (unix seconds) are when the organization adopted and left it.
    """

    operation: str
    model: str | None
    rhythm: str
    volume: float
    shape: str
    means: Mapping[str, float]
    batch: bool = False
    service_tier: str | None = None
    since: float = 0.0
    until: float = ALWAYS
    extras: Mapping[str, str] = field(default_factory=dict)


TEXT, CACHED, OUT = "input_text_tokens", "input_cached_text_tokens", "output_text_tokens"
WRITE_30M, WRITE_12H = "input_cache_write_30m_tokens", "input_cache_write_12h_tokens"
CHAT = {TEXT: 620.0, CACHED: 540.0, OUT: 310.0}
SHORT = {TEXT: 140.0, OUT: 24.0}
RETRIEVAL = {TEXT: 5200.0, CACHED: 1900.0, OUT: 420.0}
AGENT = {TEXT: 2600.0, CACHED: 14500.0, WRITE_30M: 1800.0, WRITE_12H: 350.0, OUT: 950.0}
BULK = {TEXT: 1500.0, OUT: 180.0}
VISION = {
    TEXT: 310.0,
    CACHED: 120.0,
    "input_image_tokens": 1100.0,
    "input_cached_image_tokens": 200.0,
    OUT: 260.0,
}
VOICE = {
    TEXT: 90.0,
    "input_audio_tokens": 740.0,
    "input_cached_audio_tokens": 160.0,
    OUT: 70.0,
    "output_audio_tokens": 510.0,
}
ARTWORK = {TEXT: 80.0, "input_image_tokens": 400.0, OUT: 60.0, "output_image_tokens": 1056.0}


def _chat(model: str, rhythm: str, volume: float, shape: str, **more: object) -> Purpose:
    return Purpose("completions", model, rhythm, volume, shape, _SHAPES[shape], **more)  # type: ignore[arg-type]


_SHAPES: Mapping[str, Mapping[str, float]] = {
    "chat": CHAT,
    "short": SHORT,
    "retrieval": RETRIEVAL,
    "agent": AGENT,
    "bulk": BULK,
    "vision": VISION,
    "voice": VOICE,
    "artwork": ARTWORK,
}
_EMBED = {"input_tokens": 820.0}
_LOOKED_UP = {"num_requests": 1.6}
_GENERATION = {"source": "image.generation", "size": "1024x1024"}
_FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
_HIGH = {"context_level": "high"}
_MEDIUM = {"context_level": "medium"}
_EDIT = {"source": "image.edit", "size": "1024x1792"}

PURPOSES: tuple[Purpose, ...] = (
    _chat("gpt-6-luna", "consumer", 5200, "chat", service_tier="default", since=_2026_09_20),
    _chat("gpt-5.4-2026-03-05", "office", 1900, "retrieval", service_tier="default", since=_2026_03_20),
    Purpose("embeddings", "text-embedding-3-small", "steady", 7400, "embed", _EMBED),
    _chat("gpt-6-sol", "office", 640, "agent", service_tier="default", since=_2026_09_20),
    _chat("gpt-5.4-mini-2026-03-17", "nightly", 3100, "bulk", batch=True, since=_2026_03_20),
    Purpose(
        "web_search_calls",
        "gpt-6-sol",
        "office",
        210,
        "search",
        _LOOKED_UP,
        extras=_MEDIUM,
    ),
    _chat("gpt-4o-mini-2024-07-18", "consumer", 4100, "chat", service_tier="default", since=_2024_08),
    Purpose(
        "moderations", "omni-moderation-2024-09-26", "consumer", 3900, "moderate", {"input_tokens": 130.0}
    ),
    _chat("gpt-6.1-terra", "office", 420, "agent", service_tier="priority", since=_2026_10_25),
    Purpose("file_search_calls", None, "office", 560, "lookup", {}),
    _chat("gpt-6-luna", "nightly", 2600, "bulk", batch=True, since=_2026_09_20),
    Purpose(
        "images", "gpt-image-2-2026-04-21", "consumer", 130, "image", {"images": 1.0}, extras=_GENERATION
    ),
    _chat("gpt-5-mini-2025-08-07", "steady", 1700, "short", service_tier="flex", since=_2025_09),
    Purpose("audio_transcriptions", "gpt-transcribe", "office", 240, "call", {"seconds": 185.0}),
    _chat("gpt-4.1-2025-04-14", "office", 520, "vision", service_tier="default", since=_2025_05),
    Purpose("code_interpreter_sessions", None, "bursty", 85, "session", {}),
    _chat("gpt-audio-2025-08-28", "consumer", 340, "voice", service_tier="default", since=_2025_09),
    Purpose("audio_speeches", "tts-1", "consumer", 280, "speech", {"characters": 640.0}),
    _chat(
        "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7",
        "steady",
        900,
        "short",
        service_tier="default",
        since=_2026_03_20,
    ),
    Purpose(
        "decisions", "gpt-6-luna", "steady", 1300, "decide", SHORT, service_tier="default", since=_2026_09_20
    ),
    _chat("gpt-5.4-2026-03-05", "bursty", 260, "retrieval", service_tier="priority", since=_2026_03_20),
    Purpose("embeddings", "text-embedding-3-large", "nightly", 2900, "embed", _EMBED),
    _chat("gpt-6-luna", "steady", 1500, "short", service_tier="flex", since=_2026_09_20),
    Purpose(
        "web_search_calls",
        "gpt-5.4-2026-03-05",
        "bursty",
        60,
        "search",
        _LOOKED_UP,
        extras=_HIGH,
    ),
    _chat("gpt-5.4-mini-2026-03-17", "consumer", 2300, "chat", service_tier="default", since=_2026_03_20),
    Purpose("images", "gpt-image-2-2026-04-21", "office", 40, "image", {"images": 1.0}, extras=_EDIT),
    _chat("gpt-4-0613", "office", 350, "chat", service_tier="default", until=_2025_10_23),
    _chat("gpt-3.5-turbo-0125", "consumer", 2400, "chat", service_tier="default", until=_2025_10_23),
    _chat("gpt-image-2-2026-04-21", "bursty", 70, "artwork", service_tier="default", since=_2026_03_20),
    _chat("gpt-6-sol", "nightly", 310, "retrieval", batch=True, since=_2026_09_20),
)

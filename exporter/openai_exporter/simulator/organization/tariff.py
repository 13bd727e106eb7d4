# SPDX-License-Identifier: Apache-2.0
"""How usage is priced and named on the bill. Tables only; list prices come from prices.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Rate:
    """How one part of usage is billed: the line item's ending, the kind of list price, the quantity's unit."""

    line: str
    kind: str
    unit: str = "tokens"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool call: its line item, the part that counts calls, USD per call."""

    line_item: str
    part: str
    price: Decimal


PRICED_OPERATIONS = (
    "completions",
    "decisions",
    "embeddings",
    "moderations",
    "audio_transcriptions",
    "audio_speeches",
)
RATES: Mapping[str, Rate] = {
    "input_tokens": Rate("input", "input"),
    "input_text_tokens": Rate("input", "input"),
    "input_image_tokens": Rate("input", "image input"),
    "input_audio_tokens": Rate("audio input", "audio input"),
    "input_cached_text_tokens": Rate("cached input", "cached input"),
    "input_cached_image_tokens": Rate("cached input", "cached image input"),
    "input_cached_audio_tokens": Rate("cached input", "cached audio input"),
    "input_cache_write_30m_tokens": Rate("cache write", "cache write"),
    "input_cache_write_12h_tokens": Rate("cache write", "cache write"),
    "output_text_tokens": Rate("output", "output"),
    "output_image_tokens": Rate("output", "image output"),
    "output_audio_tokens": Rate("audio output", "audio output"),
    "seconds": Rate("transcription", "transcription", "duration_seconds"),
    "characters": Rate("speech", "characters", "characters"),
}
# Fine-tuned models of the organization are on no public list: USD per token, by the kind of price.
UNLISTED: Mapping[str, Decimal] = {
    "input": Decimal("0.0000004"),
    "cached input": Decimal("0.00000004"),
    "output": Decimal("0.0000025"),
}
IMAGE_PRICE = Decimal("0.042")
TOOLS: Mapping[str, Tool] = {
    "web_search_calls": Tool("web search tool calls", "num_requests", Decimal("0.01")),
    "file_search_calls": Tool("file search tool calls", "num_requests", Decimal("0.0025")),
    "code_interpreter_sessions": Tool("code interpreter sessions", "num_sessions", Decimal("0.03")),
}
STORAGE_LINE = "file search storage"
STORAGE_PRICE = Decimal("0.0041666667")  # USD per GiB and hour: ten cents a day

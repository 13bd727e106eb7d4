# SPDX-License-Identifier: Apache-2.0
"""The usage endpoints as a table: path, result object, dimensions, filters and value fields. Pure data and one sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Values = Sequence[int]
COMPLETION_PARTS = (
    "num_model_requests", "input_text_tokens", "input_cached_text_tokens",
    "input_cache_write_30m_tokens", "input_cache_write_12h_tokens",
    "input_audio_tokens", "input_cached_audio_tokens", "input_image_tokens", "input_cached_image_tokens",
    "output_text_tokens", "output_audio_tokens", "output_image_tokens",
)  # fmt: skip
_WHO = ("project_id", "user_id", "api_key_id")
_UNFILTERED = ("service_tier", "api_source")


@dataclass(frozen=True, slots=True)
class UsageOperation:
    """One usage endpoint.

    `parts` are the additive figures that a stream has; `fields` the figures of the reply, which `render`
    computes from them. `allowed` lists the closed sets of filter values.
    """

    name: str
    result: str
    dimensions: tuple[str, ...]
    parts: tuple[str, ...]
    fields: tuple[str, ...]
    render: Callable[[Values], Values]
    allowed: Mapping[str, tuple[str, ...]]
    level: bool = False

    @property
    def path(self) -> str:
        """The path below /v1."""
        return f"/organization/usage/{self.name}"

    @property
    def filters(self) -> dict[str, str]:
        """Query parameter of each filter to the dimension it acts on."""
        return {name if name == "batch" else f"{name}s": name for name in self.dimensions if name not in _UNFILTERED}


def _same(values: Values) -> Values:
    return values


def _completions(parts: Values) -> Values:
    """The reply's totals: input includes cached and cache-write tokens of every modality."""
    requests, text, cached_text, write_30m, write_12h, *rest = parts
    audio, cached_audio, image, cached_image, out_text, out_audio, out_image = rest
    uncached = text + audio + image
    cached = cached_text + cached_audio + cached_image
    written = write_30m + write_12h
    totals = (uncached + cached + written, cached, written, write_30m, write_12h, uncached)
    inputs = (text, cached_text, audio, cached_audio, image, cached_image)
    return (*totals, out_text + out_audio + out_image, *inputs, out_text, out_audio, out_image, requests)


COMPLETION_FIELDS = (
    "input_tokens", "input_cached_tokens", "input_cache_write_tokens",
    "input_cache_write_30m_tokens", "input_cache_write_12h_tokens", "input_uncached_tokens", "output_tokens",
    "input_text_tokens", "input_cached_text_tokens", "input_audio_tokens", "input_cached_audio_tokens",
    "input_image_tokens", "input_cached_image_tokens",
    "output_text_tokens", "output_audio_tokens", "output_image_tokens", "num_model_requests",
)  # fmt: skip


def _of_completions(name: str) -> UsageOperation:
    dimensions = (*_WHO, "model", "batch", "service_tier", "api_source")
    result = f"organization.usage.{name}.result"
    return UsageOperation(name, result, dimensions, COMPLETION_PARTS, COMPLETION_FIELDS, _completions, {})


def _plain(
    name: str,
    dimensions: tuple[str, ...],
    *fields: str,
    result: str | None = None,
    allowed: Mapping[str, tuple[str, ...]] | None = None,
    level: bool = False,
) -> UsageOperation:
    kind = f"organization.usage.{result or name}.result"
    return UsageOperation(name, kind, dimensions, fields, fields, _same, allowed or {}, level)


_MODEL = (*_WHO, "model")
_IMAGE_VALUES = {
    "sources": ("image.generation", "image.edit", "image.variation"),
    "sizes": ("256x256", "512x512", "1024x1024", "1792x1792", "1024x1792"),
}
_CONTEXT_VALUES = {"context_levels": ("low", "medium", "high")}
_REQUESTS = "num_model_requests"

OPERATIONS: Mapping[str, UsageOperation] = {
    operation.name: operation
    for operation in (
        _of_completions("completions"),
        _of_completions("decisions"),
        _plain("embeddings", _MODEL, _REQUESTS, "input_tokens"),
        _plain("moderations", _MODEL, _REQUESTS, "input_tokens"),
        _plain("images", (*_MODEL, "size", "source"), _REQUESTS, "images", allowed=_IMAGE_VALUES),
        _plain("audio_speeches", _MODEL, _REQUESTS, "characters"),
        _plain("audio_transcriptions", _MODEL, _REQUESTS, "seconds"),
        _plain("vector_stores", ("project_id",), "usage_bytes", level=True),
        _plain("code_interpreter_sessions", ("project_id",), "num_sessions"),
        _plain("file_search_calls", (*_WHO, "vector_store_id"), "num_requests", result="file_searches"),
        _plain(
            "web_search_calls",
            (*_MODEL, "context_level", "api_source"),
            _REQUESTS,
            "num_requests",
            result="web_searches",
            allowed=_CONTEXT_VALUES,
        ),
    )
}

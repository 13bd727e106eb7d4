# SPDX-License-Identifier: Apache-2.0
"""The members of each inference request, from the official API description, and how they are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai_simulator.errors import (
    ApiError,
    invalid_type,
    invalid_value,
    missing_parameter,
    quoted,
    unknown_parameter,
)

# Checking a request's members against a table, with the API's own refusals. Knows no endpoint.

_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a decimal",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
}


@dataclass(frozen=True, slots=True)
class Member:
    """What a member may be: JSON types, range of numbers or lengths, allowed words, null."""

    types: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()
    null: bool = True
    required: bool = False


Table = Mapping[str, Member]


def check(body: Mapping[str, Any], table: Table) -> None:
    """Raise the API's 400 for the first member that is missing, unknown, of a wrong type or out of range."""
    for name, member in table.items():
        if member.required and name not in body:
            raise missing_parameter(name)
    for name, value in body.items():
        member_or_none = table.get(name)
        if member_or_none is None:
            raise unknown_parameter(name)
        _check_member(name, value, member_or_none)


def _check_member(name: str, value: Any, member: Member) -> None:
    if value is None and member.null and not member.required:
        return
    if not any(_is(kind, value) for kind in member.types):
        raise invalid_type(name, " or ".join(_NAMES[kind] for kind in member.types), value)
    if member.words and isinstance(value, str) and value not in member.words:
        raise invalid_value(name, value, quoted(member.words))
    size = len(value) if isinstance(value, str | list) else value
    if member.least is not None and _is("number", size) and size < member.least:
        raise _bound(name, value, "below_min", f"at least {member.least:g}")
    if member.most is not None and _is("number", size) and size > member.most:
        raise _bound(name, value, "above_max", f"at most {member.most:g}")


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
    return isinstance(value, dict)


def _bound(name: str, value: Any, ending: str, expected: str) -> ApiError:
    """Too small, too large; too short or too long for texts and arrays."""
    kind = "string" if isinstance(value, str) else "array" if isinstance(value, list) else None
    if kind is None:
        what = "integer" if isinstance(value, int) else "decimal"
        message = f"Invalid '{name}': {what} {ending.replace('_', ' ')} value."
        message += f" Expected {expected}, got {value}."
        return ApiError(400, message, param=name, code=f"{what}_{ending}_value")
    message = f"Invalid '{name}': {kind} {ending.replace('_', ' ')} length."
    message += f" Expected {expected}, got {len(value)}."
    return ApiError(400, message, param=name, code=f"{kind}_{ending}_length")


# The members of each inference request, from the official API description. Data only.

TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_STRING = Member(("string",))
_NEEDED = Member(("string",), null=False, required=True)
_BOOLEAN = Member(("boolean",))
_OBJECT = Member(("object",))
_ARRAY = Member(("array",))

_SAMPLING: Table = {
    "metadata": _OBJECT,
    "temperature": Member(("number",), 0, 2),
    "top_p": Member(("number",), 0, 1),
    "top_logprobs": Member(("integer",), 0, 20),
    "user": _STRING,
    "safety_identifier": Member(("string",), 0, 64),
    "prompt_cache_key": _STRING,
    "prompt_cache_retention": Member(("string",), words=("in_memory", "24h")),
    "prompt_cache_options": _OBJECT,
    "service_tier": Member(("string",), words=TIERS),
    "store": _BOOLEAN,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "tools": _ARRAY,
    "tool_choice": Member(("string", "object")),
    "parallel_tool_calls": _BOOLEAN,
    "moderation": _OBJECT,
}

CHAT: Table = {
    **_SAMPLING,
    "model": _NEEDED,
    "messages": Member(("array",), 1, None, null=False, required=True),
    "modalities": _ARRAY,
    "verbosity": Member(("string",), words=("low", "medium", "high")),
    "reasoning_effort": Member(("string",), words=EFFORTS),
    "max_completion_tokens": Member(("integer",), 1),
    "max_tokens": Member(("integer",), 1),
    "frequency_penalty": Member(("number",), -2, 2),
    "presence_penalty": Member(("number",), -2, 2),
    "web_search_options": _OBJECT,
    "response_format": _OBJECT,
    "audio": _OBJECT,
    "stop": Member(("string", "array")),
    "logit_bias": _OBJECT,
    "logprobs": _BOOLEAN,
    "n": Member(("integer",), 1, 128),
    "prediction": _OBJECT,
    "seed": Member(("integer",)),
    "function_call": Member(("string", "object")),
    "functions": _ARRAY,
}

RESPONSES: Table = {
    **_SAMPLING,
    "model": _NEEDED,
    "input": Member(("string", "array")),
    "instructions": _STRING,
    "previous_response_id": _STRING,
    "background": _BOOLEAN,
    "max_tool_calls": Member(("integer",), 1),
    "text": _OBJECT,
    "prompt": _OBJECT,
    "truncation": Member(("string",), words=("auto", "disabled")),
    "reasoning": _OBJECT,
    "include": _ARRAY,
    "conversation": Member(("string", "object")),
    "context_management": _ARRAY,
    "max_output_tokens": Member(("integer",), 16),
}

INPUT_TOKENS: Table = {
    name: RESPONSES[name]
    for name in (
        "input", "instructions", "previous_response_id", "text", "truncation", "reasoning",
        "conversation", "tools", "tool_choice", "parallel_tool_calls",
    )
} | {"model": _STRING, "personality": _STRING}  # fmt: skip

EMBEDDINGS: Table = {
    "model": _NEEDED,
    "input": Member(("string", "array"), 1, null=False, required=True),
    "encoding_format": Member(("string",), words=("float", "base64")),
    "dimensions": Member(("integer",), 1),
    "user": _STRING,
}

MODERATIONS: Table = {
    "model": _STRING,
    "input": Member(("string", "array"), null=False, required=True),
}

VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse",
    "marin", "cedar",
)  # fmt: skip
SPEECH: Table = {
    "model": _NEEDED,
    "input": Member(("string",), 1, 4096, null=False, required=True),
    "voice": Member(("string", "object"), words=VOICES, null=False, required=True),
    "instructions": Member(("string",), 0, 4096),
    "response_format": Member(("string",), words=("mp3", "opus", "aac", "flac", "wav", "pcm")),
    "speed": Member(("number",), 0.25, 4),
    "stream_format": Member(("string",), words=("sse", "audio")),
}

IMAGES: Table = {
    "prompt": Member(("string",), 1, 32_000, null=False, required=True),
    "model": _STRING,
    "n": Member(("integer",), 1, 10),
    "quality": Member(("string",), words=("low", "medium", "high", "auto")),
    "output_format": Member(("string",), words=("png", "jpeg", "webp")),
    "output_compression": Member(("integer",), 0, 100),
    "stream": _BOOLEAN,
    "partial_images": Member(("integer",), 0, 3),
    "size": Member(("string",), words=("auto", "1024x1024", "1536x1024", "1024x1536")),
    "moderation": Member(("string",), words=("low", "auto")),
    "background": Member(("string",), words=("transparent", "opaque", "auto")),
    "user": _STRING,
}

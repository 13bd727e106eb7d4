# SPDX-License-Identifier: Apache-2.0
"""The members of each inference request, from the official API description, and how they are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai_simulator import errors

_TYPES: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("a string", str),
    "integer": ("an integer", int),
    "number": ("a decimal", (int, float)),
    "boolean": ("a boolean", bool),
    "array": ("an array", list),
    "object": ("an object", dict),
}
"""How error messages name a JSON type, and its types in Python."""


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
            raise errors.missing_parameter(name)
    for name, value in body.items():
        if name not in table:
            raise errors.unknown_parameter(name)
        _check_member(name, value, table[name])


def _check_member(name: str, value: Any, member: Member) -> None:
    if value is None and member.null and not member.required:
        return
    if not any(_is(kind, value) for kind in member.types):
        raise errors.invalid_type(name, " or ".join(_TYPES[kind][0] for kind in member.types), value)
    if member.words and isinstance(value, str) and value not in member.words:
        raise errors.invalid_value(name, value, errors.quoted(member.words))
    size = len(value) if isinstance(value, str | list) else value
    if member.least is not None and _is("number", size) and size < member.least:
        raise _bound(name, value, "below_min", f"at least {member.least:g}")
    if member.most is not None and _is("number", size) and size > member.most:
        raise _bound(name, value, "above_max", f"at most {member.most:g}")


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind][1]) and (kind == "boolean" or not isinstance(value, bool))


def _bound(name: str, value: Any, ending: str, expected: str) -> errors.ApiError:
    """Too small, too large; too short or too long for texts and arrays."""
    if isinstance(value, str | list):
        kind, what, size = ("string" if isinstance(value, str) else "array"), "length", len(value)
    else:
        kind, what, size = ("integer" if isinstance(value, int) else "decimal"), "value", value
    message = f"Invalid '{name}': {kind} {ending.replace('_', ' ')} {what}. Expected {expected}, got {size}."
    return errors.ApiError(400, message, param=name, code=f"{kind}_{ending}_{what}")


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_MODEL = Member(("string",), null=False, required=True)
_EITHER = Member(("string", "object"))


def _members(kind: str, names: str) -> dict[str, Member]:
    """Members that may be anything of one type."""
    return dict.fromkeys(names.split(), Member((kind,)))


def _words(*words: str) -> Member:
    return Member(("string",), words=words)


_SAMPLING: Table = {
    **_members("string", "user prompt_cache_key"),
    **_members("boolean", "store stream parallel_tool_calls"),
    **_members("object", "metadata prompt_cache_options stream_options moderation"),
    **_members("array", "tools"),
    "model": _MODEL,
    "temperature": Member(("number",), 0, 2),
    "top_p": Member(("number",), 0, 1),
    "top_logprobs": Member(("integer",), 0, 20),
    "safety_identifier": Member(("string",), 0, 64),
    "prompt_cache_retention": _words("in_memory", "24h"),
    "service_tier": _words("auto", "default", "flex", "scale", "priority", "fast"),
    "tool_choice": _EITHER,
}

CHAT: Table = {
    **_SAMPLING,
    **_members("object", "web_search_options response_format audio logit_bias prediction"),
    **_members("array", "modalities functions"),
    **_members("boolean", "logprobs"),
    **_members("integer", "seed"),
    "messages": Member(("array",), 1, None, null=False, required=True),
    "verbosity": _words("low", "medium", "high"),
    "reasoning_effort": _words(*EFFORTS),
    "max_completion_tokens": Member(("integer",), 1),
    "max_tokens": Member(("integer",), 1),
    "frequency_penalty": Member(("number",), -2, 2),
    "presence_penalty": Member(("number",), -2, 2),
    "stop": Member(("string", "array")),
    "n": Member(("integer",), 1, 128),
    "function_call": _EITHER,
}

RESPONSES: Table = {
    **_SAMPLING,
    **_members("string", "instructions previous_response_id"),
    **_members("object", "text prompt reasoning"),
    **_members("array", "include context_management"),
    **_members("boolean", "background"),
    "input": Member(("string", "array")),
    "max_tool_calls": Member(("integer",), 1),
    "truncation": _words("auto", "disabled"),
    "conversation": _EITHER,
    "max_output_tokens": Member(("integer",), 16),
}

INPUT_TOKENS: Table = {
    name: RESPONSES[name]
    for name in (
        "input", "instructions", "previous_response_id", "text", "truncation", "reasoning",
        "conversation", "tools", "tool_choice", "parallel_tool_calls",
    )
} | _members("string", "model personality")  # fmt: skip

EMBEDDINGS: Table = {
    **_members("string", "user"),
    "model": _MODEL,
    "input": Member(("string", "array"), 1, null=False, required=True),
    "encoding_format": _words("float", "base64"),
    "dimensions": Member(("integer",), 1),
}

MODERATIONS: Table = {
    **_members("string", "model"),
    "input": Member(("string", "array"), null=False, required=True),
}

VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse",
    "marin", "cedar",
)  # fmt: skip
SPEECH: Table = {
    "model": _MODEL,
    "input": Member(("string",), 1, 4096, null=False, required=True),
    "voice": Member(("string", "object"), words=VOICES, null=False, required=True),
    "instructions": Member(("string",), 0, 4096),
    "response_format": _words("mp3", "opus", "aac", "flac", "wav", "pcm"),
    "speed": Member(("number",), 0.25, 4),
    "stream_format": _words("sse", "audio"),
}

IMAGES: Table = {
    **_members("string", "model user"),
    **_members("boolean", "stream"),
    "prompt": Member(("string",), 1, 32_000, null=False, required=True),
    "n": Member(("integer",), 1, 10),
    "quality": _words("low", "medium", "high", "auto"),
    "output_format": _words("png", "jpeg", "webp"),
    "output_compression": Member(("integer",), 0, 100),
    "partial_images": Member(("integer",), 0, 3),
    "size": _words("auto", "1024x1024", "1536x1024", "1024x1536"),
    "moderation": _words("low", "auto"),
    "background": _words("transparent", "opaque", "auto"),
}

# SPDX-License-Identifier: Apache-2.0
"""The members of each inference request, from the official API description. Data only."""

from openai_exporter.simulator.inference.checks import Member, Table

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

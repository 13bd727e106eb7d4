# SPDX-License-Identifier: Apache-2.0
"""Good answers in which something is replaced, dropped or made huge: what random JSON hardly ever comes near."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from openai_exporter.model import Endpoint

Path = tuple[str | int, ...]

_CHAT_USAGE = {
    "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
_USAGE = {
    "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
    "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
_MESSAGE = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "pong", "annotations": []}],
}  # fmt: skip
_RESPONSE = {
    "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-6-luna-2026-06-01", "error": None,
    "incomplete_details": None, "service_tier": "default", "usage": _USAGE,
    "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, _MESSAGE],
}  # fmt: skip

PLAIN: dict[Endpoint, Any] = {
    Endpoint.CHAT: {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna-2026-06-01",
        "service_tier": "default", "usage": _CHAT_USAGE,
        "choices": [
            {
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "pong", "refusal": None, "reasoning": None},
            }
        ],
    },
    Endpoint.RESPONSES: _RESPONSE,
    Endpoint.EMBEDDINGS: {
        "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
    },
    Endpoint.MODERATIONS: {
        "id": "modr-1", "model": "omni-moderation-latest",
        "results": [{"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}],
    },
    Endpoint.MODELS: {
        "object": "list",
        "data": [
            {"id": "gpt-6-luna", "object": "model", "created": 1, "owned_by": "system", "shutdown_date": "2027-01-14"},
            {"id": "gpt-5", "object": "model", "created": 1, "owned_by": "system", "shutdown_date": None},
        ],
    },
    Endpoint.TRANSCRIPTIONS: {"text": "pong", "usage": {"type": "tokens", **_USAGE}},
    Endpoint.IMAGES: {"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}], "usage": _USAGE},
}  # fmt: skip
"""Endpoint to a good answer."""


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna-2026-06-01",
        "service_tier": "default", "usage": None, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip


STREAMED: dict[Endpoint, list[Any]] = {
    Endpoint.CHAT: [
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"content": "po"}),
        _chunk({"content": "ng"}),
        _chunk({}, "stop"),
        {**_chunk({}), "choices": [], "usage": _CHAT_USAGE},
        "[DONE]",
    ],
    Endpoint.RESPONSES: [
        {
            "type": "response.created",
            "sequence_number": 0,
            "response": {**_RESPONSE, "status": "in_progress"},
        },
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": _MESSAGE},
        {"type": "response.output_text.delta", "sequence_number": 2, "item_id": "msg_1", "delta": "po"},
        {"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "delta": "ng"},
        {"type": "response.completed", "sequence_number": 4, "response": _RESPONSE},
    ],
}
"""Endpoint to the events of a good stream."""

ERROR = {
    "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": "model_not_found"}
}

LONG = st.sampled_from(["x" * 5000, "é" * 300, "a\nb\x00" * 100, '"\\' * 200, "\ud800\u2028" * 80])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | LONG,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "x" * 5000, "a\nb\x00\ud800", [], [None], ["x"], {}, {"a": 1},
)  # fmt: skip
"""What a value may be in place of what it should."""


def damaged(document: Any) -> Iterator[Any]:
    """The document with one of its values replaced by each of `ODD`, or dropped: every way there is."""
    for path in _paths(document):
        for value in ODD:
            yield _with(document, path, value)
        if path:
            yield _with(document, path, drop=True)


def _with(document: Any, path: Path, value: Any = None, *, drop: bool = False) -> Any:
    if not path:
        return value
    found = copy.deepcopy(document)
    holder = found
    for step in path[:-1]:
        holder = holder[step]
    if drop:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return found


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its values replaced or dropped."""
    found = document
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_paths(found))))
        drop = bool(path) and not draw(st.integers(0, 4))
        found = _with(found, path, None if drop else draw(VALUES), drop=drop)
    return found


def _paths(document: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _paths(value, (*path, name))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from _paths(value, (*path, number))

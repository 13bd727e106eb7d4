# SPDX-License-Identifier: Apache-2.0
"""Endpoint `chat`: POST /chat/completions, plain or streamed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from openai_exporter.model import Provider, Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Reading, ReplyError, Setting
from openai_exporter.probe.stream import Stream, stream_timing

_NEWER, _OLDER = "max_completion_tokens", "max_tokens"
_REASONING = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-(?:[5-9]|[1-9]\d))(?![0-9a-z])", re.IGNORECASE)
"""OpenAI's names of models that refuse max_tokens, after the prefix of a gateway."""


def body(setting: Setting) -> dict[str, Any]:
    """The request. Reasoning models refuse max_tokens, temperature and their like, so none of them is sent."""
    request = setting.module.request
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": request.prompt}]}
    if request.max_output_tokens is not None and not {_NEWER, _OLDER} & request.extra.keys():
        # Many compatible servers know only the older name, which OpenAI's reasoning models refuse:
        # a gateway that has these models knows the newer one.
        older = setting.provider is Provider.COMPATIBLE and not _REASONING.match(setting.model)
        fields[_OLDER if older else _NEWER] = request.max_output_tokens
    if request.reasoning_effort is not None:
        fields["reasoning_effort"] = request.reasoning_effort
    if request.service_tier is not None:
        fields["service_tier"] = request.service_tier
    if setting.module.stream:
        options = {"include_usage": True}
        if setting.provider is Provider.OPENAI:
            options["include_obfuscation"] = False
        fields |= {"stream": True, "stream_options": options}
    return fields


def read(document: Mapping[str, Any]) -> Reading:
    """What a plain answer says; raises ReplyError when it is not what the endpoint documents."""
    choice = r.first_of(document, "choices", "the answer has no choices")
    message = r.child(choice, "message", dict)
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise ReplyError("wrong_shape", f"field content is {r.kind(content)}, not a string")
    tokens, finish = r.usage_of(document, "prompt", "completion"), r.text_of(choice, "finish_reason")
    text = content or r.text_of(message, "refusal")
    reasoned = message.get("reasoning_content") or message.get("reasoning")
    produced = text or message.get("tool_calls") or _used(reasoned, tokens)
    return Reading(
        text=text,
        filtered=finish == "content_filter",
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=("empty", "the answer has no text") if not produced and finish in ("stop", "") else None,
    )


def read_stream(stream: Stream, whole: bool) -> Reading:
    """What a streamed answer says; `whole` when its bytes ended in order."""
    times: list[float] = []
    texts: list[str] = []
    finish, reasoned, problem = "", False, stream.problem
    try:
        for at, finish_reason, delta in _deltas(stream):
            finish = finish_reason or finish
            reasoned = reasoned or bool(delta.get("reasoning_content") or delta.get("reasoning"))
            if text := _visible(delta):
                times.append(at)
                texts.append(text)
    except ReplyError as error:
        problem = (error.outcome, str(error))
    counts = [r.usage_of(chunk, "prompt", "completion") for _, _, chunk in stream.events if chunk.get("usage")]
    tokens = next(filter(None, reversed(counts)), None)
    if problem is None and stream.error is None and whole:
        problem = _problem(stream.done or bool(finish), bool(times), finish, _used(reasoned, tokens))
    return Reading(
        text="".join(texts),
        filtered=finish == "content_filter",
        tokens=tokens,
        served_model=_newest(stream, "model"),
        service_tier=_newest(stream, "service_tier"),
        finish=finish,
        stream=stream_timing(stream.first_event, times, tokens),
        error=stream.error,
        problem=problem,
    )


def _deltas(stream: Stream) -> Iterator[tuple[float, str, Mapping[str, Any]]]:
    """Of each choice in each chunk when it came, its finish reason and its delta."""
    for at, _, chunk in stream.events:
        # Servers send chunks of their own kind between (usage alone, pings): without choices they say nothing here.
        choices = chunk.get("choices")
        if not isinstance(choices, list | None):
            raise ReplyError("wrong_shape", f"field choices is {r.kind(choices)}, not an array")
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise ReplyError("wrong_shape", f"a choice is {r.kind(choice)}, not an object")
            delta, finish = choice.get("delta"), choice.get("finish_reason")
            if not isinstance(delta, dict | None):
                raise ReplyError("wrong_shape", f"field delta is {r.kind(delta)}, not an object")
            yield at, finish if isinstance(finish, str) else "", delta or {}


def _visible(delta: Mapping[str, Any]) -> str:
    """The text that a user would see of a delta; some servers send it as a list of parts."""
    content = delta.get("content")
    if isinstance(content, list):
        content = "".join(r.text_of(part, "text") for part in content if isinstance(part, dict))
    text = content or delta.get("refusal") or ""
    if not isinstance(text, str):
        raise ReplyError("wrong_shape", f"field content is {r.kind(text)}, not a string")
    return text


def _newest(stream: Stream, name: str) -> str:
    texts = [text for _, _, chunk in stream.events if isinstance(text := chunk.get(name), str) and text]
    return texts[-1] if texts else ""


def _used(reasoned: object, tokens: Tokens | None) -> bool:
    """Whether the model did something, though no text shows it."""
    return bool(reasoned) or (tokens is not None and tokens.output > 0)


def _problem(ended: bool, visible: bool, finish: str, used: bool) -> tuple[str, str] | None:
    """What is wrong with a stream whose bytes ended in order."""
    if not (ended or visible):
        return ("wrong_shape", "the stream's events are no chat completion")
    if not ended:
        return ("truncated", "the stream ended without a finish reason")
    if not visible and not used and finish in ("stop", ""):
        return ("empty", "the stream had no text")
    return None

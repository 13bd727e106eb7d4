# SPDX-License-Identifier: Apache-2.0
"""Endpoint `chat`: POST /chat/completions, plain or streamed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openai_exporter.client.trace import ApiCall, Exchange
from openai_exporter.model import Provider, Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import ApiError, Method, Reading, ReplyError, Setting
from openai_exporter.probe.stream import DONE, Event, plain_error, stream_timing, walk


def build(setting: Setting) -> ApiCall:
    """The call. Reasoning models refuse max_tokens, temperature and their like, so none of them is sent."""
    request, stream = setting.module.request, setting.module.stream
    body: dict[str, Any] = {
        "model": setting.model,
        "messages": [{"role": "user", "content": request.prompt}],
    }
    if request.max_output_tokens is not None and not _BOUNDS & request.extra.keys():
        body[_bound_of(setting)] = request.max_output_tokens
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        if setting.provider is Provider.OPENAI:
            body["stream_options"]["include_obfuscation"] = False
    return ApiCall("POST", "/chat/completions", body | request.extra)


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    return _read_stream(exchange) if setting.module.stream else _read_plain(exchange)


METHOD = Method(build, read)

_NEWER, _OLDER = "max_completion_tokens", "max_tokens"
_BOUNDS = frozenset({_NEWER, _OLDER})
_REASONING = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-(?:[5-9]|[1-9]\d))(?![0-9a-z])", re.IGNORECASE)
"""OpenAI's names of models that refuse max_tokens, after the prefix of a gateway."""


def _bound_of(setting: Setting) -> str:
    """The name of the bound. Many compatible servers know only the older one, which OpenAI's reasoning models refuse:
    a gateway that has these models knows the newer one."""
    older = setting.provider is Provider.COMPATIBLE and not _REASONING.match(setting.model)
    return _OLDER if older else _NEWER


def _usage(document: Mapping[str, Any]) -> Tokens | None:
    details = ("prompt_tokens_details", "completion_tokens_details")
    return r.usage_of(document, ("prompt_tokens", "completion_tokens"), details)


def _read_plain(exchange: Exchange) -> Reading:
    document = r.load_object(exchange)
    error = r.error_of(document)
    if error is not None:
        return Reading(error=error)
    choices = r.child(document, "choices", list)
    if not choices:
        raise ReplyError("empty", "the answer has no choices")
    if not isinstance(choices[0], dict):
        raise ReplyError("wrong_shape", f"choices[0] is {r.kind(choices[0])}, not an object")
    message = r.child(choices[0], "message", dict)
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise ReplyError("wrong_shape", f"field content is {r.kind(content)}, not a string")
    tokens, finish = _usage(document), r.text_of(choices[0], "finish_reason")
    text = content or r.text_of(message, "refusal")
    silent = not text and not message.get("tool_calls") and not _reasoned(message, tokens)
    return Reading(
        text=text,
        filtered=finish == "content_filter",
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=("empty", "the answer has no text") if silent and finish in ("stop", "") else None,
    )


def _reasoned(message: Mapping[str, Any], tokens: Tokens | None) -> bool:
    return bool(
        message.get("reasoning_content")
        or message.get("reasoning")
        or (tokens is not None and tokens.output > 0)
    )


@dataclass(slots=True)
class _Stream:
    """What a stream's events add up to."""

    times: list[float] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    tokens: Tokens | None = None
    model: str = ""
    tier: str = ""
    finish: str = ""
    done: bool = False
    reasoned: bool = False
    error: ApiError | None = None

    def take(self, event: Event) -> None:
        """Add one event; raises ReplyError."""
        if self.done or event.data.strip() == DONE:
            self.done = True
            return
        document = r.load_json(event.data)
        if not isinstance(document, dict):
            raise ReplyError("wrong_shape", f"an event is {r.kind(document)}, not an object")
        self.error = self.error or r.error_of(document) or r.named_error(event.name, document)
        if self.error is not None:
            return
        self.tokens = _usage(document) or self.tokens
        self.model = r.text_of(document, "model") or self.model
        self.tier = r.text_of(document, "service_tier") or self.tier
        # Servers send chunks of their own kind between (usage alone, pings): without choices they say nothing here.
        for choice in r.child(document, "choices", list) if document.get("choices") is not None else ():
            self._choice(choice, event.at)

    def _choice(self, choice: object, at: float) -> None:
        if not isinstance(choice, dict):
            raise ReplyError("wrong_shape", f"a choice is {r.kind(choice)}, not an object")
        self.finish = r.text_of(choice, "finish_reason") or self.finish
        delta = choice.get("delta")
        if delta is None:
            return
        if not isinstance(delta, dict):
            raise ReplyError("wrong_shape", f"field delta is {r.kind(delta)}, not an object")
        self.reasoned = self.reasoned or bool(delta.get("reasoning_content") or delta.get("reasoning"))
        visible = r.joined(delta.get("content")) or delta.get("refusal")
        if visible is None or visible == "":
            return
        if not isinstance(visible, str):
            raise ReplyError("wrong_shape", f"field content is {r.kind(visible)}, not a string")
        self.times.append(at)
        self.text.append(visible)

    def problem(self) -> tuple[str, str] | None:
        """What is wrong with a stream whose bytes ended in order."""
        if not (self.done or self.finish or self.times):
            return ("wrong_shape", "the stream's events are no chat completion")
        if not (self.done or self.finish):
            return ("truncated", "the stream ended without a finish reason")
        used = self.reasoned or (self.tokens is not None and self.tokens.output > 0)
        if not self.text and not used and self.finish in ("stop", ""):
            return ("empty", "the stream had no text")
        return None


def _read_stream(exchange: Exchange) -> Reading:
    refused = plain_error(exchange)
    if refused is not None:
        return refused
    stream = _Stream()
    first_event, problem = walk(exchange, stream.take)
    if problem is None and exchange.failure is None and stream.error is None:
        problem = stream.problem()
    return Reading(
        text="".join(stream.text),
        filtered=stream.finish == "content_filter",
        tokens=stream.tokens,
        served_model=stream.model,
        service_tier=stream.tier,
        finish=stream.finish,
        stream=stream_timing(first_event, stream.times, stream.tokens),
        error=stream.error,
        problem=problem,
    )

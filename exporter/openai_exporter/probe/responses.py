# SPDX-License-Identifier: Apache-2.0
"""Endpoint `responses`: POST /responses, plain or streamed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openai_exporter.client.trace import ApiCall, Exchange
from openai_exporter.model import Provider, Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import ApiError, Method, Reading, ReplyError, Setting
from openai_exporter.probe.stream import DONE, Event, plain_error, stream_timing, walk

VISIBLE = frozenset({"response.output_text.delta", "response.refusal.delta"})
"""Events that carry text a user would see."""
TERMINAL = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"}
)


def build(setting: Setting) -> ApiCall:
    """The call; nothing is stored at OpenAI, whose default would be 30 days."""
    request = setting.module.request
    body: dict[str, Any] = {"model": setting.model, "input": request.prompt}
    if request.max_output_tokens is not None:
        body["max_output_tokens"] = request.max_output_tokens
    if setting.provider is not Provider.COMPATIBLE:
        body["store"] = False
    if request.reasoning_effort is not None:
        body["reasoning"] = {"effort": request.reasoning_effort}
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if setting.module.stream:
        body["stream"] = True
        if setting.provider is Provider.OPENAI:
            body["stream_options"] = {"include_obfuscation": False}
    return ApiCall("POST", "/responses", body | request.extra)


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    return _read_stream(exchange) if setting.module.stream else _whole(r.load_object(exchange))


METHOD = Method(build, read)


def _usage(document: Mapping[str, Any]) -> Tokens | None:
    details = ("input_tokens_details", "output_tokens_details")
    return r.usage_of(document, ("input_tokens", "output_tokens"), details)


def _whole(document: Mapping[str, Any]) -> Reading:
    """A complete response object, of a plain answer or of a stream's last event."""
    error = r.error_of(document)
    status = r.text_of(document, "status")
    if error is not None or status == "failed":
        return Reading(error=error or ApiError(message="the response failed"))
    output = r.child(document, "output", list)
    text = "".join(_texts(output))
    tokens = _usage(document)
    finish = r.text_of(r.mapping_of(document, "incomplete_details"), "reason") or status
    return Reading(
        text=text,
        filtered=finish == "content_filter",
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=_problem(status, text, output, tokens),
    )


def _problem(status: str, text: str, output: list[Any], tokens: Tokens | None) -> tuple[str, str] | None:
    if status not in ("completed", "incomplete", ""):
        return ("wrong_shape", f"the response's status is {status[:40]!r}, not a final one")
    produced = any(isinstance(item, dict) and item.get("type") != "message" for item in output)
    silent = not text and not produced and not (tokens is not None and tokens.output > 0)
    return ("empty", "the response has no text") if silent and status != "incomplete" else None


def _texts(output: list[Any]) -> Iterator[str]:
    for item in output:
        if not isinstance(item, dict):
            raise ReplyError("wrong_shape", f"an output item is {r.kind(item)}, not an object")
        if item.get("type") != "message":
            continue
        for part in r.child(item, "content", list):
            if not isinstance(part, dict):
                raise ReplyError("wrong_shape", f"a content part is {r.kind(part)}, not an object")
            value = part.get("text") if part.get("type") == "output_text" else part.get("refusal")
            if value is not None and not isinstance(value, str):
                raise ReplyError("wrong_shape", f"a part's text is {r.kind(value)}, not a string")
            yield value or ""


@dataclass(slots=True)
class _Stream:
    """What a stream's events add up to."""

    times: list[float] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    last: Reading | None = None
    model: str = ""

    def take(self, event: Event) -> None:
        """Add one event; raises ReplyError."""
        if event.data.strip() == DONE:
            return
        document = r.load_json(event.data)
        if not isinstance(document, dict):
            raise ReplyError("wrong_shape", f"an event is {r.kind(document)}, not an object")
        kind = r.text_of(document, "type") or event.name
        if kind in VISIBLE:
            delta = r.child(document, "delta", str)
            if delta:
                self.times.append(event.at)
                self.text.append(delta)
        elif kind == "error" or (not kind and "error" in document):
            # The description has code and message flat; some servers nest them as elsewhere.
            flat = ApiError(r.text_of(document, "code"), "", r.text_of(document, "message"))
            self.last = Reading(error=r.error_of(document) or flat)
        elif kind in TERMINAL:
            self.last = _whole(r.child(document, "response", dict))
        elif kind == "response.created":
            self.model = r.text_of(r.mapping_of(document, "response"), "model")
        elif not kind:
            raise ReplyError("wrong_shape", "an event has no type")


def _read_stream(exchange: Exchange) -> Reading:
    refused = plain_error(exchange)
    if refused is not None:
        return refused
    stream = _Stream()
    first_event, problem = walk(exchange, stream.take)
    if problem is None and exchange.failure is None and stream.last is None:
        problem = ("truncated", "the stream ended without a final event")
    last = stream.last or Reading()
    return Reading(
        text="".join(stream.text) or last.text,
        filtered=last.filtered,
        tokens=last.tokens,
        served_model=last.served_model or stream.model,
        service_tier=last.service_tier,
        finish=last.finish,
        stream=stream_timing(first_event, stream.times, last.tokens),
        error=last.error,
        problem=problem or last.problem,
    )

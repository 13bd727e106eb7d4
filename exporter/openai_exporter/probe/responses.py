# SPDX-License-Identifier: Apache-2.0
"""Endpoint `responses`: POST /responses, plain or streamed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from openai_exporter.client.reply import ApiError, error_object
from openai_exporter.model import Provider
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Reading, ReplyError, Setting
from openai_exporter.probe.stream import Stream, stream_timing

VISIBLE = frozenset({"response.output_text.delta", "response.refusal.delta"})
"""Events that carry text a user would see."""
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def body(setting: Setting) -> dict[str, Any]:
    """The request; nothing is stored at OpenAI, whose default would be 30 days."""
    request = setting.module.request
    fields: dict[str, Any] = {"input": request.prompt}
    if request.max_output_tokens is not None:
        fields["max_output_tokens"] = request.max_output_tokens
    if setting.provider is not Provider.COMPATIBLE:
        fields["store"] = False
    if request.reasoning_effort is not None:
        fields["reasoning"] = {"effort": request.reasoning_effort}
    if request.service_tier is not None:
        fields["service_tier"] = request.service_tier
    if setting.module.stream:
        fields["stream"] = True
        if setting.provider is Provider.OPENAI:
            fields["stream_options"] = {"include_obfuscation": False}
    return fields


def read(document: Mapping[str, Any]) -> Reading:
    """What a complete response object says, of a plain answer or of a stream's last event; raises ReplyError."""
    error = error_object(document)
    status = r.text_of(document, "status")
    if error is not None or status == "failed":
        return Reading(error=error or ApiError(message="the response failed"))
    output = r.child(document, "output", list)
    text = "".join(_texts(output))
    tokens = r.usage_of(document, "input", "output")
    finish = r.text_of(r.mapping_of(document, "incomplete_details"), "reason") or status
    produced = text or any(isinstance(item, dict) and item.get("type") != "message" for item in output)
    problem = None
    if status not in ("completed", "incomplete", ""):
        problem = ("wrong_shape", f"the response's status is {status[:40]!r}, not a final one")
    elif status != "incomplete" and not produced and not (tokens and tokens.output > 0):
        problem = ("empty", "the response has no text")
    return Reading(
        text=text,
        filtered=finish == "content_filter",
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=problem,
    )


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


def read_stream(stream: Stream, whole: bool) -> Reading:
    """What a streamed answer says; `whole` when its bytes ended in order."""
    times: list[float] = []
    texts: list[str] = []
    model, last, problem = "", None, stream.problem
    try:
        for at, kind, event in stream.events:
            if kind in VISIBLE:
                if delta := _delta(event):
                    times.append(at)
                    texts.append(delta)
            elif kind in TERMINAL:
                last = read(r.child(event, "response", dict))
            elif kind == "response.created":
                model = r.text_of(r.mapping_of(event, "response"), "model")
            elif not kind:
                raise ReplyError("wrong_shape", "an event has no type")
    except ReplyError as error:
        problem = (error.outcome, str(error))
    if stream.error is not None:
        last = Reading(error=stream.error)
    if problem is None and whole and last is None:
        problem = ("truncated", "the stream ended without a final event")
    last = last or Reading()
    return replace(
        last,
        text="".join(texts) or last.text,
        served_model=last.served_model or model,
        stream=stream_timing(stream.first_event, times, last.tokens),
        problem=problem or last.problem,
    )


def _delta(event: Mapping[str, Any]) -> str:
    delta = event.get("delta")
    if not isinstance(delta, str):
        raise ReplyError("wrong_shape", f"field delta is {r.kind(delta)}, not a string")
    return delta

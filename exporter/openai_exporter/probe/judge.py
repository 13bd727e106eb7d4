# SPDX-License-Identifier: Apache-2.0
"""Decides what one exchange means: one outcome, one sentence. Pure."""

from dataclasses import dataclass, field

from openai_exporter.client.trace import Exchange
from openai_exporter.config.pattern import compiled
from openai_exporter.config.probing import Expect
from openai_exporter.model import StreamTiming
from openai_exporter.probe.classify import (
    classify_error,
    classify_failure,
    classify_refusal,
    looks_like_html,
)
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.probe.reading import ApiError, Method, Reading, Setting, read_reply

MAX_MATCHED = 20_000
"""Characters of a reply that `expect.text` is matched against."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exchange came to.

    Attributes:
        outcome: a name of the taxonomy.
        message: a sentence, not yet masked.
        error: the error object of the answer, empty without one.
    """

    outcome: str
    message: str
    reading: Reading
    error: ApiError = field(default_factory=ApiError)
    regex_failed: bool = False


def judge(method: Method, exchange: Exchange, setting: Setting) -> Verdict:
    """The verdict over a finished exchange, whole or broken off."""
    expect = setting.module.expect
    good_status = 200 <= exchange.status < 300
    if exchange.failure is not None:
        streaming = good_status and setting.module.stream
        return _broken(exchange, read_reply(method, exchange, setting) if streaming else Reading(), streaming)
    if exchange.status not in expect.status:
        if good_status:
            wanted = ", ".join(map(str, expect.status))
            return Verdict("status_mismatch", f"status {exchange.status}, expected {wanted}", Reading())
        outcome, error = classify_refusal(exchange)
        return Verdict(outcome, _refused(outcome, exchange, error), Reading(), error)
    if not good_status:
        return Verdict("success", f"status {exchange.status}, as expected", Reading())
    reading = read_reply(method, exchange, setting)
    if reading.problem is not None and looks_like_html(exchange):
        return Verdict("edge_error", "an HTML page came in place of the API's answer", Reading())
    return _judge_reading(reading, exchange, expect)


def _broken(exchange: Exchange, reading: Reading, streaming: bool) -> Verdict:
    assert exchange.failure is not None
    if reading.error is not None:  # the API had said why before the connection went
        return _stated_error(reading, exchange)
    outcome = classify_failure(exchange, (reading.stream or StreamTiming()) if streaming else None)
    message = exchange.failure.message
    if outcome.startswith("timeout"):
        message = f"{OUTCOMES[outcome].meaning.removesuffix('.')} ({exchange.duration:.3f} s)"
    return Verdict(outcome, message, reading)


def _judge_reading(reading: Reading, exchange: Exchange, expect: Expect) -> Verdict:
    if reading.error is not None:
        return _stated_error(reading, exchange)
    if reading.problem is not None:
        return Verdict(*reading.problem, reading)
    if reading.filtered:
        return Verdict("content_filtered", OUTCOMES["content_filtered"].meaning, reading)
    if expect.vector_length is not None and reading.vector_length != expect.vector_length:
        message = f"the vector has {reading.vector_length} elements, expected {expect.vector_length}"
        return Verdict("content_mismatch", message, reading)
    if expect.text is not None and not compiled(expect.text).found_in((reading.text or "")[:MAX_MATCHED]):
        return Verdict("content_mismatch", _mismatch(reading), reading, regex_failed=True)
    return Verdict("success", OUTCOMES["success"].meaning, reading)


def _stated_error(reading: Reading, exchange: Exchange) -> Verdict:
    error = reading.error
    assert error is not None
    fallback = "server_error" if reading.stream is None else "stream_error"
    outcome = classify_error(error, dict(exchange.headers), fallback=fallback)
    if outcome == "server_error":
        outcome = fallback
    return Verdict(outcome, error.message or OUTCOMES[outcome].meaning, reading, error)


def _refused(outcome: str, exchange: Exchange, error: ApiError) -> str:
    if outcome == "redirect":
        return f"status {exchange.status}, redirects to {exchange.header('location') or 'nowhere'}"
    said = error.message or OUTCOMES[outcome].meaning
    if error.code in _UNKNOWN_HERE and error.param in _REMEDIES:
        said = f"{said} To mend it, {_REMEDIES[error.param]}"
    return f"status {exchange.status}: {said}"


def _mismatch(reading: Reading) -> str:
    if reading.text:
        return f"the text does not match the expected pattern: {reading.text[:200]}"
    return f"the text does not match the expected pattern: {_silence(reading)}"


def _silence(reading: Reading) -> str:
    """Why an answer has no text; that reasoning took the tokens is what a new module meets first."""
    if reading.finish not in _CUT:
        return "there is no text"
    tokens = reading.tokens
    if tokens is not None and tokens.output == tokens.reasoning > 0:
        said = f"all {tokens.output} output tokens went into reasoning"
        return f"{said}; set request.reasoning_effort to none, or to the least that the model knows"
    return "max_output_tokens was used up before any text"


_NO_EFFORT = "give models that do not know it a module without request.reasoning_effort"
_REMEDIES = {
    "max_tokens": "give the module request.extra.max_completion_tokens, which takes its place",
    "max_completion_tokens": "give the module request.extra.max_tokens, which takes its place",
    "reasoning_effort": _NO_EFFORT,
    "reasoning.effort": _NO_EFFORT,
}
"""By the parameter that the API refuses: which key of a module says otherwise."""
_UNKNOWN_HERE = ("unsupported_parameter", "unknown_parameter")

_CUT = frozenset({"length", "max_output_tokens", "incomplete"})

# SPDX-License-Identifier: Apache-2.0
"""Verdicts over answers of every endpoint: good ones, odd ones, and those that only look good."""

import base64
import json
import struct
from time import process_time
from typing import Any

import pytest

from openai_exporter.client.exchange import STATUSES, ApiError, Exchange, Failure, FailureKind, Step
from openai_exporter.metrics.probe import OUTCOME
from openai_exporter.model import Endpoint, Provider, StreamTiming, Tokens
from openai_exporter.probe.judge import (
    CODES,
    OUTCOMES,
    BackOff,
    Verdict,
    classify_error,
    classify_failure,
    classify_refusal,
    judge,
)
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import USUAL_ERRORS
from tests.exporter.probe.exchanges import event, exchange, setting, streamed, timeout

# Error answers as OpenAI, Azure, gateways and compatible servers really send them, and what they mean.

HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>cloudflare</body></html>"
CHALLENGE = b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head></html>'


def body(message: str, type: str | None = None, code: Any = None, param: str | None = None) -> bytes:
    error = {"message": message, "type": type, "param": param, "code": code}
    return json.dumps({"error": error}).encode()


CASES: dict[str, tuple[int, bytes, str]] = {
    # OpenAI
    "a wrong key": (
        401, body("Incorrect API key provided: sk-abcde***wxyz.", "invalid_request_error", "invalid_api_key"), "auth",
    ),
    "no key": (401, body("You didn't provide an API key.", "invalid_request_error"), "auth"),
    "not a member of the organization": (
        401, body("No such organization: org-x.", "invalid_request_error", "invalid_organization"), "auth",
    ),
    "missing scopes": (
        403, body("You have insufficient permissions for this operation. Missing scopes: model.request."), "permission",
    ),
    "a country that is not served": (
        403,
        body(
            "Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"
        ),
        "region_unsupported",
    ),
    "an unknown model": (
        404,
        body(
            "The model `x` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"
        ),
        "model_not_found",
    ),
    "a project without access to the model": (
        403, body("Project `proj_x` does not have access to model `x`", "invalid_request_error", "model_not_found"),
        "model_not_found",
    ),
    "an unknown path": (404, body("Invalid URL (POST /v1/nothing)", "invalid_request_error"), "not_found"),
    "a parameter that reasoning models refuse": (
        400,
        body("Unsupported parameter: 'max_tokens'", "invalid_request_error", "unsupported_parameter", "max_tokens"),
        "bad_request",
    ),
    "an output limit that is too small": (
        400,
        body("Could not finish the message because max_tokens or model output limit was reached.",
             "invalid_request_error"),
        "bad_request",
    ),
    "a tier the project does not allow": (
        400, body("Invalid service_tier", "invalid_request_error", None, "service_tier"), "bad_request",
    ),
    "requests per minute": (
        429,
        body("Rate limit reached for x on requests per min (RPM): Limit 3, Used 3.", "requests", "rate_limit_exceeded"),
        "rate_limited_requests",
    ),
    "tokens per minute": (
        429,
        body("Rate limit reached for x in organization org-x on tokens per min (TPM): Limit 30000, Used 29000.",
             "tokens", "rate_limit_exceeded"),
        "rate_limited_tokens",
    ),
    "the newer type, told by the message": (
        429, body("Rate limit reached on tokens per min.", "rate_limit_error", "rate_limit_exceeded"),
        "rate_limited_tokens",
    ),
    "a rate limit that says nothing more": (
        429, body("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded"), "rate_limited",
    ),
    "traffic that grew too fast": (429, body("Slow down.", "rate_limit_error", "slow_down"), "slow_down"),
    "the same, as it used to be": (503, body("Slow down.", "service_unavailable_error", "slow_down"), "slow_down"),
    "no credit": (
        429, body("You exceeded your current quota, please check your plan and billing details.",
                  "insufficient_quota", "insufficient_quota"),
        "quota_exhausted",
    ),
    "no prepaid credit": (
        429, body("...", "insufficient_quota", "credit_balance_exhausted"), "quota_exhausted",
    ),
    "a quota code nobody knows yet": (429, body("...", "insufficient_quota", "some_new_limit"), "quota_exhausted"),
    "the organization's spend limit": (
        429, body("...", "insufficient_quota", "organization_spend_limit_exceeded"), "spend_limit",
    ),
    "the project's spend limit": (
        429, body("...", "insufficient_quota", "project_spend_limit_exceeded"), "spend_limit",
    ),
    "the assigned usage limit": (
        429, body("...", "insufficient_quota", "organization_usage_limit_exceeded"), "usage_limit",
    ),
    "the older hard limit, of images": (
        400, body("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"),
        "quota_exhausted",
    ),
    "an account that is not active": (
        429, body("Your account is not active.", "billing_not_active", "billing_not_active"), "billing_inactive",
    ),
    "an account that was closed": (
        401, body("This account is deactivated.", "invalid_request_error", "account_deactivated"), "billing_inactive",
    ),
    "a failure": (500, body("The server had an error while processing your request.", "server_error"), "server_error"),
    "an overload": (
        503, body("The engine is currently overloaded.", "service_unavailable_error", "server_is_overloaded"),
        "overloaded",
    ),
    "an image that the filter stopped": (
        400, body("Your request was rejected by the safety system.", "image_generation_user_error",
                  "moderation_blocked"),
        "content_filtered",
    ),
    # What stands in front
    "a gateway's page": (502, HTML, "edge_error"),
    "a gateway's page without a type": (520, b"error code: 520", "edge_error"),
    "a gateway's own JSON": (
        502, b'{"type": "cf_bad_gateway", "status": "come back later", "code": 502}', "edge_error",
    ),
    "an origin that timed out": (504, b"upstream request timeout", "edge_error"),
    "a browser check": (403, CHALLENGE, "edge_error"),
    "a page in place of an overload": (503, HTML, "edge_error"),
    "a body that is empty": (500, b"", "server_error"),
    "a plain text failure": (500, b"Internal Server Error", "server_error"),
    "a plain text overload": (503, b"Service Unavailable", "overloaded"),
    "another site's 404": (404, HTML, "not_found"),
    "a method that is not allowed": (405, b"", "bad_request"),
    "a proxy that wants a password": (407, b"", "proxy"),
    "a move": (301, b"", "redirect"),
    "a move to a page": (307, HTML, "redirect"),
    # Azure
    "Azure: a wrong key": (
        401, body("Access denied due to invalid subscription key or wrong API endpoint.", None, "401"), "auth",
    ),
    "Azure: an unknown deployment": (
        404, body("The API deployment for this resource does not exist.", None, "DeploymentNotFound"),
        "model_not_found",
    ),
    "Azure: a rate limit": (
        429,
        body("Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your current tier.",
             None, "429"),
        "rate_limited_requests",
    ),
    "Azure: a token limit": (
        429, body("Requests have exceeded token rate limit of your current pricing tier.", None, "429"),
        "rate_limited_tokens",
    ),
    "Azure: the content filter": (
        400, body("The response was filtered due to the prompt triggering a policy.", None, "content_filter"),
        "content_filtered",
    ),
    "Azure: an operation that timed out": (
        408, body("The operation was timeout.", "Timeout", "Timeout"), "timeout_total",
    ),
    # Compatible servers
    "vLLM: an unknown model": (
        404,
        b'{"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}',
        "model_not_found",
    ),
    "vLLM: the newer form": (
        404, body("The model `x` does not exist.", "NotFoundError", 404, "model"), "model_not_found",
    ),
    "vLLM: a bad request": (
        400, b'{"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}', "bad_request",
    ),
    "LiteLLM: an unknown model": (
        400, body("Invalid model name passed in model=x. Call `/v1/models` to view available models.", "None", "400"),
        "model_not_found",
    ),
    "LiteLLM: a budget": (400, body("Budget has been exceeded!", "budget_exceeded", "400"), "quota_exhausted"),
    "llama.cpp: still loading": (
        503, b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}', "overloaded",
    ),
    "llama.cpp: a wrong key": (
        401, b'{"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}', "auth",
    ),
    "an error that is a string": (400, b'{"error": "model is required"}', "bad_request"),
    "an error that is a number": (500, b'{"error": 5}', "server_error"),
    "FastAPI's own form": (422, b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "bad_request"),
    "a failure that says it is a wrong key": (500, body("...", "server_error", "invalid_api_key"), "auth"),
    "a failure in words of a quota": (500, body("upstream: insufficient balance"), "server_error"),
    "an unknown status": (599, body("..."), "server_error"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_real_error_bodies(name: str) -> None:
    status, content, outcome = CASES[name]
    kind = "text/html" if content.startswith(b"<") else "application/json"
    found, _ = classify_refusal(exchange(content, status, {"content-type": kind}))
    assert outcome == found
    assert found in OUTCOMES


@pytest.mark.parametrize(
    "text", ["model ", "no_", "exceeded your ", "api key ", "quota ", "access ", "_", "budget 余额 "]
)
def test_a_long_message_is_read_in_no_time(text: str) -> None:
    began = process_time()
    classify_refusal(exchange({"error": {"message": text * 50_000}}, 400))
    assert process_time() - began < 1.0


def test_headers_tell_which_limit_when_the_body_does_not() -> None:
    content = body("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded")
    for header, outcome in (
        ("x-ratelimit-remaining-requests", "rate_limited_requests"),
        ("x-ratelimit-remaining-tokens", "rate_limited_tokens"),
    ):
        assert outcome == classify_refusal(exchange(content, 429, {header: "0"}))[0]


def test_the_error_object_is_handed_on() -> None:
    _, error = classify_refusal(exchange(body("no", "t", 404), 404))
    assert ApiError("404", "t", "no") == error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ApiError(code="rate_limit_exceeded"), "rate_limited"),
        (ApiError(code="insufficient_quota"), "quota_exhausted"),
        (ApiError(code="server_error"), "server_error"),
        (ApiError(code="vector_store_timeout"), "fallback"),
        (ApiError(type="service_unavailable_error"), "overloaded"),
        (ApiError(), "fallback"),
    ],
)
def test_error_events_of_a_stream(error: ApiError, outcome: str) -> None:
    assert outcome == classify_error(error, {}, fallback="fallback")


@pytest.mark.parametrize(
    ("failure", "status", "stream", "outcome"),
    [
        (timeout(Step.RESOLVE), 0, None, "timeout_connect"),
        (timeout(Step.CONNECT), 0, None, "timeout_connect"),
        (timeout(Step.PROXY), 0, None, "timeout_connect"),
        (timeout(Step.TLS), 0, None, "timeout_connect"),
        (timeout(Step.PROCESSING), 0, None, "timeout_headers"),
        (timeout(Step.TRANSFER), 0, None, "timeout_headers"),
        (timeout(), 200, None, "timeout_total"),
        (timeout(), 200, StreamTiming(first_event=0.1), "timeout_first_token"),
        (timeout(), 200, StreamTiming(), "timeout_first_token"),
        (timeout(), 200, StreamTiming(0.1, 0.2), "timeout_total"),
        (timeout(), 500, StreamTiming(), "timeout_total"),
        (Failure(FailureKind.DNS, Step.RESOLVE, ""), 0, None, "dns"),
        (Failure(FailureKind.PROXY, Step.PROXY, ""), 0, None, "proxy"),
        (Failure(FailureKind.REQUEST, Step.CONNECT, ""), 0, None, "exporter_error"),
    ],
)
def test_broken_exchanges(failure: Failure, status: int, stream: StreamTiming | None, outcome: str) -> None:
    assert outcome == classify_failure(exchange(status=status, failure=failure), stream)


# Verdicts over answers of every endpoint: good ones, odd ones, and those that only look good.

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def verdict(found: Exchange, about: Setting) -> Verdict:
    return judge(found, about)


def chat(content: Any = "pong", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"object": "chat.completion", "model": "m-2026", "choices": [choice], "usage": USAGE, **more}


def response(text: str = "pong", **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "content": [part]}
    usage = {"input_tokens": 9, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}
    return {"object": "response", "status": "completed", "model": "m-2026", "output": [item], "usage": usage, **more}


EMBEDDING = {"data": [{"embedding": [0.1, 0.2]}], "model": "e", "usage": {"prompt_tokens": 2, "total_tokens": 2}}


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


PACKED = packed(struct.pack("<3f", 1, 2, 3))
INCOMPLETE = {"status": "incomplete", "output": [{"type": "reasoning", "summary": []}]}
PLAIN: list[tuple[str, Endpoint, Any, str]] = [
    ("an answer", Endpoint.CHAT, chat(), "success"),
    ("a refusal in words", Endpoint.CHAT, chat(None, message={"refusal": "no"}), "success"),
    ("a tool call", Endpoint.CHAT, chat(None, "tool_calls", message={"tool_calls": [{"id": "1"}]}), "success"),
    ("cut off by the bound", Endpoint.CHAT, chat("", "length", usage=None), "success"),
    ("only reasoning, elsewhere", Endpoint.CHAT, chat("", usage=None, message={"reasoning_content": "hm"}), "success"),
    ("only reasoning, by usage", Endpoint.CHAT, chat(""), "success"),
    ("nothing said at all", Endpoint.CHAT, chat("", usage=None), "empty_response"),
    ("withheld by the filter", Endpoint.CHAT, chat("", "content_filter"), "content_filtered"),
    ("no choices", Endpoint.CHAT, chat(choices=[]), "empty_response"),
    ("choices that are an object", Endpoint.CHAT, chat(choices={}), "schema_mismatch"),
    ("a choice that is a string", Endpoint.CHAT, chat(choices=["x"]), "schema_mismatch"),
    ("a message that is missing", Endpoint.CHAT, {"choices": [{"text": "completion"}]}, "schema_mismatch"),
    ("content that is a number", Endpoint.CHAT, chat(5), "schema_mismatch"),
    ("usage of other types", Endpoint.CHAT, chat(usage={"prompt_tokens": "12", "completion_tokens": -1}), "success"),
    ("an error with status 200", Endpoint.CHAT, {"error": {"message": "no", "code": "insufficient_quota"}},
     "quota_exhausted"),
    ("an unknown error with status 200", Endpoint.CHAT, {"error": "boom"}, "server_error"),
    ("a list", Endpoint.CHAT, [1], "schema_mismatch"),
    ("a string", Endpoint.CHAT, "pong", "schema_mismatch"),
    ("null", Endpoint.CHAT, None, "empty_response"),
    ("an answer", Endpoint.RESPONSES, response(), "success"),
    ("a refusal in words", Endpoint.RESPONSES,
     response(output=[{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]), "success"),
    ("cut off while reasoning", Endpoint.RESPONSES, INCOMPLETE, "success"),
    ("withheld by the filter", Endpoint.RESPONSES,
     {**INCOMPLETE, "incomplete_details": {"reason": "content_filter"}}, "content_filtered"),
    ("failed", Endpoint.RESPONSES,
     response(status="failed", error={"code": "server_error", "message": "no"}), "server_error"),
    ("failed without a word", Endpoint.RESPONSES, response(status="failed"), "server_error"),
    ("failed by a limit", Endpoint.RESPONSES,
     response(status="failed", error={"code": "rate_limit_exceeded", "message": "no"}), "rate_limited"),
    ("still queued", Endpoint.RESPONSES, response(status="queued"), "schema_mismatch"),
    ("no output", Endpoint.RESPONSES, response(output=[], usage=None), "empty_response"),
    ("output that is an object", Endpoint.RESPONSES, response(output={}), "schema_mismatch"),
    ("an item that is a string", Endpoint.RESPONSES, response(output=["x"]), "schema_mismatch"),
    ("text that is a number", Endpoint.RESPONSES,
     response(output=[{"type": "message", "content": [{"type": "output_text", "text": 5}]}]), "schema_mismatch"),
    ("a vector", Endpoint.EMBEDDINGS, EMBEDDING, "success"),
    ("a packed vector", Endpoint.EMBEDDINGS, {"data": [{"embedding": PACKED}]}, "success"),
    ("a vector of nothing", Endpoint.EMBEDDINGS, {"data": [{"embedding": []}]}, "empty_response"),
    ("no vectors", Endpoint.EMBEDDINGS, {"data": []}, "empty_response"),
    ("a vector of strings", Endpoint.EMBEDDINGS, {"data": [{"embedding": ["1"]}]}, "schema_mismatch"),
    ("a vector that is no base64", Endpoint.EMBEDDINGS, {"data": [{"embedding": "%%"}]}, "schema_mismatch"),
    ("a vector with half a float", Endpoint.EMBEDDINGS, {"data": [{"embedding": "AAAA"}]}, "schema_mismatch"),
    *(("a vector that cannot be one", Endpoint.EMBEDDINGS, {"data": [{"embedding": elements}]}, "schema_mismatch")
      for elements in ([0.1, float("nan")], [float("inf"), 1.0], [10**400], [True], [0.0, 0], [[0.1]], [None])),
    *(("a packed one that is none", Endpoint.EMBEDDINGS, {"data": [{"embedding": packed(data)}]}, "schema_mismatch")
      for data in (struct.pack("<2f", 1, float("nan")), struct.pack("<f", float("-inf")), bytes(8), bytes(7))),
    ("a packed vector of nothing", Endpoint.EMBEDDINGS, {"data": [{"embedding": ""}]}, "empty_response"),
    ("a vector that is missing", Endpoint.EMBEDDINGS, {"data": [{}]}, "schema_mismatch"),
    ("an entry that is a string", Endpoint.EMBEDDINGS, {"data": ["x"]}, "schema_mismatch"),
    ("an entry that is a string", Endpoint.IMAGES, {"data": ["x"]}, "schema_mismatch"),
    ("a result that is a string", Endpoint.MODERATIONS, {"results": ["x"]}, "schema_mismatch"),
    ("a content part that is a string", Endpoint.RESPONSES,
     response(output=[{"type": "message", "content": ["x"]}]), "schema_mismatch"),
    *(("an error with status 200", endpoint, {"error": {"code": "slow_down"}}, "slow_down") for endpoint in Endpoint),
    ("a judgement", Endpoint.MODERATIONS, {"model": "o", "results": [{"flagged": False}]}, "success"),
    ("no judgement", Endpoint.MODERATIONS, {"results": []}, "empty_response"),
    ("a judgement in words", Endpoint.MODERATIONS, {"results": [{"flagged": "no"}]}, "schema_mismatch"),
    ("a list of models", Endpoint.MODELS, {"data": [{"id": "a", "owned_by": "x", "created": 5}]}, "success"),
    ("no models", Endpoint.MODELS, {"object": "list", "data": []}, "empty_response"),
    ("models by name", Endpoint.MODELS, {"models": [{"name": "a"}]}, "success"),
    ("models that are strings", Endpoint.MODELS, {"data": ["a"]}, "success"),
    ("a bare list of models", Endpoint.MODELS, [{"id": "a"}], "success"),
    ("one bad entry of a list", Endpoint.MODELS, {"data": [{"id": None}, 5, None, {"id": "a"}]}, "success"),
    ("bad entries only", Endpoint.MODELS, {"data": [{"id": None}, 5]}, "schema_mismatch"),
    ("a list that is a number", Endpoint.MODELS, {"data": 5}, "schema_mismatch"),
    ("a transcript", Endpoint.TRANSCRIPTIONS, {"text": "", "usage": {"type": "duration", "seconds": 1}}, "success"),
    ("a transcript of a list", Endpoint.TRANSCRIPTIONS, {"text": []}, "schema_mismatch"),
    *(("an image", Endpoint.IMAGES, {"data": [{"b64_json": packed(mark + bytes(40))}]}, "success")
      for mark in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF....WEBP")),
    *(("no image", Endpoint.IMAGES, {"data": [{"b64_json": text}]}, "schema_mismatch")
      for text in ("%%", "AAAAA", packed(bytes(80)), packed(b"<html>" + bytes(80)), packed(b"\x89PNG\r\n\x1a\n"))),
    ("an image elsewhere", Endpoint.IMAGES, {"data": [{"url": "https://x"}]}, "success"),
    *(("an image nowhere", Endpoint.IMAGES, {"data": [{"url": url}]}, "schema_mismatch")
      for url in ("", "none", "https://", "javascript:alert(1)", "data:image/png;base64,")),
    ("no image", Endpoint.IMAGES, {"data": []}, "empty_response"),
    ("an image without content", Endpoint.IMAGES, {"data": [{"b64_json": None}]}, "schema_mismatch"),
    ("JSON in place of sound", Endpoint.SPEECH, {"ok": True}, "schema_mismatch"),
    ("an error in place of sound", Endpoint.SPEECH, {"error": {"code": "slow_down"}}, "slow_down"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "document", "outcome"), [pytest.param(*case[1:], id=f"{case[1]}: {case[0]}") for case in PLAIN]
)
def test_plain_answers(endpoint: Endpoint, document: Any, outcome: str) -> None:
    assert outcome == verdict(exchange(document), setting(endpoint)).outcome


def delta(**fields: Any) -> dict[str, Any]:
    return {"model": "m-2026", "choices": [{"index": 0, "delta": fields, "finish_reason": None}], "usage": None}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
LAST = {"choices": [], "usage": USAGE}
TEXT = {"type": "response.output_text.delta", "delta": "pong"}
STREAMS: list[tuple[str, Endpoint, list[Any], str]] = [
    ("whole", Endpoint.CHAT, [delta(role="assistant", content=""), delta(content="pong"), FINISH, LAST, "[DONE]"],
     "success"),
    ("without [DONE]", Endpoint.CHAT, [delta(content="pong"), FINISH], "success"),
    ("without finish reason", Endpoint.CHAT, [delta(content="pong"), "[DONE]"], "success"),
    ("with heartbeats", Endpoint.CHAT, ["", delta(content="pong"), " ", FINISH, "[DONE]"], "success"),
    ("that goes on after its end", Endpoint.CHAT, [delta(content="pong"), FINISH, "[DONE] ", "bye"], "success"),
    ("with usage without choices", Endpoint.CHAT, [delta(content="pong"), FINISH, {"usage": USAGE}], "success"),
    ("with a ping of its own", Endpoint.CHAT, [{"type": "ping"}, delta(content="pong"), FINISH], "success"),
    ("with content in parts", Endpoint.CHAT, [delta(content=[{"type": "text", "text": "pong"}]), FINISH], "success"),
    ("of something else", Endpoint.CHAT, [{"type": "ping"}], "schema_mismatch"),
    ("with a rate limit by number", Endpoint.CHAT, [{"error": {"message": "no", "code": 429}}], "rate_limited"),
    ("with a bad key by number", Endpoint.CHAT, [{"error": {"message": "no", "code": "401"}}], "auth"),
    ("with our mistake by number", Endpoint.CHAT, [{"error": {"message": "no", "code": 400}}], "bad_request"),
    ("that just ends", Endpoint.CHAT, [delta(content="pong")], "truncated"),
    ("of reasoning only", Endpoint.CHAT, [delta(reasoning_content="hm"), FINISH, "[DONE]"], "success"),
    ("of nothing", Endpoint.CHAT, [delta(role="assistant"), FINISH, "[DONE]"], "empty_response"),
    ("with an error event", Endpoint.CHAT, [delta(content="p"), {"error": {"message": "no", "code": None}}],
     "stream_error"),
    ("with an overload", Endpoint.CHAT, [{"error": {"message": "no", "code": "server_is_overloaded"}}], "overloaded"),
    ("with broken JSON", Endpoint.CHAT, [delta(content="p"), "{"], "malformed"),
    ("with a number", Endpoint.CHAT, ["5"], "schema_mismatch"),
    ("with choices that are a number", Endpoint.CHAT, [{"choices": 5}], "schema_mismatch"),
    ("with a choice that is a number", Endpoint.CHAT, [{"choices": [5]}], "schema_mismatch"),
    ("with a delta that is a string", Endpoint.CHAT, [{"choices": [{"delta": "x"}]}], "schema_mismatch"),
    ("with content that is a number", Endpoint.CHAT, [delta(content=5)], "schema_mismatch"),
    ("with an error after what cannot be read", Endpoint.CHAT,
     [{"choices": 5}, {"error": {"message": "no", "code": "slow_down"}}], "slow_down"),
    ("that the filter ended", Endpoint.CHAT, [{"choices": [{"delta": {}, "finish_reason": "content_filter"}]}],
     "content_filtered"),
    ("whole", Endpoint.RESPONSES, [TEXT, {"type": "response.completed", "response": response()}], "success"),
    ("incomplete", Endpoint.RESPONSES, [{"type": "response.incomplete", "response": INCOMPLETE}], "success"),
    ("failed", Endpoint.RESPONSES, [TEXT, {"type": "response.failed", "response": response(status="failed")}],
     "server_error"),
    ("with an error event", Endpoint.RESPONSES, [TEXT, {"type": "error", "code": "server_error", "message": "no"}],
     "stream_error"),
    ("with an error after what cannot be read", Endpoint.RESPONSES,
     [{"delta": "x"}, {"type": "error", "code": "slow_down", "message": "no"}], "slow_down"),
    ("with a nested error", Endpoint.RESPONSES, [{"error": {"code": "rate_limit_exceeded"}}], "rate_limited"),
    ("that just ends", Endpoint.RESPONSES, [TEXT], "truncated"),
    ("of events without type", Endpoint.RESPONSES, [{"x": 1}], "schema_mismatch"),
    ("with a delta that is a number", Endpoint.RESPONSES, [{**TEXT, "delta": 5}], "schema_mismatch"),
    ("with a list", Endpoint.RESPONSES, ["[]"], "schema_mismatch"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "events", "outcome"),
    [pytest.param(*case[1:], id=f"{case[1]}: a stream {case[0]}") for case in STREAMS],
)
def test_streams(endpoint: Endpoint, events: list[Any], outcome: str) -> None:
    found = verdict(streamed([event(each) for each in events]), setting(endpoint, stream=True))
    expected = "stream_error" if outcome == "server_error" else outcome
    assert expected == found.outcome


def test_a_streams_times_are_those_of_its_visible_tokens() -> None:
    events = [delta(role="assistant"), delta(reasoning="hm"), delta(content="po"), delta(content="ng"), FINISH, LAST]
    found = verdict(streamed([event(each) for each in events]), setting(Endpoint.CHAT, stream=True)).reading
    assert found.stream is not None
    assert found.stream.first_event == pytest.approx(0.1)
    assert found.stream.first_token == pytest.approx(0.3)
    assert found.stream.gaps_max == pytest.approx(0.1)
    assert ("pong", "m-2026", Tokens(12, 3, 4)) == (found.text, found.served_model, found.tokens)


def test_tokens_are_counted_though_an_event_cannot_be_read() -> None:
    events = [delta(content="pong"), {"choices": [5]}, LAST, "[DONE]"]
    found = verdict(streamed([event(each) for each in events]), setting(Endpoint.CHAT, stream=True))

    assert ("schema_mismatch", Tokens(12, 3, 4)) == (found.outcome, found.reading.tokens)


def test_event_names_stand_in_for_types_of_a_responses_stream() -> None:
    done = event({"response": response()}, "response.completed")
    found = verdict(streamed([event({"delta": "pong"}, "response.output_text.delta"), done]),
                    setting(Endpoint.RESPONSES, stream=True))  # fmt: skip
    assert "success" == found.outcome
    assert Tokens(9, 2, 0, 1) == found.reading.tokens


def test_a_plain_error_in_place_of_a_stream_is_read() -> None:
    about = setting(Endpoint.CHAT, stream=True)
    assert "quota_exhausted" == verdict(exchange({"error": {"code": "insufficient_quota"}}), about).outcome
    assert "schema_mismatch" == verdict(exchange(chat()), about).outcome
    assert "empty_response" == verdict(exchange(b""), about).outcome


def test_a_stream_that_breaks_keeps_what_had_come() -> None:
    broken = streamed([event(delta(content="po"))], timeout())
    found = verdict(broken, setting(Endpoint.CHAT, stream=True))
    assert ("timeout_total", "po") == (found.outcome, found.reading.text)
    assert found.reading.stream is not None
    assert found.reading.stream.first_token == pytest.approx(0.1)


def test_a_reset_after_an_error_event_is_the_errors_outcome() -> None:
    failure = Failure(FailureKind.CONNECTION_RESET, Step.TRANSFER, "the connection was reset")
    broken = streamed([event({"error": {"message": "no", "code": "insufficient_quota"}})], failure)
    assert "quota_exhausted" == verdict(broken, setting(Endpoint.CHAT, stream=True)).outcome


@pytest.mark.parametrize(
    ("expect", "status", "outcome"),
    [
        ({}, 200, "success"),
        ({"text": "(?i)PONG"}, 200, "success"),
        ({"text": "^pang"}, 200, "content_mismatch"),
        ({"status": [200, 201]}, 201, "success"),
        ({}, 201, "status_mismatch"),
        ({"status": [401]}, 401, "success"),
        ({"status": [401]}, 200, "status_mismatch"),
        ({"status": [401]}, 403, "permission"),
    ],
)
def test_expectations(expect: dict[str, Any], status: int, outcome: str) -> None:
    found = verdict(exchange(chat(), status), setting(Endpoint.CHAT, expect=expect))
    assert outcome == found.outcome
    assert found.regex_failed is (outcome == "content_mismatch")


@pytest.mark.parametrize(("length", "outcome"), [(2, "success"), (3, "content_mismatch")])
def test_the_length_of_a_vector_is_checked(length: int, outcome: str) -> None:
    found = verdict(exchange(EMBEDDING), setting(Endpoint.EMBEDDINGS, expect={"vector_length": length}))
    assert outcome == found.outcome
    assert not found.regex_failed


@pytest.mark.parametrize(
    ("param", "code", "remedy"),
    [
        ("max_tokens", "unsupported_parameter", "To fix it, give the module request.extra.max_completion_tokens"),
        ("max_completion_tokens", "unknown_parameter", "To fix it, give the module request.extra.max_tokens"),
        ("reasoning_effort", "unsupported_parameter", "a module without request.reasoning_effort"),
        ("reasoning.effort", "unsupported_parameter", "a module without request.reasoning_effort"),
        ("max_tokens", "integer_above_max_value", ""),
        ("temperature", "unsupported_parameter", ""),
    ],
)
def test_a_parameter_that_the_model_does_not_take_comes_with_its_remedy(param: str, code: str, remedy: str) -> None:
    error = {"message": "Not this.", "type": "invalid_request_error", "param": param, "code": code}
    found = verdict(exchange({"error": error}, 400), setting(Endpoint.CHAT))
    assert "bad_request" == found.outcome
    assert remedy in found.message
    assert ("To fix it" in found.message) is bool(remedy)


def test_a_missing_text_says_when_the_bound_was_used_up() -> None:
    found = verdict(exchange(chat("", "length")), setting(Endpoint.CHAT, expect={"text": "pong"}))
    assert "max_output_tokens was reached before any text" in found.message


def test_a_missing_text_says_when_reasoning_took_all_tokens() -> None:
    answer = {**chat("", "length"), "usage": {"completion_tokens": 16, "completion_tokens_details": REASONED}}
    found = verdict(exchange(answer), setting(Endpoint.CHAT, expect={"text": "pong"}))
    assert "all 16 output tokens went into reasoning; set request.reasoning_effort to none" in found.message


REASONED = {"reasoning_tokens": 16}


@pytest.mark.parametrize(
    ("audio", "body", "outcome"),
    [
        ("wav", b"RIFF....WAVE" + bytes(200), "success"),
        ("mp3", b"\xff\xf3\xe4" + bytes(200), "success"),
        ("mp3", b"ID3" + bytes(200), "success"),
        ("opus", b"OggS" + bytes(200), "success"),
        ("aac", b"\xff\xf1" + bytes(200), "success"),
        ("aac", bytes(4) + b"ftypM4A " + bytes(200), "success"),
        ("flac", b"fLaC" + bytes(200), "success"),
        ("pcm", bytes(100) + b"\x01" + bytes(100), "success"),
        ("wav", b"", "empty_response"),
        ("wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28), "empty_response"),
        ("mp3", b"ID3", "empty_response"),
        ("pcm", b"\x00\x01", "empty_response"),
        ("pcm", b' {"error": {"message": "no such voice"}}' + b" " * 200, "server_error"),
        ("pcm", b'{\x00"\x01' + bytes(200), "success"),
        ("wav", b"ID3" + bytes(200), "schema_mismatch"),
        ("wav", b"RIFF....AVI " + bytes(200), "schema_mismatch"),
        ("mp3", b"\xff\xff" + bytes(200), "success"),
        ("mp3", b"\xff\x00" + bytes(200), "schema_mismatch"),
        *((audio, bytes(300), "schema_mismatch") for audio in ("wav", "mp3", "opus", "aac", "flac", "pcm")),
    ],
)
def test_sound_is_known_by_its_first_bytes(audio: str, body: bytes, outcome: str) -> None:
    found = exchange(body, headers={"content-type": "audio/whatever"})
    assert outcome == verdict(found, setting(Endpoint.SPEECH, request={"audio_format": audio})).outcome


def test_an_html_page_is_never_a_success() -> None:
    page = exchange(b"<!doctype html><p>pong", headers={"content-type": "text/html"})
    for endpoint in Endpoint:
        assert "edge_error" == verdict(page, setting(endpoint, provider=Provider.COMPATIBLE)).outcome


def test_an_error_event_that_is_only_named_so_is_an_error() -> None:
    found = verdict(streamed([event({"message": "no"}, "error")]), setting(Endpoint.CHAT, stream=True))

    assert ("stream_error", "no") == (found.outcome, found.message)


def test_good_json_under_a_wrong_content_type_is_read() -> None:
    found = verdict(exchange(chat(), headers={"content-type": "text/html"}), setting(Endpoint.CHAT))

    assert "success" == found.outcome


# The taxonomy is whole and says the same everywhere.


def test_every_outcome_explains_itself_in_sentences() -> None:
    for name, fact in OUTCOMES.items():
        assert name == fact.name
        assert fact.meaning.endswith(".")
        assert fact.remedy.endswith(".")
        assert max(len(fact.meaning), len(fact.remedy)) < 120


def test_only_success_is_a_success_and_a_good_event() -> None:
    assert ["success"] == [name for name, fact in OUTCOMES.items() if fact.success]
    assert ["success"] == [name for name, fact in OUTCOMES.items() if fact.good]


def test_what_makes_a_probe_wait_is_no_event_of_the_sli() -> None:
    assert not any(fact.valid for fact in OUTCOMES.values() if fact.backoff is not BackOff.NONE)


def test_every_name_that_is_used_elsewhere_is_in_the_table() -> None:
    used = {*CODES.values(), *(outcome for _, outcome in STATUSES.values()), *(name for name, _ in USUAL_ERRORS)}
    used |= {str(kind) for kind in FailureKind} - {"timeout", "request"}
    assert used <= set(OUTCOMES)
    assert ("outcome",) == OUTCOME.labels


@pytest.mark.parametrize(
    "data",
    [
        '{"error": "no"}',
        r'{"\u0065rror": {"message": "no"}}',
        '{"success": false, "message": "no"}',
        '{"object": "error", "message": "no"}',
        '{"type": "error", "message": "no"}',
        '{"base_resp": {"status_code": 7, "status_msg": "no"}}',
        '[{"error": {"message": "no"}}]',
    ],
)
def test_an_event_that_states_an_error_in_any_form_is_one(data: str) -> None:
    assert "stream_error" == verdict(streamed([event(data)]), setting(Endpoint.CHAT, stream=True)).outcome

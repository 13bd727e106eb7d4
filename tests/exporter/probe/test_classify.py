# SPDX-License-Identifier: Apache-2.0
"""Error answers as OpenAI, Azure, gateways and compatible servers really send them, and what they mean."""

import json
from typing import Any

import pytest

from openai_exporter.client.trace import Failure, FailureKind, Step
from openai_exporter.model import StreamTiming
from openai_exporter.probe.classify import classify_error, classify_failure, classify_refusal
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.probe.reading import ApiError

from .exchanges import exchange, timeout

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
        408, body("The operation was timeout.", "Timeout", "Timeout"), "server_error",
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
    "LiteLLM: a budget": (400, body("Budget has been exceeded!", "budget_exceeded", "400"), "bad_request"),
    "llama.cpp: still loading": (
        503, b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}', "overloaded",
    ),
    "llama.cpp: a wrong key": (
        401, b'{"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}', "auth",
    ),
    "an error that is a string": (400, b'{"error": "model is required"}', "bad_request"),
    "an error that is a number": (500, b'{"error": 5}', "server_error"),
    "FastAPI's own form": (422, b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "bad_request"),
    "a failure that claims to be a wrong key": (500, body("...", "server_error", "invalid_api_key"), "server_error"),
    "an unknown status": (599, body("..."), "server_error"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_real_error_bodies(name: str) -> None:
    status, content, outcome = CASES[name]
    kind = "text/html" if content.startswith(b"<") else "application/json"
    found, _ = classify_refusal(exchange(content, status, {"content-type": kind}))
    assert outcome == found
    assert found in OUTCOMES


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
        (Failure(FailureKind.REQUEST, Step.CONNECT, ""), 0, None, "internal"),
    ],
)
def test_broken_exchanges(failure: Failure, status: int, stream: StreamTiming | None, outcome: str) -> None:
    assert outcome == classify_failure(exchange(status=status, failure=failure), stream)

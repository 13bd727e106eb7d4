# SPDX-License-Identifier: Apache-2.0
"""From an error answer - status, error object, content type - or a broken exchange to an outcome. Pure."""

import re
from collections.abc import Mapping

from openai_exporter.client.trace import Exchange, FailureKind, Step
from openai_exporter.model import StreamTiming
from openai_exporter.probe.ratelimit import parse_count
from openai_exporter.probe.reading import ApiError, ReplyError, error_of, load_json

CODES: Mapping[str, str] = {
    "invalid_api_key": "auth",
    "invalid_organization": "auth",
    "unsupported_country_region_territory": "region_unsupported",
    "model_not_found": "model_not_found",
    "deploymentnotfound": "model_not_found",
    "insufficient_quota": "quota_exhausted",
    "credit_balance_exhausted": "quota_exhausted",
    "billing_hard_limit_reached": "quota_exhausted",
    "organization_spend_limit_exceeded": "spend_limit",
    "project_spend_limit_exceeded": "spend_limit",
    "organization_usage_limit_exceeded": "usage_limit",
    "billing_not_active": "billing_inactive",
    "account_deactivated": "billing_inactive",
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "moderation_blocked": "content_filtered",
    "rate_limit_exceeded": "rate_limited",
    "slow_down": "slow_down",
    "server_is_overloaded": "overloaded",
    "engine_overloaded": "overloaded",
    "invalid_prompt": "bad_request",
    "server_error": "server_error",
}
"""What `error.code` means whatever the status of a refusal is, and in the events of a stream."""

_PROVIDER_CODES = frozenset({"slow_down", "overloaded", "server_error"})
"""What a status of 500 and up may turn out to be by its code."""

STATUSES: Mapping[int, str] = {
    401: "auth",
    402: "quota_exhausted",
    403: "permission",
    404: "not_found",
    407: "proxy",
    408: "server_error",
    409: "server_error",
    429: "rate_limited",
    501: "bad_request",  # a server started without what was asked for, such as embeddings
    502: "server_error",
    503: "overloaded",
    529: "overloaded",
}

_NO_SUCH_MODEL = {
    400: re.compile(r"(?i)invalid model name|\bmodel\b.*\bdoes not exist"),
    404: re.compile(r"(?i)\bmodel\b.*\b(does not exist|not found|no longer|deprecated|not have access)"),
}
_QUOTA = re.compile(r"(?i)exceeded your current quota")
"""What gateways that put the status in place of the code leave of a used-up quota."""
_SEARCHED = 2000
"""Characters of a message that patterns are searched in; a longer one is no message."""
_TOKENS = re.compile(r"(?i)\btokens? per\b|\bTPM\b|\bTPD\b|token rate limit")
_REQUESTS = re.compile(r"(?i)\brequests? per\b|\bRPM\b|\bRPD\b|call rate limit")
_GATEWAY_STATUSES = frozenset({502, 504, *range(520, 531)} - {529})


def classify_refusal(exchange: Exchange) -> tuple[str, ApiError]:
    """The outcome of a whole answer whose status is no success, and its error object."""
    status = exchange.status
    error = _error_object(exchange)
    if 300 <= status < 400:
        return "redirect", error or ApiError()
    if error is None:
        return _without_object(exchange), ApiError()
    if status >= 500:
        by_code = CODES.get(error.code.lower(), "")
        if by_code in _PROVIDER_CODES:
            return by_code, error
        return STATUSES.get(status, "server_error"), error
    by_code = classify_error(error, dict(exchange.headers), fallback="")
    if not by_code and status in _NO_SUCH_MODEL:
        missing = _NO_SUCH_MODEL[status].search(error.message[:_SEARCHED])
        by_code = "model_not_found" if missing else ""
    by_status = STATUSES.get(status, "bad_request" if status >= 400 else "server_error")
    if by_status == "rate_limited":
        by_status = _which_limit(error, dict(exchange.headers))
    return by_code or by_status, error


def classify_error(error: ApiError, headers: Mapping[str, str], *, fallback: str) -> str:
    """The outcome of an error object by its code and type; `fallback` when neither is known."""
    found = CODES.get(error.code.lower())
    if found is None and error.type == "insufficient_quota":
        found = "quota_exhausted"  # a new code of a known kind
    if found is None and error.type == "no_db_connection":
        found = "auth"  # LiteLLM without a database looks for an unknown key there
    if found is None and error.code.isdecimal() and _QUOTA.search(error.message[:_SEARCHED]):
        found = "quota_exhausted"
    if found is None and error.type in ("rate_limit_error", "requests", "tokens"):
        found = "rate_limited"
    if found is None and error.type == "service_unavailable_error":
        found = "overloaded"
    if found is None and fallback:  # there is no status to tell by
        found = _by_number(error)
    if found == "rate_limited":
        return _which_limit(error, headers)
    return found or fallback


def _by_number(error: ApiError) -> str | None:
    """The outcome of a code that is an HTTP status, as vLLM and several gateways write it."""
    if not (len(error.code) == 3 and error.code.isdecimal() and error.code[0] in "45"):
        return None
    status = int(error.code)
    if status in _NO_SUCH_MODEL and _NO_SUCH_MODEL[status].search(error.message[:_SEARCHED]):
        return "model_not_found"
    return STATUSES.get(status, "bad_request" if status < 500 else "server_error")


def classify_failure(exchange: Exchange, stream: StreamTiming | None) -> str:
    """The outcome of an exchange that broke off; `stream` tells what had come of a stream until then."""
    failure = exchange.failure
    assert failure is not None
    if failure.kind is FailureKind.REQUEST:
        return "internal"
    if failure.kind is not FailureKind.TIMEOUT:
        return str(failure.kind)
    if failure.step in (Step.RESOLVE, Step.CONNECT, Step.PROXY, Step.TLS):
        return "timeout_connect"
    if exchange.status == 0:
        return "timeout_headers"
    if stream is not None and stream.first_token is None and 200 <= exchange.status < 300:
        return "timeout_first_token"
    return "timeout_total"


def looks_like_html(exchange: Exchange) -> bool:
    """Whether a page for people came, whatever the content type says."""
    if "html" in (exchange.header("content-type") or "").lower():
        return True
    start = exchange.body[:64].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _error_object(exchange: Exchange) -> ApiError | None:
    body = exchange.body
    if body.startswith(b"data:"):  # a refusal in the form of the stream that was asked for
        body = body.removeprefix(b"data:").partition(b"\n")[0]
    try:
        return error_of(load_json(body))
    except ReplyError:
        return None


def _without_object(exchange: Exchange) -> str:
    """The API itself always sends an error object, so something else may have answered."""
    status, html = exchange.status, looks_like_html(exchange)
    if status in _GATEWAY_STATUSES or (html and (status >= 500 or status == 403)):
        return "edge_error"
    if status >= 500:
        return STATUSES.get(status, "server_error") if exchange.body else "server_error"
    return STATUSES.get(status, "bad_request")


def _which_limit(error: ApiError, headers: Mapping[str, str]) -> str:
    message = error.message[:_SEARCHED]
    if error.type == "requests" or _REQUESTS.search(message):
        return "rate_limited_requests"
    if error.type == "tokens" or _TOKENS.search(message):
        return "rate_limited_tokens"
    if parse_count(headers.get("x-ratelimit-remaining-requests")) == 0:
        return "rate_limited_requests"
    if parse_count(headers.get("x-ratelimit-remaining-tokens")) == 0:
        return "rate_limited_tokens"
    return "rate_limited"

# SPDX-License-Identifier: Apache-2.0
"""Replies that a fault gives instead of the API's own. Pure: a fault in, a response out."""

import math

from starlette.responses import HTMLResponse, Response

from openai_exporter.simulator.errors import ApiError, kind_for, quota_error
from openai_exporter.simulator.faults.kinds import (
    Empty,
    Fault,
    Html,
    InsufficientQuota,
    Outage,
    RateLimit,
    Status,
)

_EMPTY = {"nothing": b"", "object": b"{}", "array": b"[]", "null": b"null"}
_PAGE = """<!DOCTYPE html>
<html><head><title>{status} | simulated edge</title></head>
<body><h1>Error {status}</h1><p>The web server returned an unexpected answer.</p></body></html>
"""


def replacement(struck: list[Fault]) -> Response | None:
    """The reply of the first fault that replaces it, or None."""
    for fault in struck:
        response = _reply(fault)
        if response is not None:
            return response
    return None


def _reply(fault: Fault) -> Response | None:
    match fault:
        case Status():
            return _status(fault)
        case InsufficientQuota():
            return quota_error(fault.code, fault.status).response()
        case RateLimit():
            return _rate_limit(fault)
        case Html():
            return HTMLResponse(_PAGE.format(status=fault.status), status_code=fault.status)
        case Empty():
            return Response(_EMPTY[fault.content], media_type="application/json")
        case Outage(mode="503"):
            return _documented(503).response()
    return None


def _status(fault: Status) -> Response:
    error = _documented(fault.status)
    error.type = fault.type or error.type
    error.message = fault.message or error.message
    error.param = fault.param
    error.code = fault.code if "code" in fault.model_fields_set else error.code
    error.headers = {**fault.headers, **_retry_after(fault.retry_after)}
    return error.response()


def _rate_limit(fault: RateLimit) -> Response:
    message = f"Rate limit reached on {fault.limit} per min. Slow down and try again."
    headers = _retry_after(fault.retry_after)
    return ApiError(429, message, type="rate_limit_error", code=fault.code, headers=headers).response()


def _documented(status: int) -> ApiError:
    kind = kind_for(status)
    return ApiError(status, kind.message, type=kind.type, code=kind.code)


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": str(math.ceil(seconds))}

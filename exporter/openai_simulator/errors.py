# SPDX-License-Identifier: Apache-2.0
"""Error bodies, the table of documented errors, and API keys on requests."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse


class ApiError(Exception):
    """An answer of the API that is an error; handlers raise it, the application turns it into a reply."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body; all four keys are always there."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        """The HTTP reply."""
        return JSONResponse(self.body(), status_code=self.status, headers=self.headers)


QUOTA_MESSAGES = {
    "insufficient_quota": "The current quota is used up; check the plan and billing details.",
    "credit_balance_exhausted": "The prepaid credit balance is exhausted.",
    "organization_spend_limit_exceeded": "The organization has reached its monthly spend limit.",
    "project_spend_limit_exceeded": "The project has reached its monthly spend limit.",
    "organization_usage_limit_exceeded": "The organization has reached its assigned usage limit.",
    "billing_hard_limit_reached": "The billing hard limit has been reached.",
}
QUOTA_CODES = tuple(QUOTA_MESSAGES)

DOCUMENTED: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("invalid_request_error", None, "The request timed out."),
    409: ("invalid_request_error", None, "The resource was changed by another request."),
    413: ("invalid_request_error", None, "The request is too large."),
    422: ("invalid_request_error", None, "The request cannot be processed."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error while processing the request."),
    502: ("server_error", None, "Bad gateway."),
    503: ("service_unavailable_error", "server_is_overloaded", "The engine is overloaded."),
    504: ("server_error", None, "The server timed out."),
}
"""Type, code and message of each documented status."""


def documented(status: int) -> ApiError:
    """The documented error for `status`, or a generic one for a status that is not in the table."""
    generic = "server_error" if status >= 500 else "invalid_request_error"
    unknown = (generic, None, f"Request failed with status {status}.")
    kind, code, message = DOCUMENTED.get(status, unknown)
    return ApiError(status, message, type=kind, code=code)


def quota_error(code: str, status: int = 429) -> ApiError:
    """A quota that is used up; told apart from a rate limit by `code` alone."""
    return ApiError(status, QUOTA_MESSAGES[code], type="insufficient_quota", code=code)


def model_not_found(model: str) -> ApiError:
    """What an unknown, not permitted or retired model yields."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def missing_parameter(name: str) -> ApiError:
    """A required member of the request is absent."""
    return ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def invalid_type(name: str, expected: str, got: object) -> ApiError:
    """A member of the request has a wrong JSON type."""
    message = f"Invalid type for '{name}': expected {expected}, but got {json_type(got)} instead."
    return ApiError(400, message, param=name, code="invalid_type")


def invalid_value(name: str, value: object, allowed: str) -> ApiError:
    """A member of the request is outside what is allowed."""
    message = f"Invalid value for '{name}': {value!r}. Supported: {allowed}."
    return ApiError(400, message, param=name, code="invalid_value")


def unknown_parameter(name: str) -> ApiError:
    """The request has a member or parameter that does not exist."""
    return ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def no_integer(name: str, text: str) -> ApiError:
    """A query parameter is no integer."""
    message = f"Invalid type for '{name}': expected an integer, but got {text[:40]!r} instead."
    return ApiError(400, message, param=name, code="invalid_type")


def quoted(words: Iterable[str]) -> str:
    """Allowed values, as error messages list them."""
    return ", ".join(f"'{word}'" for word in words)


def json_type(value: object) -> str:
    """The JSON name of a Python value's type, as error messages put it."""
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


async def api_error_handler(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


ADMIN_PREFIX = "sk-admin-"
INVALID_PREFIX = "sk-invalid"


def bearer(request: Request) -> str:
    """The key of the Authorization header; raises the API's 401 when it is missing or not a Bearer key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.")
    return key.strip()


def is_admin_key(key: str) -> bool:
    """Whether `key` is an admin key: good for /v1/organization, not for inference."""
    return key.startswith(ADMIN_PREFIX)


def refuse_invalid(key: str) -> None:
    """Raise the API's 401 for a key that cannot be right: not `sk-...`, or `sk-invalid...`."""
    if key.startswith("sk-") and not key.startswith(INVALID_PREFIX):
        return
    raise incorrect(key)


def require_admin(request: Request, scope: str) -> None:
    """Raise 401 for a missing or wrong key, and 403 naming `scope` for a key that is not an admin key."""
    key = bearer(request)
    refuse_invalid(key)
    if not is_admin_key(key):
        raise missing_scopes(scope)


def incorrect(key: str) -> ApiError:
    """401 for a key that does not exist; the message repeats the key masked, as the real API's does."""
    message = f"Incorrect API key provided: {masked(key)}. Check the key in your account's settings."
    return ApiError(401, message, code="invalid_api_key")


def missing_scopes(*scopes: str, status: int = 403) -> ApiError:
    """A key that is valid but not for this: a project key for the organization, or the other way round."""
    message = f"You have insufficient permissions for this operation. Missing scopes: {', '.join(scopes)}."
    return ApiError(status, message)


def masked(key: str) -> str:
    """The key as error messages repeat it: its first eight and last four characters, like the real API."""
    if len(key) <= 12:
        return key[:3] + "*" * max(len(key) - 3, 3)
    return f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"

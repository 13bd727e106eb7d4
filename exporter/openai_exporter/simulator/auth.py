# SPDX-License-Identifier: Apache-2.0
"""API keys on requests: reading them, and refusing them as the real API does. Keeps no list of keys."""

from starlette.requests import Request

from openai_exporter.simulator.errors import ApiError

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

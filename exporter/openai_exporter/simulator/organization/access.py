# SPDX-License-Identifier: Apache-2.0
"""Who may call the organization API: admin keys only. Keeps no keys."""

from starlette.requests import Request

from openai_exporter.simulator.auth import bearer, is_admin_key, missing_scopes, refuse_invalid

USAGE_SCOPE = "api.usage.read"
MANAGEMENT_READ = "api.management.read"
MANAGEMENT_WRITE = "api.management.write"


def require_admin(request: Request, scope: str) -> None:
    """Raise 401 for a missing or wrong key, and 403 naming `scope` for a key that is not an admin key."""
    key = bearer(request)
    refuse_invalid(key)
    if not is_admin_key(key):
        raise missing_scopes(scope)

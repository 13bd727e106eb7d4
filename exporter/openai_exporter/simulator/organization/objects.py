# SPDX-License-Identifier: Apache-2.0
"""JSON objects of the directory: exactly the members that the API description has. Answers no requests."""

from typing import Any

from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.organization.last_use import LastUse
from openai_exporter.simulator.organization.seed import (
    DAY,
    EXPIRED_AT,
    AdminKey,
    ApiKey,
    Expiry,
    Project,
    Roster,
    ServiceAccount,
    User,
)

_ROTATED_EVERY = 90 * DAY


class Objects:
    """Shows the roster as of the simulated time."""

    def __init__(self, roster: Roster, last_use: LastUse, clock: SimClock) -> None:
        self._projects = {project.id: project for project in roster.projects}
        self._last_use = last_use
        self._clock = clock

    def project(self, project: Project) -> dict[str, Any]:
        """An organization.project."""
        archived = project.archived_by(self._clock.now())
        return {
            "id": project.id,
            "object": "organization.project",
            "name": project.name,
            "created_at": project.created_at,
            "archived_at": project.archived_at if archived else None,
            "status": "archived" if archived else "active",
            "external_key_id": None,
            "residency": "GLOBAL",
        }

    def api_key(self, key: ApiKey) -> dict[str, Any]:
        """An organization.project.api_key."""
        return {
            "object": "organization.project.api_key",
            "id": key.id,
            "name": key.name,
            "redacted_value": f"sk-proj-...{key.id[-4:]}",
            "created_at": key.created_at,
            "last_used_at": self._last_use.of_key(key.id, self._clock.now()),
            "expires_at": self._expires(key.expiry, key.created_at),
            "owner_project_access": self.access(key),
            "owner": _owner(key),
        }

    def access(self, key: ApiKey) -> str:
        """Whether the key's owner can use its project: `active` or `inactive`."""
        project = self._projects[key.project_id]
        return "inactive" if project.archived_by(self._clock.now()) else "active"

    def member(self, user: User) -> dict[str, Any]:
        """An organization.project.user."""
        return {
            "object": "organization.project.user",
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "role": "owner" if user.role == "owner" else "member",
            "added_at": user.added_at,
        }

    def user(self, user: User) -> dict[str, Any]:
        """An organization.user."""
        return {
            "object": "organization.user",
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "role": user.role,
            "added_at": user.added_at,
            "is_service_account": False,
            "api_key_last_used_at": self._last_use.of_user(user.id, self._clock.now()),
        }

    def service_account(self, account: ServiceAccount) -> dict[str, Any]:
        """An organization.project.service_account."""
        return {
            "object": "organization.project.service_account",
            "id": account.id,
            "name": account.name,
            "role": account.role,
            "created_at": account.created_at,
        }

    def admin_key(self, key: AdminKey) -> dict[str, Any]:
        """An organization.admin_api_key."""
        now = int(self._clock.now())
        return {
            "object": "organization.admin_api_key",
            "id": key.id,
            "name": key.name,
            "redacted_value": f"sk-admin...{key.id[-3:]}",
            "created_at": key.created_at,
            "expires_at": self._expires(key.expiry, key.created_at),
            "last_used_at": now - now % 3600 if key.used else None,
            "owner": {
                "type": "user",
                "object": "organization.user",
                "id": key.owner.id,
                "name": key.owner.name,
                "created_at": key.owner.added_at,
                "role": "owner",
            },
        }

    def _expires(self, expiry: Expiry, created_at: int) -> int | None:
        """A rotated key is renewed whenever it runs out, so that one is always about to expire soon."""
        if expiry == "rotated":
            rounds = int(self._clock.now() - created_at) // _ROTATED_EVERY + 1
            return created_at + max(rounds, 1) * _ROTATED_EVERY
        return EXPIRED_AT if expiry == "expired" else None


def _owner(key: ApiKey) -> dict[str, Any]:
    if key.user is not None:
        user = {
            "id": key.user.id,
            "name": key.user.name,
            "email": key.user.email,
            "role": "owner" if key.user.role == "owner" else "member",
            "created_at": key.user.added_at,
        }
        return {"type": "user", "user": user}
    account = key.service_account
    assert account is not None
    shown = {"id": account.id, "name": account.name, "role": account.role, "created_at": account.created_at}
    return {"type": "service_account", "service_account": shown}

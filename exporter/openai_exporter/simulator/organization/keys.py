# SPDX-License-Identifier: Apache-2.0
"""Which API key of a request is which key of the organization. Holds no secrets: there are none."""

from zlib import crc32

from openai_exporter.simulator.auth import ADMIN_PREFIX, INVALID_PREFIX
from openai_exporter.simulator.calls import Identity
from openai_exporter.simulator.organization.seed import ApiKey, Roster


class KeyRing:
    """Identifies keys."""

    def __init__(self, roster: Roster) -> None:
        self._by_secret = {f"sk-{key.id}": key for key in roster.keys}
        default = roster.projects[0].id
        usable = [
            key for key in roster.keys if key.project_id == default and key.used and key.expiry != "expired"
        ]
        self._usable = usable or list(roster.keys[:1])

    def identify(self, bearer: str) -> Identity | None:
        """Whom `bearer` belongs to, None for admin keys and what is no key."""
        if not bearer.startswith("sk-") or bearer.startswith((ADMIN_PREFIX, INVALID_PREFIX)):
            return None
        key = self._by_secret.get(bearer) or self._usable[crc32(bearer.encode()) % len(self._usable)]
        return identity(key)


def identity(key: ApiKey) -> Identity:
    """The identity that a key's calls are booked under."""
    return Identity(project_id=key.project_id, api_key_id=key.id, user_id=key.owner_id)

# SPDX-License-Identifier: Apache-2.0
"""Names of the ids that usage has, and when keys were used and expire: info metrics that are joined by id."""

import functools
from collections.abc import Iterator

from openai_exporter.client.calls import Calls
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import directory
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.directory import API, Directory, Key
from openai_exporter.usage.lists import everything
from openai_exporter.usage.walk import Walk
from openai_exporter.usage.window import month_start


class NamesDataset:
    """Projects, keys, users and service accounts.

    Attributes:
        directory: as last read; empty before.
    """

    name = API

    def __init__(self, organization: Organization, context: Context) -> None:
        self.interval = organization.names_interval
        self.directory = Directory()
        self._emails = organization.emails
        self._context = context
        self._walk = Walk()
        self._listed: frozenset[str] = frozenset()

    @property
    def active_projects(self) -> tuple[str, ...] | None:
        """Ids of the projects that are not archived; None before the first read."""
        known = self.directory.projects.values()
        return tuple(each.id for each in known if each.status == "active") if known else None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read all lists, in portions."""
        return self._walk.go(functools.partial(self._steps, calls))

    def adopt(self, other: Dataset) -> bool:
        """Take over names that were made in the same way."""
        if not isinstance(other, NamesDataset) or other._emails != self._emails:
            return False
        self.directory, self._listed = other.directory, other._listed
        return True

    def families(self) -> Iterator[Family]:
        """Info metrics and key hygiene."""
        projects, keys, users = self.directory.projects, self.directory.keys, self.directory.users
        yield Family(metrics.PROJECT_INFO, [((p.id, p.name, p.status), 1) for p in projects.values()])
        yield Family(
            metrics.API_KEY_INFO,
            [((k.id, k.name, k.project_id, k.owner_type, k.owner_id), 1) for k in keys.values()],
        )
        yield Family(metrics.USER_INFO, [((u.id, u.name, u.role), 1) for u in users.values()])
        created, used, expires = (
            Family(metrics.API_KEY_CREATED),
            Family(metrics.API_KEY_LAST_USED),
            Family(metrics.API_KEY_EXPIRES),
        )
        for key in self._present(keys):
            for family, moment in (
                (created, key.created_at),
                (used, key.last_used_at),
                (expires, key.expires_at),
            ):
                if moment is not None:
                    family.add(moment, key.id, key.kind)
        yield from (created, used, expires)

    def _present(self, keys: dict[str, Key]) -> Iterator[Key]:
        return (key for key in keys.values() if key.id in self._listed)

    def _steps(self, calls: Calls) -> Iterator[None]:
        found = Directory()
        for page in everything(calls, "/organization/projects", API, [("include_archived", "true")]):
            found.projects |= {item["id"]: directory.project(item) for item in page}
            yield
        for page in everything(calls, "/organization/users", API):
            found.users |= {item["id"]: directory.user(item, self._emails) for item in page}
            yield
        for page in everything(calls, "/organization/admin_api_keys", API):
            found.keys |= {item["id"]: directory.admin_key(item) for item in page}
            yield
        for known in list(found.projects.values()):
            if known.status == "active":
                yield from self._of_project(calls, known.id, found)
        self._listed = frozenset(found.keys)
        self.directory = self.directory.followed_by(found, month_start(self._context.clock.now()))

    def _of_project(self, calls: Calls, project_id: str, found: Directory) -> Iterator[None]:
        try:
            for page in everything(calls, f"/organization/projects/{project_id}/api_keys", API):
                found.keys |= {item["id"]: directory.project_key(item, project_id) for item in page}
                yield
            for page in everything(calls, f"/organization/projects/{project_id}/service_accounts", API):
                found.users |= {item["id"]: directory.service_account(item) for item in page}
                yield
        except UpstreamError as error:
            # A project may be archived while the lists are read.
            if error.status != 404:
                raise

# SPDX-License-Identifier: Apache-2.0
"""Names of the ids that usage has, and when keys were used and expire: info metrics that are joined by id."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from openai_exporter.client.organization import Calls
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset, Walk
from openai_exporter.usage.pages import Item, everything, inner, moment, text
from openai_exporter.usage.window import month_start

# Who and what the ids of usage are: projects, keys and people, as records. Calls nothing.

Emails = Literal["off", "hashed", "plain"]
API = "names"


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `status` is `active`, `archived` or, when it is not listed any more, `deleted`."""

    id: str
    name: str
    status: str
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """An API key; times in Unix seconds, None where the API gives none. `kind` is `project` or `admin`."""

    id: str
    name: str
    kind: str
    project_id: str
    owner_type: str
    owner_id: str
    created_at: int | None
    last_used_at: int | None
    expires_at: int | None
    seen: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """A person or a service account, under the id that usage has for it."""

    id: str
    name: str
    role: str
    seen: int = 0


_Record = TypeVar("_Record", Project, Key, User)


@dataclass(slots=True)
class Directory:
    """All records by id; `seen` of each is the start of the month in which it was last listed."""

    projects: dict[str, Project] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)

    def title(self, scope: str, id: str) -> str:
        """The name of a project, key or user, as the scopes of budgets are called; empty when it is not known."""
        records: Mapping[str, Project | Key | User]
        match scope:
            case "project":
                records = self.projects
            case "key":
                records = self.keys
            case "user":
                records = self.users
            case _:
                return ""
        return records[id].name if id in records else ""

    def followed_by(self, new: "Directory", month: int) -> "Directory":
        """The new records, and until the month's end those that are gone: their usage is still shown."""
        projects = _kept(self.projects, new.projects, month)
        gone = projects.keys() - new.projects.keys()
        projects |= {id: replace(projects[id], status="deleted") for id in gone}
        return Directory(projects, _kept(self.keys, new.keys, month), _kept(self.users, new.users, month))


def _kept(old: Mapping[str, _Record], new: Mapping[str, _Record], month: int) -> dict[str, _Record]:
    kept = {id: record for id, record in old.items() if id not in new and record.seen == month}
    return {id: replace(record, seen=month) for id, record in new.items()} | kept


def project(item: Item) -> Project:
    """A project of GET /organization/projects."""
    status = text(item, "status", API) or ("active" if item.get("archived_at") is None else "archived")
    return Project(item["id"], text(item, "name", API), status)


def project_key(item: Item, project_id: str) -> Key:
    """A key of GET /organization/projects/{id}/api_keys."""
    owner = inner(item, "owner", API)
    kind = text(owner, "type", API)
    who = inner(owner, kind, API) if kind else {}
    return _key(item, "project", project_id, kind, text(who, "id", API))


def admin_key(item: Item) -> Key:
    """A key of GET /organization/admin_api_keys, whose owner is flat."""
    owner = inner(item, "owner", API)
    return _key(item, "admin", "", text(owner, "type", API), text(owner, "id", API))


def user(item: Item, emails: Emails) -> User:
    """A member of GET /organization/users."""
    name = named(text(item, "name", API), text(item, "email", API), emails)
    return User(item["id"], name, text(item, "role", API))


def service_account(item: Item) -> User:
    """An account of GET /organization/projects/{id}/service_accounts; usage has its id as user_id."""
    return User(item["id"], text(item, "name", API), "service_account")


def named(name: str, email: str, emails: Emails) -> str:
    """What a person is called: the name, the e-mail address, or a pseudonym made of the address.

    The pseudonym (SHA-256, 12 digits) hides addresses from readers of a dashboard. It is no protection
    from somebody who has a list of addresses to try.
    """
    if emails == "off" or not email:
        return "" if emails == "hashed" else name
    if emails == "plain":
        return email
    return "sha256:" + hashlib.sha256(email.strip().lower().encode()).hexdigest()[:12]


def _key(item: Item, kind: str, project_id: str, owner_type: str, owner_id: str) -> Key:
    return Key(
        item["id"],
        text(item, "name", API),
        kind,
        project_id,
        owner_type,
        owner_id,
        moment(item, "created_at", API),
        moment(item, "last_used_at", API),
        moment(item, "expires_at", API),
    )


# Names of the ids that usage has, and when keys were used and expire: info metrics that are joined by id.


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
            for family, at in (
                (created, key.created_at),
                (used, key.last_used_at),
                (expires, key.expires_at),
            ):
                if at is not None:
                    family.add(at, key.id, key.kind)
        yield from (created, used, expires)

    def _present(self, keys: dict[str, Key]) -> Iterator[Key]:
        return (key for key in keys.values() if key.id in self._listed)

    def _steps(self, calls: Calls) -> Iterator[None]:
        found = Directory()
        for page in everything(calls, "/organization/projects", API, [("include_archived", "true")]):
            found.projects |= {item["id"]: project(item) for item in page}
            yield
        for page in everything(calls, "/organization/users", API):
            found.users |= {item["id"]: user(item, self._emails) for item in page}
            yield
        for page in everything(calls, "/organization/admin_api_keys", API):
            found.keys |= {item["id"]: admin_key(item) for item in page}
            yield
        for known in list(found.projects.values()):
            if known.status == "active":
                yield from self._of_project(calls, known.id, found)
        self._listed = frozenset(found.keys)
        self.directory = self.directory.followed_by(found, month_start(self._context.clock.now()))

    def _of_project(self, calls: Calls, project_id: str, found: Directory) -> Iterator[None]:
        try:
            for page in everything(calls, f"/organization/projects/{project_id}/api_keys", API):
                found.keys |= {item["id"]: project_key(item, project_id) for item in page}
                yield
            for page in everything(calls, f"/organization/projects/{project_id}/service_accounts", API):
                found.users |= {item["id"]: service_account(item) for item in page}
                yield
        except UpstreamError as error:
            # A project may be archived while the lists are read.
            if error.status != 404:
                raise

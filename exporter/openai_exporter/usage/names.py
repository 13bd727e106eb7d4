# SPDX-License-Identifier: Apache-2.0
"""Names of the ids that usage has, and when keys were used and expire: info metrics that are joined by id."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar

from openai_exporter.config.sections import Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context
from openai_exporter.usage.ledger import month_start
from openai_exporter.usage.pages import Item, Lists, ListsDataset, inner, seconds, text
from openai_exporter.usage.rows import MalformedError

Emails = Literal["off", "hashed", "plain"]
Note = Callable[[MalformedError], None]
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
        records: Mapping[str, Mapping[str, Project | Key | User]]
        records = {"project": self.projects, "key": self.keys, "user": self.users}
        record = records.get(scope, {}).get(id)
        return record.name if record else ""

    def followed_by(self, new: "Directory", month: int) -> "Directory":
        """The new records, and until the month's end those that are gone: their usage is still shown."""
        projects = _followed(self.projects, new.projects, month)
        gone = projects.keys() - new.projects.keys()
        projects |= {id: replace(projects[id], status="deleted") for id in gone}
        return Directory(projects, _followed(self.keys, new.keys, month), _followed(self.users, new.users, month))


def _followed(old: Mapping[str, _Record], new: Mapping[str, _Record], month: int) -> dict[str, _Record]:
    gone = {id: record for id, record in old.items() if id not in new and record.seen == month}
    return {id: replace(record, seen=month) for id, record in new.items()} | gone


def project(item: Item) -> Project:
    """A project of GET /organization/projects."""
    status = text(item, "status") or ("active" if item.get("archived_at") is None else "archived")
    return Project(item["id"], text(item, "name"), status)


def project_key(item: Item, project_id: str, note: Note) -> Key:
    """A key of GET /organization/projects/{id}/api_keys; times that are none are left out and noted."""
    owner = inner(item, "owner")
    kind = text(owner, "type")
    who = inner(owner, kind) if kind else {}
    return _key(item, "project", project_id, kind, text(who, "id"), note)


def admin_key(item: Item, note: Note) -> Key:
    """A key of GET /organization/admin_api_keys, whose owner is flat."""
    owner = inner(item, "owner")
    return _key(item, "admin", "", text(owner, "type"), text(owner, "id"), note)


def _key(item: Item, kind: str, project_id: str, owner_type: str, owner_id: str, note: Note) -> Key:
    created, used, expires = (seconds(item, name, note) for name in ("created_at", "last_used_at", "expires_at"))
    return Key(item["id"], text(item, "name"), kind, project_id, owner_type, owner_id, created, used, expires)


def user(item: Item, emails: Emails) -> User:
    """A member of GET /organization/users."""
    email = "" if emails == "off" else text(item, "email")
    return User(item["id"], named(text(item, "name"), email, emails), text(item, "role"))


def service_account(item: Item) -> User:
    """An account of GET /organization/projects/{id}/service_accounts; usage has its id as user_id."""
    return User(item["id"], text(item, "name"), "service_account")


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


class NamesDataset(ListsDataset):
    """Projects, keys, users and service accounts.

    Attributes:
        data: the directory as last read, and the ids of the keys that were listed; empty before.
    """

    name = API

    def __init__(self, organization: Organization, context: Context) -> None:
        self.organization = organization.name
        self.interval = organization.names_interval
        self.data: tuple[Directory, frozenset[str]] = (Directory(), frozenset())
        self.shape = self._emails = organization.emails
        self._context = context

    @property
    def directory(self) -> Directory:
        """All names as last read; empty before."""
        return self.data[0]

    @property
    def active_projects(self) -> tuple[str, ...] | None:
        """Ids of the projects that are not archived; None before the first read."""
        projects = self.directory.projects.values()
        return tuple(each.id for each in projects if each.status == "active") if projects else None

    def families(self) -> Iterator[Family]:
        """Info metrics and key hygiene."""
        directory, listed = self.data
        projects, keys, users = directory.projects.values(), directory.keys.values(), directory.users.values()
        yield Family(metrics.PROJECT_INFO, [((p.id, p.name, p.status), 1) for p in projects])
        yield Family(metrics.API_KEY_INFO, [((k.id, k.name, k.project_id, k.owner_type, k.owner_id), 1) for k in keys])
        yield Family(metrics.USER_INFO, [((u.id, u.name, u.role), 1) for u in users])
        for metric, field_name in (
            (metrics.API_KEY_CREATED, "created_at"),
            (metrics.API_KEY_LAST_USED, "last_used_at"),
            (metrics.API_KEY_EXPIRES, "expires_at"),
        ):
            times = [((k.id, k.kind), getattr(k, field_name)) for k in keys if k.id in listed]
            yield Family(metric, [(labels, at) for labels, at in times if at is not None])
        yield from super().families()

    def pages(self, lists: Lists) -> Iterator[None]:
        """Read all lists."""
        new = Directory()
        archived = [("include_archived", "true")]
        _add(new.projects, (yield from lists.read("/organization/projects", project, archived)))
        _add(new.users, (yield from lists.read("/organization/users", lambda item: user(item, self._emails))))
        admin_keys = "/organization/admin_api_keys"
        _add(new.keys, (yield from lists.read(admin_keys, lambda item: admin_key(item, lists.note))))
        for id in [project.id for project in new.projects.values() if project.status == "active"]:
            base, decode = f"/organization/projects/{id}", partial(project_key, project_id=id, note=lists.note)
            _add(new.keys, (yield from lists.read(f"{base}/api_keys", decode, gone=True)))
            _add(new.users, (yield from lists.read(f"{base}/service_accounts", service_account, gone=True)))
        month = month_start(self._context.clock.now())
        self.data = self.directory.followed_by(new, month), frozenset(new.keys)


def _add(records: dict[str, _Record], entries: Iterable[_Record]) -> None:
    records.update((each.id, each) for each in entries)

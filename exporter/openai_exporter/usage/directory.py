# SPDX-License-Identifier: Apache-2.0
"""Who and what the ids of usage are: projects, keys and people, as records. Calls nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from openai_exporter.usage.lists import Item, inner, moment, text

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

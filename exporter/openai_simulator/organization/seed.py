# SPDX-License-Identifier: Apache-2.0
"""The seeded organization: its size, projects, people, service accounts and keys."""

import random
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(*parts: object) -> int:
    """A 64-bit number that depends on nothing but `parts`."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def generator(*parts: object) -> random.Random:
    """A random generator that depends on nothing but `parts`."""
    return random.Random(digest(*parts))


def identifier(prefix: str, *parts: object, length: int = 16) -> str:
    """An id such as `proj_4kT...`: `prefix` and `length` letters and digits that depend on `parts` only."""
    text = "/".join(map(str, (prefix, *parts))).encode()
    number = int.from_bytes(blake2b(text, digest_size=32).digest(), "big")
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return prefix + "".join(letters)


_STREAMS_PER_KEY = 5
MOST_STREAMS_PER_KEY = 30


@dataclass(frozen=True, slots=True)
class OrganizationSize:
    """How many projects, API keys, users and usage streams the simulated organization has.

    A stream is the usage of one key, model, batch and service tier; None makes five for each key.

    Raises:
        ValueError: a count is negative or zero, or there are more streams than the keys can have.
    """

    projects: int = 4
    keys: int = 8
    users: int = 6
    streams: int | None = None

    def __post_init__(self) -> None:
        for name in ("projects", "keys", "users"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is too few; at least 1")
        most = self.keys * MOST_STREAMS_PER_KEY
        if not 0 <= self.stream_count <= most:
            raise ValueError(f"streams: {self.streams} is not within 0 and {most} ({MOST_STREAMS_PER_KEY} per key)")

    @property
    def stream_count(self) -> int:
        """How many usage streams there are."""
        return self.keys * _STREAMS_PER_KEY if self.streams is None else self.streams


FOUNDED = 1672531200  # 2023-01-01T00:00:00Z: before this the organization has no history
DAY = 86_400
_PROJECTS = ("Default project", "Customer support", "Search", "Mobile app", "Prototype 2025", "Data platform")
_PEOPLE = (
    ("Ada Osei", "ada.osei"),
    ("Bruno Keller", "bruno.keller"),
    ("Chitra Nair", "chitra.nair"),
    ("Dana Whitfield", "dana.whitfield"),
    ("Emil Sørensen", "emil.sorensen"),
    ("Farah Haddad", "farah.haddad"),
    ("Goran Petrović", "goran.petrovic"),
    ("Hana Mori", "hana.mori"),
)
_PURPOSES = ("backend", "ci", "nightly-batch", "staging", "notebook", "agents", "evaluation", "ingest")
_ARCHIVED_PROJECT = 4
_ARCHIVED_AT = 1774915200  # 2026-03-31T00:00:00Z
EXPIRED_AT = 1790726400  # 2026-09-30T00:00:00Z: when the expired keys ended
Expiry = Literal["never", "rotated", "expired"]


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `archived_at` is None while it is in use. Times are unix seconds throughout."""

    id: str
    name: str
    created_at: int
    archived_at: int | None

    def archived_by(self, unix: float) -> bool:
        """Whether the project is archived at `unix` seconds."""
        return self.archived_at is not None and self.archived_at <= unix


@dataclass(frozen=True, slots=True)
class User:
    """A member of the organization; `projects` are ids."""

    id: str
    name: str
    email: str
    role: Literal["owner", "reader"]
    added_at: int
    projects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A bot of one project."""

    id: str
    name: str
    project_id: str
    role: Literal["owner", "member"]
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A project API key; exactly one of `user` and `service_account` owns it."""

    id: str
    name: str
    project_id: str
    created_at: int
    expiry: Expiry
    used: bool
    user: User | None
    service_account: ServiceAccount | None

    @property
    def owner_id(self) -> str:
        """The id that usage rows carry as `user_id`."""
        owner = self.user or self.service_account
        assert owner is not None
        return owner.id


@dataclass(frozen=True, slots=True)
class AdminKey:
    """A key for the organization API, owned by a user."""

    id: str
    name: str
    created_at: int
    expiry: Expiry
    used: bool
    owner: User


@dataclass(frozen=True, slots=True)
class Roster:
    """Everything that the directory lists."""

    projects: tuple[Project, ...]
    users: tuple[User, ...]
    service_accounts: tuple[ServiceAccount, ...]
    keys: tuple[ApiKey, ...]
    admin_keys: tuple[AdminKey, ...]


def roster(seed: int, size: OrganizationSize) -> Roster:
    """The organization of `seed`, always the same for the same arguments."""
    projects = tuple(_project(seed, number) for number in range(size.projects))
    users = tuple(_user(seed, number, projects) for number in range(size.users))
    accounts = tuple(_service_account(seed, number, project) for number, project in enumerate(projects))
    keys = tuple(_key(seed, number, projects, users, accounts) for number in range(size.keys))
    return Roster(projects, users, accounts, keys, _admin_keys(seed, users))


def _project(seed: int, number: int) -> Project:
    name = _PROJECTS[number] if number < len(_PROJECTS) else f"Team {number + 1}"
    created = FOUNDED + (number % 12) * 45 * DAY
    archived = _ARCHIVED_AT if number % 40 == _ARCHIVED_PROJECT else None
    return Project(identifier("proj_", seed, number, length=24), name, created, archived)


def _user(seed: int, number: int, projects: tuple[Project, ...]) -> User:
    name, mailbox = _PEOPLE[number % len(_PEOPLE)]
    if number >= len(_PEOPLE):
        name, mailbox = f"{name} {number + 1}", f"{mailbox}{number + 1}"
    joined = {projects[0].id, projects[number % len(projects)].id, projects[(number * 3 + 1) % len(projects)].id}
    return User(
        id=identifier("user-", seed, number, length=24),
        name=name,
        email=f"{mailbox}@example.com",
        role="owner" if number < 2 else "reader",
        added_at=FOUNDED + (number % 20) * 30 * DAY,
        projects=tuple(project.id for project in projects if project.id in joined),
    )


def _service_account(seed: int, number: int, project: Project) -> ServiceAccount:
    slug = project.name.lower().replace(" ", "-")
    account_id = identifier("user-", seed, "service", number, length=24)
    return ServiceAccount(account_id, f"{slug}-bot", project.id, "member", project.created_at + 7 * DAY)


def _key(
    seed: int, number: int, projects: tuple[Project, ...], users: tuple[User, ...], accounts: tuple[ServiceAccount, ...]
) -> ApiKey:
    rng = generator(seed, "key", number)
    place = number % len(projects)
    project = projects[place]
    purpose = _PURPOSES[number % len(_PURPOSES)]
    members = [user for user in users[:200] if project.id in user.projects]
    by_account = number % 3 == 1 or not members
    expiries: tuple[Expiry, ...] = ("never", "rotated", "never", "never", "expired", "never", "rotated")
    return ApiKey(
        id=identifier("key_", seed, number),
        name=f"{project.name.lower().replace(' ', '-')}-{purpose}",
        project_id=project.id,
        created_at=project.created_at + 10 * DAY + rng.randrange(60 * DAY),
        expiry=expiries[number % len(expiries)],
        used=number % 7 != 5,
        user=None if by_account else members[number % len(members)],
        service_account=accounts[place] if by_account else None,
    )


def _admin_keys(seed: int, users: tuple[User, ...]) -> tuple[AdminKey, ...]:
    owners = [user for user in users if user.role == "owner"]
    plan: tuple[tuple[str, Expiry, bool], ...] = (
        ("monitoring", "never", True),
        ("billing export", "rotated", True),
        ("migration 2024", "never", False),
    )
    return tuple(
        AdminKey(
            id=identifier("key_", seed, "admin", number),
            name=name,
            created_at=FOUNDED + (5 + 40 * number) * DAY,
            expiry=expiry,
            used=used,
            owner=owners[number % len(owners)],
        )
        for number, (name, expiry, used) in enumerate(plan)
    )

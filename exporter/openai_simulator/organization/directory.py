# SPDX-License-Identifier: Apache-2.0
"""The endpoints that name things: projects, keys, users, service accounts; and how lists are paged."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any, Protocol, TypeVar

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator import errors
from openai_simulator.catalogue import SimClock
from openai_simulator.organization import seed
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.usage import UsageRecords

PREFIX = "/v1/organization"
MANAGEMENT_READ = "api.management.read"
_ROTATED_EVERY = 90 * seed.DAY
_LOOKS_BACK = 400 * seed.DAY
_STEPS = (seed.DAY, 30 * seed.DAY, _LOOKS_BACK)
Object = dict[str, Any]


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The identifier that paging goes by."""
        ...


T = TypeVar("T", bound=Identified)


def listing(
    items: Sequence[T],
    show: Callable[[T], Object],
    params: QueryParams,
    *,
    known: Collection[str] = (),
    default: int = 20,
    least: int = 1,
    most: int = 100,
) -> Object:
    """A page of `items`, each shown by `show`; raises the API's 400 for parameters it would not take.

    `known` are the endpoint's own parameters; `order` and `before` are handled here when they are among them.
    """
    refuse_unknown(params, ("limit", "after", *known))
    limit = _limit(params.get("limit"), default, least, most)
    ordered = list(items)
    if "order" in known and choice(params, "order", ("asc", "desc"), "asc") == "desc":
        ordered.reverse()
    if "before" in known and params.get("before"):
        end = _place(ordered, "before", params["before"])
        chosen, more = ordered[max(0, end - limit) : end], end > limit
    else:
        begin = _place(ordered, "after", params["after"]) + 1 if params.get("after") else 0
        chosen, more = ordered[begin : begin + limit], begin + limit < len(ordered)
    return {
        "object": "list",
        "data": [show(item) for item in chosen],
        "first_id": chosen[0].id if chosen else None,
        "last_id": chosen[-1].id if chosen else None,
        "has_more": more,
    }


def refuse_unknown(params: QueryParams, known: Collection[str]) -> None:
    """Raise 400 for a parameter that the endpoint does not have."""
    for name in params:
        if name.removesuffix("[]") not in known:
            raise errors.unknown_parameter(name)


def choice(params: QueryParams, name: str, allowed: Sequence[str], default: str) -> str:
    """The value of a parameter that has a closed set; raises 400 outside of it."""
    value = params.get(name, default)
    if value not in allowed:
        raise errors.invalid_value(name, value, errors.quoted(allowed))
    return value


def find(items: Sequence[T], item_id: str, kind: str) -> T:
    """The item of that id; raises the API's 404 naming `kind`."""
    for item in items:
        if item.id == item_id:
            return item
    raise errors.ApiError(404, f"No {kind} found with id '{item_id[:80]}'.", code="not_found")


def _limit(text: str | None, default: int, least: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise errors.no_integer("limit", text)
    if not least <= int(text) <= most:
        raise errors.invalid_value("limit", int(text), f"{least} to {most}")
    return int(text)


def _place(items: Sequence[Identified], name: str, item_id: str) -> int:
    ids = [item.id for item in items]
    if item_id not in ids:
        message = f"Invalid '{name}': no item has the id {item_id[:80]!r}."
        raise errors.ApiError(400, message, param=name, code="invalid_value")
    return ids.index(item_id)


class LastUse:
    """Finds the newest request of a key or of a user's keys, in the same records as the usage."""

    def __init__(self, roster: seed.Roster, records: UsageRecords) -> None:
        self._records = records
        self._streams: dict[str, list[tuple[str, int]]] | None = None
        self._keys_of: dict[str, list[str]] = {}
        for key in roster.keys:
            self._keys_of.setdefault(key.owner_id, []).append(key.id)

    def of_key(self, api_key_id: str, now: float) -> int | None:
        """Unix seconds of the key's last request before `now`, None when it made none within 400 days."""
        self._records.recorded.enter()
        times = [self._records.recorded.last_use(api_key_id, now)]
        for step in _STEPS:
            for operation, stream in self._index().get(api_key_id, ()):
                times.append(self._records.seeded.last_request(operation, stream, now, now - step))
            known = [unix for unix in times if unix is not None]
            if known:
                return int(max(known))
        return None

    def of_user(self, user_id: str, now: float) -> int | None:
        """Unix seconds of the last request with any of the user's keys."""
        used = [self.of_key(key_id, now) for key_id in self._keys_of.get(user_id, ())]
        return max((unix for unix in used if unix is not None), default=None)

    def _index(self) -> dict[str, list[tuple[str, int]]]:
        if self._streams is None:
            self._streams = {}
            for name, operation in OPERATIONS.items():
                if "api_key_id" not in operation.dimensions:
                    continue
                place = operation.dimensions.index("api_key_id")
                for stream, labels in enumerate(self._records.seeded.labels(name)):
                    self._streams.setdefault(str(labels[place]), []).append((name, stream))
        return self._streams


def _object(kind: str, item: Any, members: str, **values: Any) -> Object:
    """The JSON object of an item: `members` in their order, from `values`, else from the item."""
    values["object"] = kind
    return {name: values[name] if name in values else getattr(item, name) for name in members.split()}


@dataclass(frozen=True, slots=True)
class _List:
    """One list and its items: paths below the organization's, what there is now, and how each is shown.

    Attributes:
        kind: what a 404 calls an item.
        filters: the list's own query parameters.
        chosen: makes of the parameters what an item must be to be listed.
        strict: whether an item's own endpoint takes no parameters.
    """

    path: str
    item_id: str
    kind: str
    items: Callable[[Request], Sequence[Any]]
    show: Callable[[Any], Object]
    filters: tuple[str, ...] = ()
    chosen: Callable[[QueryParams], Callable[[Any], bool]] = lambda params: lambda item: True
    strict: bool = False

    def answer_list(self, request: Request) -> Object:
        """A page of the list."""
        params = request.query_params
        chosen = self.chosen(params)
        items = [item for item in self.items(request) if chosen(item)]
        return listing(items, self.show, params, known=self.filters)

    def answer_item(self, request: Request) -> Object:
        """One item."""
        if self.strict:
            refuse_unknown(request.query_params, ())
        return self.show(find(self.items(request), request.path_params[self.item_id], self.kind))


class Directory:
    """Lists and objects as they are at the simulated time: nothing is shown before it was created."""

    def __init__(self, roster: seed.Roster, records: UsageRecords, clock: SimClock, lock: RLock) -> None:
        self._roster = roster
        self._clock = clock
        self._lock = lock
        self._last_use = LastUse(roster, records)
        self._project_of = {project.id: project for project in roster.projects}

    def routes(self) -> list[BaseRoute]:
        """The GET routes: each list, and each of its items."""
        project = "/projects/{project_id}"
        lists = (
            _List("/projects", "project_id", "project", self._projects, self._project,
                  ("include_archived",), self._with_archived),
            _List(f"{project}/api_keys", "key_id", "API key", self._keys, self._key,
                  ("owner_project_access",), self._with_access, strict=True),
            _List(f"{project}/users", "user_id", "user", self._members, self._member),
            _List(f"{project}/service_accounts", "account_id", "service account", self._accounts, self._account),
            _List("/users", "user_id", "user", self._users, self._user, ("emails",), _with_email),
            _List("/admin_api_keys", "key_id", "admin API key", lambda request: self._roster.admin_keys,
                  self._admin_key, ("order",)),
        )  # fmt: skip
        routes: list[BaseRoute] = []
        for entry in lists:
            routes.append(self._route(entry.path, entry.answer_list))
            routes.append(self._route(f"{entry.path}/{{{entry.item_id}}}", entry.answer_item))
        return routes

    def _route(self, path: str, answer: Callable[[Request], Object]) -> Route:
        def endpoint(request: Request) -> JSONResponse:
            errors.require_admin(request, MANAGEMENT_READ)
            with self._lock:
                return JSONResponse(answer(request))

        return Route(PREFIX + path, endpoint, methods=["GET"])

    def _projects(self, request: Request) -> list[seed.Project]:
        return [project for project in self._roster.projects if project.created_at <= self._clock.now()]

    def _with_archived(self, params: QueryParams) -> Callable[[seed.Project], bool]:
        archived = choice(params, "include_archived", ("true", "false"), "false") == "true"
        return lambda project: archived or not project.archived_by(self._clock.now())

    def _parent(self, request: Request) -> seed.Project:
        return find(self._projects(request), request.path_params["project_id"], "project")

    def _keys(self, request: Request) -> list[seed.ApiKey]:
        project, now = self._parent(request), self._clock.now()
        return [key for key in self._roster.keys if key.project_id == project.id and key.created_at <= now]

    def _with_access(self, params: QueryParams) -> Callable[[seed.ApiKey], bool]:
        access = choice(params, "owner_project_access", ("active", "inactive", "any"), "any")
        return lambda key: access in ("any", self._access(key))

    def _members(self, request: Request) -> list[seed.User]:
        project = self._parent(request)
        return [user for user in self._users(request) if project.id in user.projects]

    def _accounts(self, request: Request) -> list[seed.ServiceAccount]:
        project = self._parent(request)
        return [account for account in self._roster.service_accounts if account.project_id == project.id]

    def _users(self, request: Request) -> list[seed.User]:
        return [user for user in self._roster.users if user.added_at <= self._clock.now()]

    def _project(self, project: seed.Project) -> Object:
        archived = project.archived_by(self._clock.now())
        return _object(
            "organization.project",
            project,
            "id object name created_at archived_at status external_key_id residency",
            archived_at=project.archived_at if archived else None,
            status="archived" if archived else "active",
            external_key_id=None,
            residency="GLOBAL",
        )

    def _key(self, key: seed.ApiKey) -> Object:
        return _object(
            "organization.project.api_key",
            key,
            "object id name redacted_value created_at last_used_at expires_at owner_project_access owner",
            redacted_value=f"sk-proj-...{key.id[-4:]}",
            last_used_at=self._last_use.of_key(key.id, self._clock.now()),
            expires_at=self._expires(key.expiry, key.created_at),
            owner_project_access=self._access(key),
            owner=_owner(key),
        )

    def _access(self, key: seed.ApiKey) -> str:
        """Whether the key's owner can use its project."""
        project = self._project_of[key.project_id]
        return "inactive" if project.archived_by(self._clock.now()) else "active"

    def _member(self, user: seed.User) -> Object:
        role = "owner" if user.role == "owner" else "member"
        return _object("organization.project.user", user, "object id name email role added_at", role=role)

    def _user(self, user: seed.User) -> Object:
        return _object(
            "organization.user",
            user,
            "object id name email role added_at is_service_account api_key_last_used_at",
            is_service_account=False,
            api_key_last_used_at=self._last_use.of_user(user.id, self._clock.now()),
        )

    def _account(self, account: seed.ServiceAccount) -> Object:
        return _object("organization.project.service_account", account, "object id name role created_at")

    def _admin_key(self, key: seed.AdminKey) -> Object:
        now = int(self._clock.now())
        owner = _object(
            "organization.user", key.owner, "type object id name created_at role",
            type="user", created_at=key.owner.added_at, role="owner",
        )  # fmt: skip
        return _object(
            "organization.admin_api_key",
            key,
            "object id name redacted_value created_at expires_at last_used_at owner",
            redacted_value=f"sk-admin...{key.id[-3:]}",
            expires_at=self._expires(key.expiry, key.created_at),
            last_used_at=now - now % 3600 if key.used else None,
            owner=owner,
        )

    def _expires(self, expiry: seed.Expiry, created_at: int) -> int | None:
        """A rotated key is renewed whenever it runs out, so that one is always about to expire soon."""
        if expiry == "rotated":
            rounds = int(self._clock.now() - created_at) // _ROTATED_EVERY + 1
            return created_at + max(rounds, 1) * _ROTATED_EVERY
        return seed.EXPIRED_AT if expiry == "expired" else None


def _with_email(params: QueryParams) -> Callable[[seed.User], bool]:
    emails = {*params.getlist("emails"), *params.getlist("emails[]")}
    return lambda user: not emails or user.email in emails


def _owner(key: seed.ApiKey) -> Object:
    if key.user is not None:
        role, created_at = ("owner" if key.user.role == "owner" else "member"), key.user.added_at
        members = "id name email role created_at"
        return {"type": "user", "user": _object("", key.user, members, role=role, created_at=created_at)}
    shown = _object("", key.service_account, "id name role created_at")
    return {"type": "service_account", "service_account": shown}

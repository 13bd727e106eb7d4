# SPDX-License-Identifier: Apache-2.0
"""The endpoints that name things: projects, keys, users, service accounts."""

from collections.abc import Callable, Collection, Sequence
from threading import RLock
from typing import Any, Protocol, TypeVar

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator.clock import SimClock
from openai_simulator.errors import ApiError, invalid_value
from openai_simulator.organization.books import Books
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.reports import MANAGEMENT_READ, require_admin
from openai_simulator.organization.seed import (
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

# Lists of the admin endpoints: limit, after, before, order and the list envelope. Knows no objects.


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The identifier that paging goes by."""
        ...


T = TypeVar("T", bound=Identified)
_PAGING = ("limit", "after")


def listing(
    items: Sequence[T],
    show: Callable[[T], dict[str, Any]],
    params: QueryParams,
    *,
    known: Collection[str] = (),
    default: int = 20,
    least: int = 1,
    most: int = 100,
) -> dict[str, Any]:
    """A page of `items`, each shown by `show`; raises the API's 400 for parameters it would not take.

    `known` are the endpoint's own parameters; `order` and `before` are handled here when they are among them.
    """
    refuse_unknown(params, (*_PAGING, *known))
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
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def choice(params: QueryParams, name: str, allowed: Sequence[str], default: str) -> str:
    """The value of a parameter that has a closed set; raises 400 outside of it."""
    value = params.get(name, default)
    if value not in allowed:
        raise invalid_value(name, value, ", ".join(map(repr, allowed)))
    return value


def found(items: Sequence[T], item_id: str, kind: str) -> T:
    """The item of that id; raises the API's 404 naming `kind`."""
    for item in items:
        if item.id == item_id:
            return item
    raise ApiError(404, f"No {kind} found with id '{item_id[:80]}'.", code="not_found")


def _limit(text: str | None, default: int, least: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        message = f"Invalid type for 'limit': expected an integer, but got {text[:40]!r} instead."
        raise ApiError(400, message, param="limit", code="invalid_type")
    if not least <= int(text) <= most:
        raise invalid_value("limit", int(text), f"{least} to {most}")
    return int(text)


def _place(items: Sequence[Identified], name: str, item_id: str) -> int:
    for place, item in enumerate(items):
        if item.id == item_id:
            return place
    raise ApiError(
        400, f"Invalid '{name}': no item has the id {item_id[:80]!r}.", param=name, code="invalid_value"
    )


# When keys were last used, from the same flows and calls as the usage. Keeps an index, no times.

_LOOKS_BACK = 400 * DAY
_STEPS = (DAY, 30 * DAY, _LOOKS_BACK)


class LastUse:
    """Finds the newest request of a key or of a user's keys."""

    def __init__(self, roster: Roster, books: Books) -> None:
        self._books = books
        self._streams: dict[str, list[tuple[str, int]]] | None = None
        self._keys_of: dict[str, list[str]] = {}
        for key in roster.keys:
            self._keys_of.setdefault(key.owner_id, []).append(key.id)

    def of_key(self, api_key_id: str, now: float) -> int | None:
        """Unix seconds of the key's last request before `now`, None when it made none within 400 days."""
        self._books.recorded.enter()
        times = [self._books.recorded.last_use(api_key_id, now)]
        for step in _STEPS:
            for operation, stream in self._index().get(api_key_id, ()):
                times.append(self._books.flows.last_request(operation, stream, now, now - step))
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
                for stream, labels in enumerate(self._books.flows.labels(name)):
                    self._streams.setdefault(str(labels[place]), []).append((name, stream))
        return self._streams


# JSON objects of the directory: exactly the members that the API description has. Answers no requests.

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


# The endpoints that name things: projects, keys, users, service accounts. Changes nothing.

PREFIX = "/v1/organization"
Answer = Callable[[Request], dict[str, Any]]


class DirectoryApi:
    """Lists and objects as they are at the simulated time: nothing is shown before it was created."""

    def __init__(self, roster: Roster, last_use: LastUse, clock: SimClock, lock: RLock) -> None:
        self._roster = roster
        self._clock = clock
        self._lock = lock
        self._show = Objects(roster, last_use, clock)

    def routes(self) -> list[BaseRoute]:
        """The GET routes."""
        project = "/projects/{project_id}"
        table: dict[str, Answer] = {
            "/projects": self._projects,
            project: lambda request: self._show.project(self._project(request)),
            f"{project}/api_keys": self._api_keys,
            f"{project}/api_keys/{{key_id}}": self._api_key,
            f"{project}/users": self._members,
            f"{project}/users/{{user_id}}": self._member,
            f"{project}/service_accounts": self._service_accounts,
            f"{project}/service_accounts/{{account_id}}": self._service_account,
            "/users": self._users,
            "/users/{user_id}": self._user,
            "/admin_api_keys": self._admin_keys,
            "/admin_api_keys/{key_id}": self._admin_key,
        }
        return [
            Route(PREFIX + path, self._endpoint(answer), methods=["GET"]) for path, answer in table.items()
        ]

    def _endpoint(self, answer: Answer) -> Callable[[Request], JSONResponse]:
        def endpoint(request: Request) -> JSONResponse:
            require_admin(request, MANAGEMENT_READ)
            with self._lock:
                return JSONResponse(answer(request))

        return endpoint

    def _projects(self, request: Request) -> dict[str, Any]:
        archived = choice(request.query_params, "include_archived", ("true", "false"), "false") == "true"
        now = self._clock.now()
        shown = [
            project
            for project in self._roster.projects
            if project.created_at <= now and (archived or not project.archived_by(now))
        ]
        return listing(shown, self._show.project, request.query_params, known=("include_archived",))

    def _project(self, request: Request) -> Project:
        existing = [project for project in self._roster.projects if project.created_at <= self._clock.now()]
        return found(existing, request.path_params["project_id"], "project")

    def _api_keys(self, request: Request) -> dict[str, Any]:
        params = request.query_params
        access = choice(params, "owner_project_access", ("active", "inactive", "any"), "any")
        keys = [key for key in self._keys(request) if access in ("any", self._show.access(key))]
        return listing(keys, self._show.api_key, params, known=("owner_project_access",))

    def _keys(self, request: Request) -> list[ApiKey]:
        project, now = self._project(request), self._clock.now()
        return [key for key in self._roster.keys_of(project.id) if key.created_at <= now]

    def _api_key(self, request: Request) -> dict[str, Any]:
        refuse_unknown(request.query_params, ())
        return self._show.api_key(found(self._keys(request), request.path_params["key_id"], "API key"))

    def _members(self, request: Request) -> dict[str, Any]:
        members = self._joined(self._project(request))
        return listing(members, self._show.member, request.query_params)

    def _member(self, request: Request) -> dict[str, Any]:
        members = self._joined(self._project(request))
        return self._show.member(found(members, request.path_params["user_id"], "user"))

    def _joined(self, project: Project) -> list[User]:
        return [user for user in self._present() if project.id in user.projects]

    def _present(self) -> list[User]:
        return [user for user in self._roster.users if user.added_at <= self._clock.now()]

    def _service_accounts(self, request: Request) -> dict[str, Any]:
        project = self._project(request)
        accounts = [account for account in self._roster.service_accounts if account.project_id == project.id]
        return listing(accounts, self._show.service_account, request.query_params)

    def _service_account(self, request: Request) -> dict[str, Any]:
        project = self._project(request)
        accounts = [account for account in self._roster.service_accounts if account.project_id == project.id]
        return self._show.service_account(
            found(accounts, request.path_params["account_id"], "service account")
        )

    def _users(self, request: Request) -> dict[str, Any]:
        params = request.query_params
        emails = {*params.getlist("emails"), *params.getlist("emails[]")}
        users: Sequence[User] = [user for user in self._present() if not emails or user.email in emails]
        return listing(users, self._show.user, params, known=("emails",))

    def _user(self, request: Request) -> dict[str, Any]:
        return self._show.user(found(self._present(), request.path_params["user_id"], "user"))

    def _admin_keys(self, request: Request) -> dict[str, Any]:
        return listing(self._roster.admin_keys, self._show.admin_key, request.query_params, known=("order",))

    def _admin_key(self, request: Request) -> dict[str, Any]:
        key = found(self._roster.admin_keys, request.path_params["key_id"], "admin API key")
        return self._show.admin_key(key)

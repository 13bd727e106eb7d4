# SPDX-License-Identifier: Apache-2.0
"""The endpoints that name things: projects, keys, users, service accounts. Changes nothing."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.organization.access import MANAGEMENT_READ, require_admin
from openai_exporter.simulator.organization.envelope import choice, found, listing, refuse_unknown
from openai_exporter.simulator.organization.last_use import LastUse
from openai_exporter.simulator.organization.objects import Objects
from openai_exporter.simulator.organization.seed import ApiKey, Project, Roster, User

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

# SPDX-License-Identifier: Apache-2.0
"""Spend limits, spend alerts and project rate limits: reading and changing them. Enforces nothing."""

from collections.abc import Callable, Coroutine
from threading import RLock
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.errors import ApiError
from openai_exporter.simulator.organization.access import MANAGEMENT_READ, MANAGEMENT_WRITE, require_admin
from openai_exporter.simulator.organization.bodies import alert_body, limit_body, rate_limit_body
from openai_exporter.simulator.organization.envelope import found, listing
from openai_exporter.simulator.organization.ids import identifier
from openai_exporter.simulator.organization.seed import Roster
from openai_exporter.simulator.organization.settings import LimitSettings, RateLimit, SpendAlert
from openai_exporter.simulator.organization.statement import Statement, month_start

_ORGANIZATION = "/v1/organization"
_PROJECT = f"{_ORGANIZATION}/projects/{{project_id}}"
Body = dict[str, Any]
Answer = Callable[[Request, Any], Body]


class LimitsApi:
    """The endpoints over the settings. `enforcing` follows the true spend of the month, as the real one does."""

    def __init__(self, seed: int, roster: Roster, clock: SimClock, statement: Statement, lock: RLock) -> None:
        self._seed = seed
        self._projects = roster.projects
        self._settings = LimitSettings.seeded(seed, roster)
        self._clock = clock
        self._statement = statement
        self._lock = lock
        self._made = 0

    def routes(self) -> list[BaseRoute]:
        """The routes for GET, POST and DELETE."""
        found_routes: list[BaseRoute] = []
        for base in (_ORGANIZATION, _PROJECT):
            found_routes += [
                self._route(f"{base}/spend_limit", "GET", self._get_limit),
                self._route(f"{base}/spend_limit", "POST", self._set_limit),
                self._route(f"{base}/spend_limit", "DELETE", self._delete_limit),
                self._route(f"{base}/spend_alerts", "GET", self._list_alerts),
                self._route(f"{base}/spend_alerts", "POST", self._add_alert),
                self._route(f"{base}/spend_alerts/{{alert_id}}", "GET", self._get_alert),
                self._route(f"{base}/spend_alerts/{{alert_id}}", "POST", self._set_alert),
                self._route(f"{base}/spend_alerts/{{alert_id}}", "DELETE", self._delete_alert),
            ]
        return [
            *found_routes,
            self._route(f"{_PROJECT}/rate_limits", "GET", self._list_rate_limits),
            self._route(f"{_PROJECT}/rate_limits/{{rate_limit_id}}", "POST", self._set_rate_limit),
        ]

    def state(self) -> Body:
        """The spend limits in cents, by project id (empty for the organization's)."""
        return {scope or "": cents for scope, cents in self._settings.spend_limits.items()}

    def _route(self, path: str, method: str, answer: Answer) -> Route:
        scope = MANAGEMENT_READ if method == "GET" else MANAGEMENT_WRITE

        def locked(request: Request, body: Any) -> Body:
            with self._lock:
                self._known_project(request)
                return answer(request, body)

        async def endpoint(request: Request) -> JSONResponse:
            require_admin(request, scope)
            body = await _json(request) if method == "POST" else None
            return JSONResponse(await run_in_threadpool(locked, request, body))

        handler: Callable[[Request], Coroutine[Any, Any, JSONResponse]] = endpoint
        return Route(path, handler, methods=[method])

    def _known_project(self, request: Request) -> str | None:
        project_id = request.path_params.get("project_id")
        return None if project_id is None else found(self._projects, project_id, "project").id

    def _get_limit(self, request: Request, _body: Any) -> Body:
        scope = request.path_params.get("project_id")
        cents = self._settings.spend_limits.get(scope)
        if cents is None:
            raise ApiError(404, "No spend limit is configured.", code="not_found")
        now = self._clock.now()
        spent = self._statement.billed_since(month_start(now), now, scope)
        status = "enforcing" if spent * 100 >= cents else "inactive"
        return {
            "object": f"{_kind(scope)}.spend_limit",
            "threshold_amount": cents,
            "currency": "USD",
            "interval": "month",
            "enforcement": {"status": status},
        }

    def _set_limit(self, request: Request, body: Any) -> Body:
        self._settings.spend_limits[request.path_params.get("project_id")] = limit_body(body)
        return self._get_limit(request, None)

    def _delete_limit(self, request: Request, _body: Any) -> Body:
        scope = request.path_params.get("project_id")
        if self._settings.spend_limits.pop(scope, None) is None:
            raise ApiError(404, "No spend limit is configured.", code="not_found")
        return {"object": f"{_kind(scope)}.spend_limit.deleted", "deleted": True}

    def _alerts(self, request: Request) -> list[SpendAlert]:
        return self._settings.alerts.setdefault(request.path_params.get("project_id"), [])

    def _list_alerts(self, request: Request, _body: Any) -> Body:
        known = ("order", "before")
        kind = _kind(request.path_params.get("project_id"))
        alerts = self._alerts(request)
        return listing(alerts, lambda alert: alert.shown(kind), request.query_params, known=known, least=0)

    def _get_alert(self, request: Request, _body: Any) -> Body:
        return self._alert(request).shown(_kind(request.path_params.get("project_id")))

    def _alert(self, request: Request) -> SpendAlert:
        return found(self._alerts(request), request.path_params["alert_id"], "spend alert")

    def _add_alert(self, request: Request, body: Any) -> Body:
        self._made += 1
        alert = alert_body(body, identifier("alert_", self._seed, "made", self._made))
        self._alerts(request).append(alert)
        return alert.shown(_kind(request.path_params.get("project_id")))

    def _set_alert(self, request: Request, body: Any) -> Body:
        alerts, old = self._alerts(request), self._alert(request)
        alerts[alerts.index(old)] = alert = alert_body(body, old.id)
        return alert.shown(_kind(request.path_params.get("project_id")))

    def _delete_alert(self, request: Request, _body: Any) -> Body:
        alert = self._alert(request)
        self._alerts(request).remove(alert)
        kind = _kind(request.path_params.get("project_id"))
        return {"id": alert.id, "object": f"{kind}.spend_alert.deleted", "deleted": True}

    def _list_rate_limits(self, request: Request, _body: Any) -> Body:
        limits = self._settings.rate_limits(request.path_params["project_id"])
        return listing(limits, RateLimit.shown, request.query_params, known=("before",), default=100)

    def _set_rate_limit(self, request: Request, body: Any) -> Body:
        limits = self._settings.rate_limits(request.path_params["project_id"])
        old = found(limits, request.path_params["rate_limit_id"], "rate limit")
        limits[limits.index(old)] = changed = rate_limit_body(body, old)
        return changed.shown()


def _kind(scope: str | None) -> str:
    return "organization" if scope is None else "project"


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise ApiError(400, "We could not parse the JSON body of your request.") from None

# SPDX-License-Identifier: Apache-2.0
"""Spend limits, spend alerts and project rate limits: as they are set, reading and changing them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from threading import RLock
from time import monotonic
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator import errors
from openai_simulator.catalogue import MODELS, Model, SimClock
from openai_simulator.organization.directory import MANAGEMENT_READ, PREFIX, find, listing
from openai_simulator.organization.seed import Roster, generator, identifier

MANAGEMENT_WRITE = "api.management.write"

_ORGANIZATION_ALERTS = (800_000, 1_200_000)  # cents
_ORGANIZATION_LIMIT = 5_000_000
ENFORCED_AFTER = 60.0
"""Simulated seconds after which spend counts for a limit: enforcement is not instantaneous (OpenAI's spend limits
guide), so a little more is spent."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SpendAlert:
    """A mail that is sent when a month's spend passes `cents`."""

    id: str
    cents: int
    recipients: tuple[str, ...]
    subject_prefix: str | None = None

    def shown(self, kind: str) -> dict[str, Any]:
        """The JSON object; `kind` is organization or project."""
        channel = {"type": "email", "recipients": [*self.recipients], "subject_prefix": self.subject_prefix}
        return {
            "id": self.id,
            "object": f"{kind}.spend_alert",
            "threshold_amount": self.cents,
            "currency": "USD",
            "interval": "month",
            "notification_channel": channel,
        }


_RATE_LIMITS = (
    "max_requests_per_1_minute",
    "max_tokens_per_1_minute",
    "max_images_per_1_minute",
    "max_audio_megabytes_per_1_minute",
    "max_requests_per_1_day",
    "batch_1_day_max_input_tokens",
)
_DATED = {model.snapshot for model in MODELS.values() if model.id != model.snapshot}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A project's limits for one model, without those that the model does not have."""

    id: str
    model: str
    limits: Mapping[str, int]

    def shown(self) -> dict[str, Any]:
        """The JSON object."""
        limits = {name: self.limits[name] for name in _RATE_LIMITS if name in self.limits}
        return {"object": "project.rate_limit", "id": self.id, "model": self.model, **limits}


def _rate_limit(model: Model, divisor: int) -> RateLimit:
    requests, tokens = model.requests_per_minute, model.tokens_per_minute
    limits = {"max_requests_per_1_minute": requests, "max_tokens_per_1_minute": tokens}
    if model.kind == "image":
        limits["max_images_per_1_minute"] = requests
    if model.kind == "transcription":
        limits["max_audio_megabytes_per_1_minute"] = 600
    if model.kind == "chat":
        limits["batch_1_day_max_input_tokens"] = tokens * 40
    return RateLimit(f"rl-{model.id}", model.id, {name: limit // divisor for name, limit in limits.items()})


_MONEY = ("threshold_amount", "currency", "interval")


def alert_body(body: Any, alert_id: str) -> SpendAlert:
    """A spend alert; raises the API's 400."""
    names = (*_MONEY, "notification_channel")
    values = _members(body, names, names)
    channel = _members(
        values["notification_channel"],
        ("type", "recipients", "subject_prefix"),
        ("type", "recipients"),
        "notification_channel.",
    )
    _constant(channel, "type", "email", "notification_channel.")
    recipients, prefix = channel["recipients"], channel.get("subject_prefix")
    if not isinstance(recipients, list) or not all(isinstance(address, str) for address in recipients):
        raise errors.invalid_type("notification_channel.recipients", "an array of strings", recipients)
    if prefix is not None and not isinstance(prefix, str):
        raise errors.invalid_type("notification_channel.subject_prefix", "a string", prefix)
    return SpendAlert(alert_id, _cents(values, least=0), tuple(recipients), prefix)


def rate_limit_body(body: Any, old: RateLimit) -> RateLimit:
    """`old` with the limits of the body changed; raises the API's 400."""
    values = _members(body, _RATE_LIMITS, ())
    for name in values:
        _whole(values, name, least=0)
    return replace(old, limits={**old.limits, **values})


def _members(body: Any, known: Collection[str], required: Collection[str], place: str = "") -> dict[str, Any]:
    if not isinstance(body, dict):
        raise errors.invalid_type(place.rstrip(".") or "body", "an object", body)
    for name in body:
        if name not in known:
            raise errors.unknown_parameter(f"{place}{name}")
    for name in required:
        if name not in body:
            raise errors.missing_parameter(f"{place}{name}")
    return body


def _cents(values: Mapping[str, Any], least: int) -> int:
    _constant(values, "currency", "USD")
    _constant(values, "interval", "month")
    return _whole(values, "threshold_amount", least)


def _whole(values: Mapping[str, Any], name: str, least: int) -> int:
    number = values[name]
    if isinstance(number, bool) or not isinstance(number, int):
        raise errors.invalid_type(name, "an integer", number)
    if number < least:
        raise errors.invalid_value(name, number, f"{least} or more")
    return number


def _constant(values: Mapping[str, Any], name: str, expected: str, place: str = "") -> None:
    if values[name] != expected:
        raise errors.invalid_value(f"{place}{name}", values[name], repr(expected))


_PROJECT = f"{PREFIX}/projects/{{project_id}}"
Body = dict[str, Any]
Answer = Callable[[Request, Any], Body]


class LimitsApi:
    """The settings, with believable first values, and their endpoints.

    `enforcing` follows the true spend of the month, as the real one does. Requests are rejected because of limits that
    were set through the API; those of the first moment are far above the usage.

    Args:
        spent: USD billed this month until a time, of one project (None: of all).
        limit_rates: told a project, a model, and its requests and tokens a minute from now on.
    """

    def __init__(
        self,
        seed: int,
        roster: Roster,
        clock: SimClock,
        spent: Callable[[float, str | None], Decimal],
        limit_rates: Callable[[str, Model, int, int], object],
        lock: RLock,
    ) -> None:
        self._seed = seed
        self._projects = roster.projects
        self._clock = clock
        self._spent = spent
        self._limit_rates = limit_rates
        self._lock = lock
        # Scopes whose limit was set, with the time of the last look and what it saw.
        self._guarded: dict[str | None, tuple[float, bool]] = {}
        self._made = 0
        self._rate_limits: dict[str, list[RateLimit]] = {}
        # By project id, None for the organization; spend limits are in cents.
        self._spend_limits: dict[str | None, int] = {None: _ORGANIZATION_LIMIT}
        self._spend_alerts: dict[str | None, list[SpendAlert]] = {}
        self._seed_settings(roster.users[0].email)

    def _seed_settings(self, owner: str) -> None:
        """A limit and two alerts for the organization, and one of each for every third project."""
        self._spend_alerts[None] = [
            SpendAlert(identifier("alert_", self._seed, cents), cents, (owner, "finance@example.com"), "[OpenAI]")
            for cents in _ORGANIZATION_ALERTS
        ]
        for number, project in enumerate(self._projects):
            if number % 3 == 1:
                cents = generator(self._seed, "limit", number).randrange(5, 15) * 100_000
                self._spend_limits[project.id] = cents
                alert = SpendAlert(identifier("alert_", self._seed, project.id), cents * 8 // 10, (owner,))
                self._spend_alerts[project.id] = [alert]

    def routes(self) -> list[BaseRoute]:
        """The routes for GET, POST and DELETE."""
        scoped: tuple[tuple[str, str, Answer], ...] = (
            ("spend_limit", "GET", self._get_limit),
            ("spend_limit", "POST", self._set_limit),
            ("spend_limit", "DELETE", self._delete_limit),
            ("spend_alerts", "GET", self._list_alerts),
            ("spend_alerts", "POST", self._add_alert),
            ("spend_alerts/{alert_id}", "GET", self._get_alert),
            ("spend_alerts/{alert_id}", "POST", self._set_alert),
            ("spend_alerts/{alert_id}", "DELETE", self._delete_alert),
        )
        return [
            *(
                self._route(f"{base}/{path}", method, answer)
                for base in (PREFIX, _PROJECT)
                for path, method, answer in scoped
            ),
            self._route(f"{_PROJECT}/rate_limits", "GET", self._list_rate_limits),
            self._route(f"{_PROJECT}/rate_limits/{{rate_limit_id}}", "POST", self._set_rate_limit),
        ]

    def state(self) -> Body:
        """The spend limits in cents, by project id (empty for the organization's)."""
        return {scope or "": cents for scope, cents in self._spend_limits.items()}

    def admit(self, project_id: str) -> None:
        """Raise the API's 429 when a limit of the project, or of the organization, is reached."""
        if not self._guarded:
            return
        with self._lock:
            for scope, code in ((project_id, "project"), (None, "organization")):
                if self._rejects(scope):
                    raise errors.quota_error(f"{code}_spend_limit_exceeded")

    def _rejects(self, scope: str | None) -> bool:
        looked = self._guarded.get(scope)
        if looked is None:
            return False
        now = monotonic()
        if now - looked[0] >= _LOOK_SECONDS:  # adding up a month takes some time
            self._guarded[scope] = looked = (now, self._enforcing(scope, self._spend_limits[scope]))
        return looked[1]

    def _enforcing(self, scope: str | None, cents: int) -> bool:
        return self._spent(self._clock.now() - ENFORCED_AFTER, scope) * 100 >= cents

    def _route(self, path: str, method: str, answer: Answer) -> Route:
        scope = MANAGEMENT_READ if method == "GET" else MANAGEMENT_WRITE

        def locked(request: Request, body: Any) -> Body:
            with self._lock:
                project_id = _project_id(request)
                if project_id is not None:
                    find(self._projects, project_id, "project")
                return answer(request, body)

        async def endpoint(request: Request) -> JSONResponse:
            errors.require_admin(request, scope)
            body = await _json(request) if method == "POST" else None
            return JSONResponse(await run_in_threadpool(locked, request, body))

        return Route(path, endpoint, methods=[method])

    def _get_limit(self, request: Request, _body: Any) -> Body:
        project_id = _project_id(request)
        cents = self._spend_limits.get(project_id)
        if cents is None:
            raise errors.ApiError(404, "No spend limit is configured.", code="not_found")
        return {
            "object": f"{_kind(request)}.spend_limit",
            "threshold_amount": cents,
            "currency": "USD",
            "interval": "month",
            "enforcement": {"status": "enforcing" if self._enforcing(project_id, cents) else "inactive"},
        }

    def _set_limit(self, request: Request, body: Any) -> Body:
        self._spend_limits[_project_id(request)] = _cents(_members(body, _MONEY, _MONEY), least=1)
        self._guarded[_project_id(request)] = (float("-inf"), False)
        return self._get_limit(request, None)

    def _delete_limit(self, request: Request, _body: Any) -> Body:
        self._guarded.pop(_project_id(request), None)
        if self._spend_limits.pop(_project_id(request), None) is None:
            raise errors.ApiError(404, "No spend limit is configured.", code="not_found")
        return {"object": f"{_kind(request)}.spend_limit.deleted", "deleted": True}

    def _alerts(self, request: Request) -> list[SpendAlert]:
        return self._spend_alerts.setdefault(_project_id(request), [])

    def _alert(self, request: Request) -> SpendAlert:
        return find(self._alerts(request), request.path_params["alert_id"], "spend alert")

    def _list_alerts(self, request: Request, _body: Any) -> Body:
        kind, params = _kind(request), request.query_params
        alerts = self._alerts(request)
        return listing(alerts, lambda alert: alert.shown(kind), params, known=("order", "before"), least=0)

    def _get_alert(self, request: Request, _body: Any) -> Body:
        return self._alert(request).shown(_kind(request))

    def _add_alert(self, request: Request, body: Any) -> Body:
        self._made += 1
        alert = alert_body(body, identifier("alert_", self._seed, "made", self._made))
        self._alerts(request).append(alert)
        return alert.shown(_kind(request))

    def _set_alert(self, request: Request, body: Any) -> Body:
        alerts, old = self._alerts(request), self._alert(request)
        alerts[alerts.index(old)] = alert = alert_body(body, old.id)
        return alert.shown(_kind(request))

    def _delete_alert(self, request: Request, _body: Any) -> Body:
        alert = self._alert(request)
        self._alerts(request).remove(alert)
        return {"id": alert.id, "object": f"{_kind(request)}.spend_alert.deleted", "deleted": True}

    def _limits_of(self, project_id: str) -> list[RateLimit]:
        """The project's rate limits, one per model (by its undated name)."""
        if project_id not in self._rate_limits:
            divisor = generator(self._seed, "rates", project_id).choice((1, 2, 5))
            undated = (model for model in MODELS.values() if model.id not in _DATED)
            self._rate_limits[project_id] = [_rate_limit(model, divisor) for model in undated]
        return self._rate_limits[project_id]

    def _list_rate_limits(self, request: Request, _body: Any) -> Body:
        limits = self._limits_of(request.path_params["project_id"])
        return listing(limits, RateLimit.shown, request.query_params, known=("before",), default=100)

    def _set_rate_limit(self, request: Request, body: Any) -> Body:
        limits = self._limits_of(request.path_params["project_id"])
        old = find(limits, request.path_params["rate_limit_id"], "rate limit")
        limits[limits.index(old)] = changed = rate_limit_body(body, old)
        self._limit_rates(
            request.path_params["project_id"],
            MODELS[changed.model],
            changed.limits["max_requests_per_1_minute"],
            changed.limits["max_tokens_per_1_minute"],
        )
        return changed.shown()


def _project_id(request: Request) -> str | None:
    project_id: str | None = request.path_params.get("project_id")
    return project_id


def _kind(request: Request) -> str:
    return "organization" if _project_id(request) is None else "project"


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise errors.ApiError(400, "We could not parse the JSON body of your request.") from None

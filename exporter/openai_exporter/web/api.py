# SPDX-License-Identifier: Apache-2.0
"""GET /api/v1/usage/daily, monthly and dashboard: usage and costs as JSON, from a reading that requests share."""

from collections.abc import Callable, Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openai_exporter.report import api
from openai_exporter.report.api import DAYS, Overview, Reading
from openai_exporter.web.live import Live
from openai_exporter.web.routes import Refusal, find_name

_DEFAULT_DAYS = 30
_SECONDS = 9.5
"""How long a request waits for a reading."""


async def answer(request: Request) -> Response:
    """200 with the document; 400 for a parameter that is unknown or wrong; 503 before the first reading."""
    state = request.app.state
    if not hasattr(state, "usage_api"):
        state.usage_api = UsageApi()
    api: UsageApi = state.usage_api
    match request.path_params["name"]:
        case "daily":
            return await api.daily(request)
        case "monthly":
            return await api.monthly(request)
        case "dashboard":
            return await api.dashboard(request)
    raise HTTPException(404)


class UsageApi:
    """The readings behind the routes: one per organization, made anew when the configuration changes."""

    def __init__(self) -> None:
        self._overviews: dict[str, Overview] = {}

    async def daily(self, request: Request) -> Response:
        """The last days, the newest first; `?days=` says how many."""
        try:
            days = _days(request.query_params.get("days", str(_DEFAULT_DAYS)))
        except ValueError as error:
            return _refused(str(error))
        return await self._answer(
            request, ("organization", "days"), lambda found, name: api.daily(found, name, days)
        )

    async def monthly(self, request: Request) -> Response:
        """This month and those before it."""
        return await self._answer(request, ("organization",), api.monthly)

    async def dashboard(self, request: Request) -> Response:
        """Today, yesterday, the month, its models, forecast and budgets."""
        live: Live = request.app.state.live

        def made(found: Reading, name: str) -> dict[str, Any]:
            return api.dashboard(found, name, live.services.usages[name].summary().budgets)

        return await self._answer(request, ("organization",), made)

    async def _answer(
        self, request: Request, allowed: Iterable[str], make: Callable[[Reading, str], dict[str, Any]]
    ) -> Response:
        live: Live = request.app.state.live
        unknown = sorted(set(request.query_params) - set(allowed))
        if unknown:
            return _refused(f"unknown parameter {unknown[0][:80]!r}; allowed: {', '.join(allowed)}")
        name = find_name("organization", request.query_params, live.services.usages)
        if isinstance(name, Refusal):
            return _refused(name.message)
        reading = await self._overview(live, name).reading(_SECONDS)
        document = make(reading, name)
        if reading.error:
            document["error"] = live.masker(reading.error)
        return JSONResponse(document, 200 if reading.as_of else 503)

    def _overview(self, live: Live, name: str) -> Overview:
        config = live.services.config
        organization = config.organization(name)
        assert organization is not None
        known = self._overviews.get(name)
        if known is None or known.config is not config:
            known = self._overviews[name] = Overview(
                config, organization, live.settings.proxies, now=live.now
            )
        return known


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= DAYS):
        raise ValueError(f"parameter days: expected a whole number from 1 to {DAYS}, got {text[:40]!r}")
    return int(text)


def _refused(message: str) -> Response:
    return JSONResponse({"error": message}, 400)

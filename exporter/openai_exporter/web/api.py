# SPDX-License-Identifier: Apache-2.0
"""GET /api/v1/usage/daily, monthly and dashboard: usage and costs as JSON, from a reading that requests share."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openai_exporter.report import api
from openai_exporter.web.live import Live
from openai_exporter.web.routes import UNANNOUNCED, BadRequestError, find_name

_DEFAULT_DAYS = "30"
_PARAMETERS = {"daily": ("organization", "days"), "monthly": ("organization",), "dashboard": ("organization",)}


async def answer(request: Request) -> Response:
    """200 with the document; 400 for a parameter that is unknown or wrong; 503 before the first reading."""
    live: Live = request.app.state.live
    document_name, query = request.path_params["name"], request.query_params
    if document_name not in _PARAMETERS:
        raise HTTPException(404)
    allowed = _PARAMETERS[document_name]
    try:
        days = _days(query.get("days", _DEFAULT_DAYS)) if "days" in allowed else 0
        unknown = sorted(set(query) - set(allowed))
        if unknown:
            raise BadRequestError(f"unknown parameter {unknown[0][:80]!r}; allowed: {', '.join(allowed)}")
        name = find_name("organization", query, live.services.usages)
    except BadRequestError as error:
        return JSONResponse({"error": str(error)}, 400)
    reading = await _overview(request, name).reading(UNANNOUNCED)
    if document_name == "daily":
        document = api.daily(reading, name, days)
    elif document_name == "monthly":
        document = api.monthly(reading, name)
    else:
        document = api.dashboard(reading, name, live.services.usages[name].summary().budgets)
    if reading.error:
        document["error"] = live.masker(reading.error)
    return JSONResponse(document, 200 if reading.as_of else 503)


def _overview(request: Request, name: str) -> api.Overview:
    """The readings of an organization, which begin again when the configuration changes."""
    live: Live = request.app.state.live
    overviews: dict[str, api.Overview] = request.app.state.overviews
    config = live.services.config
    overview = overviews.get(name)
    if overview is None or overview.config is not config:
        organization = config.organization(name)
        assert organization is not None
        overview = api.Overview(config, organization, live.settings.proxies, now=live.now)
        overviews[name] = overview
    return overview


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= api.DAYS):
        raise BadRequestError(f"parameter days: expected a whole number from 1 to {api.DAYS}, got {text[:40]!r}")
    return int(text)

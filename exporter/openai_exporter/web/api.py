# SPDX-License-Identifier: Apache-2.0
"""GET /api/v1/usage/daily, monthly and dashboard: usage and costs as JSON or CSV, from readings that requests share."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openai_exporter.report import api
from openai_exporter.usage.ledger import DAY, day_start
from openai_exporter.web.live import Live
from openai_exporter.web.routes import UNANNOUNCED, BadRequestError, find_name

_DEFAULT_DAYS = "30"
_COMMON = ("organization", "from", "to", *api.FILTERS, "format")
_PARAMETERS = {"daily": (*_COMMON, "days"), "monthly": _COMMON, "dashboard": _COMMON}
_FORMATS = ("json", "csv")
_ALL = ("", ".*", "$__all", "All")
"""Values that choose everything: of a parameter that is empty, and of Grafana's variables."""
_KEPT, _MOST_WAITING = 32, 4
"""Readings of a choice that are kept, and that are read or wait for it at the same time."""


async def answer(request: Request) -> Response:
    """200 with the document; 400 for a parameter that is unknown or wrong; 503 before the first reading."""
    live: Live = request.app.state.live
    document_name = request.path_params["name"]
    if document_name not in _PARAMETERS:
        raise HTTPException(404)
    try:
        query = _query(request.query_params, _PARAMETERS[document_name])
        days = _days(query, document_name)
        form = query.get("format", "json")
        if form not in _FORMATS:
            raise BadRequestError(f"parameter format: expected json or csv, got {form[:40]!r}")
        name = find_name("organization", query, live.services.usages)
        choice = _choice(query, request.query_params, live, name)
    except BadRequestError as error:
        return JSONResponse({"error": str(error)}, 400)
    overview = _overview(request, name, choice.read)
    if overview is None:
        return JSONResponse({"error": f"{_MOST_WAITING} other choices are being read; ask again later"}, 503)
    reading = await overview.reading(UNANNOUNCED)
    if document_name == "daily":
        document = api.daily(reading, name, choice, days)
    elif document_name == "monthly":
        document = api.monthly(reading, name, choice)
    else:
        document = api.dashboard(reading, name, choice, live.services.usages[name].summary().budgets)
    if reading.error:
        document["error"] = live.masker(reading.error)
    if form == "csv" and reading.as_of:
        headers = {"content-disposition": f"attachment; filename=openai-usage-{document_name}.csv"}
        return Response(api.render_csv(document), 200, headers, "text/csv; charset=utf-8")
    return JSONResponse(document, 200 if reading.as_of else 503)


def _query(params: QueryParams, allowed: tuple[str, ...]) -> dict[str, str]:
    """The parameters, without those that choose everything.

    Raises:
        BadRequestError: one is unknown, or is given twice and takes one value.
    """
    for name in sorted(params):
        values = params.getlist(name)
        if name not in allowed:
            raise BadRequestError(f"unknown parameter {name[:80]!r}; allowed: {', '.join(allowed)}")
        if len(values) > 1 and name not in api.FILTERS:
            listed = ", ".join(value[:40] for value in values[:8])
            raise BadRequestError(f"parameter {name} takes one value, got {len(values)}: {listed}")
    return {name: value for name, value in params.items() if value not in _ALL}


def _days(query: Mapping[str, str], document_name: str) -> int:
    text = query.get("days", _DEFAULT_DAYS)
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= api.DAYS):
        raise BadRequestError(f"parameter days: expected a whole number from 1 to {api.DAYS}, got {text[:40]!r}")
    if "days" in query and "from" in query:
        raise BadRequestError("parameters days and from: give one of them; days counts back from to, or from today")
    return int(text)


def _choice(query: Mapping[str, str], params: QueryParams, live: Live, name: str) -> api.Choice:
    """What is asked for.

    Raises:
        BadRequestError: a time is none, they are in the wrong order, or an operation is not read.
    """
    values: dict[str, tuple[str, ...]] = {}
    for filter_name in api.FILTERS:
        given = [value for text in params.getlist(filter_name) for value in text.split(",")]
        if given and not {*given} & {*_ALL}:
            values[filter_name] = tuple(sorted({*given}))
    organization = live.services.config.organization(name)
    operations = list(organization.usage) if organization else []
    for operation in values.get("operation", ()):
        find_name("operation", {"operation": operation}, operations, f" of organization {name}")
    start, end = _time(query, "from"), _time(query, "to")
    start = None if start is None else day_start(start)
    end = None if end is None else day_start(end - 1) + DAY
    if start is not None and start >= (live.now() + DAY if end is None else end):
        last = "the present" if end is None else "parameter to"
        raise BadRequestError(f"parameter from: {query['from'][:40]} is after {last}; give an earlier time")
    return api.Choice(values, start, end)


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"\d{9,13}")
_MILLISECONDS = 10**11
"""From which on a number is milliseconds, as Grafana gives them: as seconds it would be the year 5138."""


def _time(query: Mapping[str, str], name: str) -> int | None:
    """Unix seconds of a parameter; of a date its start, and as `to` its end."""
    text = query.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) and text.isascii():
        up = 999 if name == "to" else 0  # which has the day of its last part of a second
        return (int(text) + up) // 1000 if int(text) >= _MILLISECONDS else int(text)
    try:
        time = datetime.fromisoformat(text)
        seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        allowed = "a date such as 2026-11-21, a time such as 2026-11-21T09:30:00Z, Unix seconds or milliseconds"
        raise BadRequestError(f"parameter {name}: expected {allowed}, got {text[:40]!r}") from None
    return seconds + DAY if name == "to" and _DATE.fullmatch(text) else seconds


def _overview(request: Request, name: str, only: tuple[tuple[str, str], ...]) -> api.Overview | None:
    """The readings of a choice of an organization, which begin again when the configuration changes.

    None where too many choices are being read.
    """
    live: Live = request.app.state.live
    overviews: dict[tuple[str, tuple[tuple[str, str], ...]], api.Overview] = request.app.state.overviews
    config = live.services.config
    overview = overviews.pop((name, only), None)
    if overview is None or overview.config is not config:
        worker = None
        if only:
            whole = _overview(request, name, ())
            assert whole is not None
            worker = whole.worker
            chosen = [key for key in overviews if key[1]]
            if sum(overviews[key].running for key in chosen) >= _MOST_WAITING:
                return None
            for key in chosen[: len(chosen) - _KEPT + 1]:
                del overviews[key]
        organization = config.organization(name)
        assert organization is not None
        proxies = live.settings.proxies
        overview = api.Overview(config, organization, proxies, now=live.now, only=only, worker=worker)
    overviews[name, only] = overview
    return overview

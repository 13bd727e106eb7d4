# SPDX-License-Identifier: Apache-2.0
"""GET /usage, /status and /metrics: pages that are encoded once and served often."""

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.exposition import EncodedPage
from openai_exporter.web.answers import exposition, registry, text
from openai_exporter.web.deadline import time_left
from openai_exporter.web.live import Live
from openai_exporter.web.names import Refusal, find_name
from openai_exporter.web.probing import refused

UNANNOUNCED = 9.5
"""Seconds a request may take that announces no scrape timeout, such as a browser's."""


class _Pages(Protocol):
    async def page(self, limit: float | None = None) -> EncodedPage: ...


async def usage(request: Request) -> Response:
    """200 with the organization's metrics; 400 for an unknown organization."""
    live: Live = request.app.state.live
    return await _page(request, "organization", live.services.usages)


async def status(request: Request) -> Response:
    """200 with the status page's metrics; 400 for an unknown page."""
    live: Live = request.app.state.live
    return await _page(request, "page", live.services.statuses)


async def metrics(request: Request) -> Response:
    """The exporter's own metrics and the counters and histograms accumulated over probes."""
    live: Live = request.app.state.live
    return registry(request, live.instruments)


async def _page(request: Request, kind: str, services: Mapping[str, _Pages]) -> Response:
    live: Live = request.app.state.live
    try:
        limit = time_left(request.scope, request.headers, live.settings.timeout_offset)
    except ValueError as error:
        return text(str(error), 400)
    name = find_name(kind, request.query_params.get(kind), services)
    if isinstance(name, Refusal):
        return refused(live, name)
    return await exposition(request, await services[name].page(limit or UNANNOUNCED))

# SPDX-License-Identifier: Apache-2.0
"""GET /probe: one probe, now, within the scrape's deadline."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.exposition import EncodedPage
from openai_exporter.metrics import own
from openai_exporter.model import ProbeKey
from openai_exporter.probe.explain import explain
from openai_exporter.probe.families import families
from openai_exporter.web.answers import exposition, text
from openai_exporter.web.deadline import time_left
from openai_exporter.web.live import Live
from openai_exporter.web.names import Refusal, find_probe
from openai_exporter.web.services import Services


async def probe(request: Request) -> Response:
    """200 with the probe's metrics, whatever the probe found; 400 for an unknown name or a bad header."""
    live: Live = request.app.state.live
    if request.method == "HEAD":  # asks for headers; a call that is paid for is no way to make some
        return text("", 200)
    services = live.services
    try:
        limit = time_left(request.scope, request.headers, live.settings.timeout_offset)
    except ValueError as error:
        return text(str(error), 400)
    key = _named(services, request.query_params)
    if isinstance(key, Refusal):
        return refused(live, key)
    answer = await services.prober.probe(key, limit)
    live.board.record(answer)
    if request.query_params.get("debug", "").lower() in ("true", "1"):
        return text(live.masker(explain(answer, services.config.modules[key.module])))
    return await exposition(request, EncodedPage(families(answer)))


def _named(services: Services, query: Mapping[str, str]) -> ProbeKey | Refusal:
    """The probe that is asked for; one that is named in full, as Prometheus does it, is not searched for."""
    key = ProbeKey(query.get("target", ""), query.get("module", ""), query.get("model", ""))
    if services.prober.knows(key) is None:
        return key
    return find_probe(services.config, query)


def refused(live: Live, refusal: Refusal) -> Response:
    """400 with the reason, counted when a name is unknown."""
    if not refusal.missing:
        live.instruments.count(own.UNKNOWN_NAMES, (refusal.kind,))
    return text(refusal.message, 400)

# SPDX-License-Identifier: Apache-2.0
"""GET /probe: one probe, now, within the scrape's deadline."""

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.exposition import EncodedPage
from openai_exporter.metrics import own
from openai_exporter.probe.explain import explain
from openai_exporter.probe.families import families
from openai_exporter.web.answers import exposition, text
from openai_exporter.web.deadline import scrape_limit
from openai_exporter.web.live import Live
from openai_exporter.web.names import Refusal, find_probe


async def probe(request: Request) -> Response:
    """200 with the probe's metrics, whatever the probe found; 400 for an unknown name or a bad header."""
    live: Live = request.app.state.live
    if request.method == "HEAD":  # asks for headers; a call that is paid for is no way to make some
        return text("", 200)
    services = live.services
    try:
        limit = scrape_limit(request.headers, live.settings.timeout_offset)
    except ValueError as error:
        return text(str(error), 400)
    key = find_probe(services.config, request.query_params)
    if isinstance(key, Refusal):
        return refused(live, key)
    unknown = services.prober.knows(key)
    if unknown is not None:
        return refused(live, Refusal("probe", unknown))
    answer = await services.prober.probe(key, limit)
    live.board.record(answer)
    if request.query_params.get("debug", "").lower() in ("true", "1"):
        return text(live.masker(explain(answer, services.config.modules[key.module])))
    return await exposition(request, EncodedPage(families(answer)))


def refused(live: Live, refusal: Refusal) -> Response:
    """400 with the reason, counted when a name is unknown."""
    if not refusal.missing:
        live.instruments.count(own.UNKNOWN_NAMES, (refusal.kind,))
    return text(refusal.message, 400)

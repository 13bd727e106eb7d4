# SPDX-License-Identifier: Apache-2.0
"""GET /history and /history/{id}: recent results, and one with its log, request and reply."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.model import ProbeResult
from openai_exporter.web import html
from openai_exporter.web.landing import result_view
from openai_exporter.web.limits import text
from openai_exporter.web.live import Live


async def history(request: Request) -> Response:
    """Recent results, newest first; failures are kept longer.

    `?failures=true` leaves out the rest, and `?request_id=ID` all but the result of that request, to which the
    exemplars of the latency charts lead.
    """
    live: Live = request.app.state.live
    only = request.query_params.get("failures", "").lower() in ("true", "1")
    request_id = request.query_params.get("request_id", "")
    rows = [
        {"id": row.id, **result_view(row.answer, live.now())}
        for row in live.history.recent()
        if not (only and row.answer.result.success) and row.answer.result.request_id.startswith(request_id)
    ]
    view = {"rows": rows, "only_failures": only, "request_id": request_id}
    return html.page("history.html", live.settings.route_prefix, view)


async def entry(request: Request) -> Response:
    """One result with all that is known about it; 404 once it is forgotten."""
    live: Live = request.app.state.live
    number = request.path_params["id"]
    recorded = live.history.get(number)
    if recorded is None:
        return text(f"result {number} is not kept (any more); /history lists what is", 404)
    result = recorded.answer.result
    view = {
        "row": {"id": number, **result_view(recorded.answer, live.now())},
        "facts": _facts(result),
        "log": live.masker("\n".join(result.log)),
        "sent": live.masker(result.request),
        "received": live.masker(result.reply),
    }
    return html.page("entry.html", live.settings.route_prefix, view)


def _facts(result: ProbeResult) -> list[tuple[str, str]]:
    """Everything measured, by name; what is unknown is left out."""
    stream, tokens, tls, seconds = result.stream, result.tokens, result.tls, html.seconds
    counts = "as a good event" if result.good else "as a bad event"
    facts = [
        ("started", html.clock(result.started_at)),
        ("HTTP status", str(result.status_code) if result.status_code else "no answer"),
        ("error code", result.error_code),
        ("request id", result.request_id),
        ("counts for availability", counts if result.valid else "no: not a failure of the provider"),
        ("duration", f"{seconds(result.duration)} of {seconds(result.timeout)} allowed"),
        ("connection", "reused" if result.reused else "new"),
        ("address", result.address),
        ("TLS", f"{tls.version}, {tls.cipher}" if tls else ""),
        ("certificate expires", html.clock(tls.earliest_expiry) if tls else ""),
        *((f"phase {name}", seconds(value)) for name, value in asdict(result.phases).items()),
        ("first event", seconds(stream.first_event) if stream else ""),
        ("first token", html.first_token(stream, tokens) if stream else ""),
        ("longest gap", seconds(stream.gaps_max) if stream and stream.gaps_max is not None else ""),
        ("arrivals of tokens", str(stream.arrivals) if stream and stream.arrivals else ""),
        (
            "API's own processing",
            "" if result.server_processing is None else seconds(result.server_processing),
        ),
        ("tokens", f"{tokens.input} in, {tokens.output} out" if tokens else ""),
        ("cost", "" if result.cost_usd is None else html.dollars(result.cost_usd)),
        ("served model", result.served_model),
        ("service tier", result.service_tier),
    ]
    limits = [
        (f"rate limit {each.limit_type}", f"{html.count(each.remaining)} of {html.count(each.limit)} left")
        for each in result.rate_limits
    ]
    return [(name, value) for name, value in [*facts, *limits] if value]

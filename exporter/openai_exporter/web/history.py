# SPDX-License-Identifier: Apache-2.0
"""GET /history and /history/{id}: recent results, and one with its log, request and reply."""

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.model import ProbeResult
from openai_exporter.probe.history import Entry
from openai_exporter.web import html
from openai_exporter.web.landing import Figure, meaning_of, state_of
from openai_exporter.web.limits import text
from openai_exporter.web.live import Live


async def history(request: Request) -> Response:
    """Recent results, newest first; failures are kept longer.

    `?failures=true` leaves out the rest, and `?request_id=ID` all but the result of that request, to which the
    exemplars of the latency charts lead.
    """
    live: Live = request.app.state.live
    only = request.query_params.get("failures", "").lower() in ("true", "1")
    found = [each for each in live.history.recent() if not (only and each.answer.result.success)]
    request_id = request.query_params.get("request_id", "")
    if request_id:
        found = [each for each in found if each.answer.result.request_id.startswith(request_id)]
    rows = [_row(each, live.now()) for each in found]
    view = {"rows": rows, "only_failures": only, "request_id": request_id}
    return html.page("history.html", live.settings.route_prefix, view)


async def entry(request: Request) -> Response:
    """One result with all that is known about it; 404 once it is forgotten."""
    live: Live = request.app.state.live
    number = request.path_params["id"]
    found = live.history.get(number)
    if found is None:
        return text(f"result {number} is not kept (any more); /history lists what is", 404)
    result = found.answer.result
    mask = live.masker
    view = {
        "row": _row(found, live.now()),
        "facts": facts(result),
        "log": mask("\n".join(result.log)),
        "sent": mask(result.request),
        "received": mask(result.reply),
    }
    return html.page("entry.html", live.settings.route_prefix, view)


def facts(result: ProbeResult) -> list[Figure]:
    """Everything measured, as named figures; what is unknown is left out."""
    stream, tokens, phases = result.stream, result.tokens, result.phases
    named: list[tuple[str, str | None]] = [
        ("started", html.clock(result.started_at)),
        ("HTTP status", str(result.status_code) if result.status_code else "no answer"),
        ("error code", result.error_code or None),
        ("request id", result.request_id or None),
        ("counts for availability", _counts(result)),
        ("duration", f"{html.seconds(result.duration)} of {html.seconds(result.timeout)} allowed"),
        ("connection", "reused" if result.reused else "new"),
        ("address", result.address or None),
        ("TLS", f"{result.tls.version}, {result.tls.cipher}" if result.tls else None),
        ("certificate expires", html.clock(result.tls.earliest_expiry) if result.tls else None),
        *((f"phase {name}", html.seconds(getattr(phases, name))) for name in phases.__dataclass_fields__),
        ("first event", html.seconds(stream.first_event) if stream else None),
        ("first token", html.first_token(stream, tokens) if stream else None),
        ("longest gap", _optional(stream.gaps_max) if stream else None),
        ("arrivals of tokens", str(stream.arrivals) if stream and stream.arrivals else None),
        ("API's own processing", _optional(result.server_processing)),
        ("tokens", f"{tokens.input} in, {tokens.output} out" if tokens else None),
        ("cost", html.dollars(float(result.cost_usd)) if result.cost_usd is not None else None),
        ("served model", result.served_model or None),
        ("service tier", result.service_tier or None),
    ]
    limits = [
        (f"rate limit {each.limit_type}", _limit(each.remaining, each.limit)) for each in result.rate_limits
    ]
    return [Figure(name, value) for name, value in [*named, *limits] if value is not None]


def _row(found: Entry, now: float) -> dict[str, object]:
    result = found.answer.result
    return {
        "id": found.id,
        "age": html.ago(result.started_at, now),
        "target": result.key.target,
        "module": result.key.module,
        "model": result.key.model,
        "state": state_of(found.answer),
        "outcome": result.outcome,
        "meaning": meaning_of(result.outcome),
        "message": result.message,
        "status_code": result.status_code,
        "duration": result.duration if result.called else None,
        "request_id": result.request_id,
        "simulated": result.simulated,
    }


def _counts(result: ProbeResult) -> str:
    if not result.valid:
        return "no: not a failure of the provider"
    return "as a good event" if result.good else "as a bad event"


def _optional(value: float | None) -> str | None:
    return None if value is None else html.seconds(value)


def _limit(remaining: float | None, limit: float | None) -> str:
    return f"{html.count(remaining)} of {html.count(limit)} left"

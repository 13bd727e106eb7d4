# SPDX-License-Identifier: Apache-2.0
"""Pages for people: /, /history and /history/{id}. They probe nothing; the first request loads the template engine."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter import __version__
from openai_exporter.config import Config
from openai_exporter.config.sections import Organization
from openai_exporter.files import template_environment
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult, StreamTiming, Tokens
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.probe.state import Entry
from openai_exporter.status import StatusService
from openai_exporter.usage.dataset import BudgetState, DatasetState, UsageSummary
from openai_exporter.web.limits import text
from openai_exporter.web.live import COURSE, Live, Point, Track, probe_keys
from openai_exporter.web.routes import in_turn

CAUSES = 10
"""Causes of failures shown, the newest first."""
PAGE = 50
"""Results on a page of the history."""
MOST_BUDGETS = 8
"""Budgets shown, those used most first; `each:` can make one per user."""
_NAMED = 4
"""Probes named per cause."""
OLD, OLD_INTERVALS = 900.0, 3
"""Age in seconds, and in intervals, from which on data is shown as old: nobody has scraped since."""
STEP, BAR, HEIGHT = 4, 3, 22
"""Of the small chart, in pixels: one bar per result, as high as it took long."""

RELOAD, SOON = 30, 3
"""Seconds after which the landing page is loaded again: always, and while the first figures are being read."""

View = dict[str, Any]
"""What a template shows; `state` is `good`, `bad`, `ours` (a failure that is not the provider's) or `none`."""


FIRST_READ = 2.0
"""Seconds that the landing page waits for the first figures of organizations and status pages."""


async def landing(request: Request) -> Response:
    """The landing page; it reads what is due as a scrape does, and waits only for the first figures, for a moment."""
    live: Live = request.app.state.live
    usages, statuses = live.services.usages.values(), live.services.statuses.values()
    await asyncio.gather(
        *(each.refresh(0 if each.summary().datasets else FIRST_READ) for each in usages),
        *(each.page(0 if each.tried else FIRST_READ) for each in statuses),
    )
    return await _landing(request)


@in_turn
async def _landing(request: Request) -> Response:
    live: Live = request.app.state.live
    now, services = live.now(), live.services
    config = services.config
    targets = list(_targets(live, now))
    causes = list(_causes(live, now))
    view = {
        "chart": {"STEP": STEP, "BAR": BAR, "HEIGHT": HEIGHT, "WIDTH": COURSE * STEP},
        "targets": targets,
        "simulated": _simulated(config, targets),
        "stack": live.stack,
        "health": _health([row for target in targets for row in target["rows"]]),
        "organizations": [
            _organization(service.summary(), now, config.organization(name))
            for name, service in services.usages.items()
        ],
        "statuses": [_status(services.statuses[page.name], now) for page in config.status_pages],
        "failures": causes[:CAUSES],
        "more_failures": max(0, len(causes) - CAUSES),
        "root": _root(request, live),
        "reload": SOON if any(not each.summary().datasets for each in services.usages.values()) else RELOAD,
        "started": ago(live.started_at, now),
        "source": str(live.settings.config_file or "built in"),
    }
    return render("landing.html", live, view)


def _root(request: Request, live: Live) -> str:
    """The URL under which the client reaches the exporter, without a slash at its end."""
    settings = live.settings
    if settings.external_url:
        return settings.external_url
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost:9985')}{settings.route_prefix}"


def _simulated(config: Config, targets: Sequence[View]) -> list[str]:
    """What a simulator answers: targets that said so, and organizations of the same API."""
    simulated = [each for each in targets if each["simulated"]]
    roots = {each["base_url"] for each in simulated}
    organizations = [each.name for each in config.organizations if each.base_url in roots]
    return [f"target {each['name']}" for each in simulated] + [f"organization {name}" for name in organizations]


def _health(rows: Sequence[View]) -> View:
    """The first tile: how many probes succeed of those that were scraped."""
    states = [row["state"] for row in rows]
    good, bad, ours = (states.count(word) for word in ("good", "bad", "ours"))
    old = sum(row["old"] for row in rows)
    waiting = states.count("none") - old
    counts = {
        "failing at the API": bad,
        "failing for reasons of ours": ours,
        "not scraped yet": waiting,
        "not scraped lately": old,
    }
    text = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    return {
        "good": good,
        "seen": good + bad + ours,
        "state": "bad" if bad else "ours" if ours else "good" if good else "none",
        "text": text or ("all good" if good else "nothing configured"),
    }


# Targets and their probes, from the board.


def _targets(live: Live, now: float) -> Iterator[View]:
    """Every target that is probed, in the configuration's order."""
    config = live.services.config
    keys = probe_keys(config)
    for target in config.targets:
        tracks = {key: live.board.track(key) for key in keys if key.target == target.name}
        if tracks:
            yield {
                "name": target.name,
                "provider": target.provider.value,
                "base_url": target.base_url,
                "simulated": any(each is not None and each.answer.result.simulated for each in tracks.values()),
                "rows": [_row(config, key, track, now) for key, track in tracks.items()],
            }


def _row(config: Config, key: ProbeKey, track: Track | None, now: float) -> View:
    module = config.modules[key.module]
    parameters = {"target": key.target, "module": key.module} | ({"model": key.model} if key.model else {})
    row: View = {"module": key.module, "endpoint": module.endpoint.value, "model": key.model}
    row |= {"query": urlencode(parameters), "note": "", "old": False}
    if track is None:
        unscraped = {"state": "none", "outcome": "not scraped yet", "age": UNKNOWN, "bars": ()}
        return row | unscraped | {"duration": None, "first_token": None}
    answer, result = track.answer, track.answer.result
    row |= result_view(answer, now)
    row["first_token"] = result.stream.first_token if result.stream else None
    row["bars"] = _bars(track.points)
    scraped = min(result.started_at + answer.age, now)
    row["old"] = now - scraped > max(OLD, OLD_INTERVALS * module.min_interval)
    if row["old"]:  # the state is not the present one
        row |= {"state": "none", "note": f"last scraped {ago(scraped, now)}"}
    elif answer.cost_limited:
        row["note"] = "daily cost limit reached; paused until midnight UTC"
    elif answer.backoff > 0:
        row["note"] = f"backing off for {span(answer.backoff)}"
    return row


_VARIES = re.compile(r"\b(?:[a-z]+_)?[0-9a-f]{8,}\b|\d+(?:\.\d+)?")
"""What differs between two messages of one cause: ids, ports, times."""


def _causes(live: Live, now: float) -> Iterator[View]:
    """The failures that are kept by their cause, the newest first; the view of each is that of its newest."""
    by_cause: dict[tuple[str, str, int, str], list[Entry]] = {}
    for entry in live.history.recent():
        result = entry.answer.result
        if not result.success:
            cause = (result.key.target, result.outcome, result.status_code, _VARIES.sub("#", result.message))
            by_cause.setdefault(cause, []).append(entry)
    for entries in by_cause.values():
        keys = dict.fromkeys(entry.answer.result.key for entry in entries)
        names = [f"{key.module} · {key.model}" if key.model else key.module for key in keys]
        more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
        yield {
            **result_view(entries[0].answer, now),
            "id": entries[0].id,
            "count": len(entries),
            "first": ago(entries[-1].answer.result.started_at, now),
            "probes": ", ".join(names[:_NAMED] + more),
        }


def result_view(answer: ProbeAnswer, now: float) -> View:
    """One result, for every table that lists some."""
    result = answer.result
    kind = OUTCOMES.get(result.outcome)
    return {
        "age": ago(result.started_at, now),
        "target": result.key.target,
        "module": result.key.module,
        "model": result.key.model,
        "state": "good" if result.success else "bad" if result.valid else "ours",
        "outcome": result.outcome,
        "meaning": kind.meaning if kind else "",
        "message": result.message,
        "status_code": result.status_code,
        "duration": result.duration if result.called else None,
        "request_id": result.request_id,
        "simulated": result.simulated,
    }


def _bars(points: Sequence[Point]) -> list[View]:
    """Bars, newest at the right edge; a failure takes the full height, so that shape tells it too."""
    longest = max((each.duration for each in points if each.success), default=0.0) or 1.0
    bars = []
    for place, point in enumerate(points, COURSE - len(points)):
        share = min(1.0, point.duration / longest) if point.success else 1.0
        height = round(max(2.0, share * HEIGHT), 1)
        word = "succeeded" if point.success else "failed"
        title = f"{clock(point.at)}: {word} after {seconds(point.duration)}"
        y = round(HEIGHT - height, 1)
        bars.append({"x": place * STEP, "y": y, "height": height, "success": point.success, "title": title})
    return bars


# Organizations and status pages, from their last reads.


def _organization(summary: UsageSummary, now: float, organization: Organization | None) -> View:
    """The view of an organization; its intervals say what is old."""
    budgets = sorted(summary.budgets, key=lambda each: -(each.ratio if each.ratio is not None else -1))
    return {
        "name": summary.organization,
        "month": summary.month_to_date_usd,
        "today": summary.today_usd,
        "figures": [
            ("billed this month", dollars(summary.month_to_date_usd)),
            ("billed today", dollars(summary.today_usd)),
            ("billed yesterday", dollars(summary.yesterday_usd)),
            ("billed last month", dollars(summary.previous_month_usd)),
            *([("credit left (computed)", dollars(summary.credit_usd))] if summary.credit_usd is not None else []),
            ("list price of usage", dollars(summary.estimated_usd)),
            ("requests this month", count(summary.requests)),
            ("input tokens", count(summary.input_tokens)),
            ("output tokens", count(summary.output_tokens)),
        ],
        "datasets": [_dataset(each, now, _interval(each.name, organization)) for each in summary.datasets],
        "budgets": [_budget(each) for each in budgets[:MOST_BUDGETS]],
        "more_budgets": max(0, len(budgets) - MOST_BUDGETS),
    }


def _interval(dataset: str, organization: Organization | None) -> float:
    """Seconds between two reads of a dataset while it is scraped; 0 when that is not known."""
    if organization is None:
        return 0.0
    if dataset == "costs" and organization.costs is not None:
        return organization.costs.refresh_interval
    return organization.names_interval if dataset in ("names", "limits") else organization.refresh_interval


def _dataset(dataset: DatasetState, now: float, interval: float) -> View:
    last = dataset.last_success
    if dataset.up is None:
        state, word = "none", "not read yet"
    elif not dataset.up:
        state, word = "bad", "failing" if last is None else "failing; showing the last successful values"
    elif last is not None and now - last > OLD + OLD_INTERVALS * interval:
        state, word = "none", "old; nothing has scraped it since"
    else:
        state, word = "good", "up to date"
    age = ago(last, now)
    return {"name": dataset.name, "state": state, "word": word, "error": dataset.error, "age": age}


def _budget(budget: BudgetState) -> View:
    """A budget with its state and its bar's width in percent, never above 100."""
    ratio = budget.ratio or 0.0
    state = "bad" if ratio >= 1 else "ours" if ratio >= budget.warn_ratio else "good"
    width = round(min(1.0, max(0.0, ratio)) * 100, 1)
    return {"budget": budget, "state": "none" if budget.ratio is None else state, "width": width}


def _status(page: StatusService, now: float) -> View:
    """The view of a status page; `troubled` are its components that are not operational."""
    troubled = [each for each in page.components if each.state != "operational"]
    incidents = len(page.incidents)
    if page.read_at is None or not page.components:
        state, headline, age = "none", "unknown", "no component read yet"
    else:
        old = now - page.read_at > OLD + OLD_INTERVALS * page.config.refresh_interval
        state = "none" if old else "bad" if troubled or incidents else "good"
        headline = f"{len(troubled)} not operational" if troubled else "operational"
        if incidents:
            headline = f"{incidents} incident{'s' if incidents > 1 else ''}"
        age = f"read {ago(page.read_at, now)}{', not scraped since' if old else ''}"
    return {
        "name": page.config.name,
        "url": page.config.url,
        "read": page.read_at is not None,
        "age": age,
        "error": page.error if page.tried or page.read_at is not None else "",
        "total": len(page.components),
        "troubled": troubled,
        "incidents": page.incidents,
        "state": state,
        "headline": headline,
    }


# GET /history and /history/{id}: recent results, and one with its log, request and reply.


@in_turn
async def history(request: Request) -> Response:
    """Recent results, newest first, in pages; failures are kept longer.

    `?failures=true` leaves out the rest, and `?request_id=ID` all but the result of that request, to which the
    exemplars of the latency charts lead.
    """
    live: Live = request.app.state.live
    only = request.query_params.get("failures", "").lower() in ("true", "1")
    request_id = request.query_params.get("request_id", "")
    entries = [
        entry
        for entry in live.history.recent()
        if not (only and entry.answer.result.success) and entry.answer.result.request_id.startswith(request_id)
    ]
    number, pages = request.query_params.get("page", "1"), max(1, -(-len(entries) // PAGE))
    page = min(max(1, int(number)), pages) if re.fullmatch("[0-9]{1,6}", number) else 1
    shown = entries[(page - 1) * PAGE : page * PAGE]
    choice = ({"failures": "true"} if only else {}) | ({"request_id": request_id} if request_id else {})
    view = {
        "rows": [{"id": entry.id, **result_view(entry.answer, live.now())} for entry in shown],
        "total": len(entries),
        "first": (page - 1) * PAGE + bool(shown),
        "last": (page - 1) * PAGE + len(shown),
        "newer": urlencode({**choice, "page": page - 1}) if page > 1 else "",
        "older": urlencode({**choice, "page": page + 1}) if page < pages else "",
        "only_failures": only,
        "request_id": request_id,
    }
    return render("history.html", live, view)


@in_turn
async def entry(request: Request) -> Response:
    """One result with all that is known about it; 404 once it is forgotten."""
    live: Live = request.app.state.live
    number = request.path_params["id"]
    recorded = live.history.get(int(number)) if re.fullmatch("[0-9]{1,18}", number) else None
    if recorded is None:
        return text(f"result {number[:20]!a} is not kept (any more); /history lists what is", 404)
    result = recorded.answer.result
    view = {
        "row": {"id": number, **result_view(recorded.answer, live.now())},
        "facts": _facts(result),
        "log": live.masker("\n".join(result.log)),
        "sent": live.masker(result.request),
        "received": live.masker(result.reply),
    }
    return render("entry.html", live, view)


def _facts(result: ProbeResult) -> list[tuple[str, str]]:
    """Everything measured, by name; what is unknown is left out."""
    stream, tokens, tls = result.stream, result.tokens, result.tls
    counts = "as a good event" if result.good else "as a bad event"
    facts = [
        ("started", clock(result.started_at)),
        ("HTTP status", str(result.status_code) if result.status_code else "no answer"),
        ("error code", result.error_code),
        ("request id", result.request_id),
        ("counts for availability", counts if result.valid else "no: not a failure of the provider"),
        ("duration", f"{seconds(result.duration)} of {seconds(result.timeout)} allowed"),
        ("connection", "reused" if result.reused else "new"),
        ("address", result.address),
        ("TLS", f"{tls.version}, {tls.cipher}" if tls else ""),
        ("certificate expires", clock(tls.earliest_expiry) if tls else ""),
        *((f"phase {name}", seconds(value)) for name, value in asdict(result.phases).items()),
        ("first event", seconds(stream.first_event) if stream else ""),
        ("first token", first_token(stream, tokens) if stream else ""),
        ("longest gap", seconds(stream.gaps_max) if stream and stream.gaps_max is not None else ""),
        ("arrivals of tokens", str(stream.arrivals) if stream and stream.arrivals else ""),
        ("API's own processing", "" if result.server_processing is None else seconds(result.server_processing)),
        ("tokens", f"{tokens.input} in, {tokens.output} out" if tokens else ""),
        ("cost", "" if result.cost_usd is None else dollars(result.cost_usd)),
        ("served model", result.served_model),
        ("service tier", result.service_tier),
    ]
    limits = [
        (f"rate limit {each.limit_type}", f"{count(each.remaining)} of {count(each.limit)} left")
        for each in result.rate_limits
    ]
    return [(name, value) for name, value in [*facts, *limits] if value]


# Figures as people read them; each takes None as unknown and says so.

UNKNOWN = "\N{EN DASH}"


def seconds(value: float | None) -> str:
    """`0.3 ms`, `412 ms`, `1.24 s`, `2 min 5 s`."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    return span(value)


def first_token(stream: StreamTiming, tokens: Tokens | None) -> str:
    """The time to the first visible token, or why there is none."""
    if stream.first_token is None and tokens is not None and tokens.output == tokens.reasoning > 0:
        return f"none: all {tokens.output} output tokens went into reasoning"
    return seconds(stream.first_token)


def span(value: float | None) -> str:
    """A duration in its two largest units: `45 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`."""
    if value is None:
        return UNKNOWN
    rest = max(0, round(value))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (size == 1 and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(timestamp: float | None, now: float) -> str:
    """`12 s ago`, `just now`, or that it never happened."""
    if timestamp is None:
        return "never"
    age = now - timestamp
    return "just now" if age < 1 else f"{span(age)} ago"


def clock(timestamp: float | None) -> str:
    """`2026-11-21 09:30:05 UTC`."""
    if timestamp is None:
        return UNKNOWN
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def dollars(amount: Decimal | float | None) -> str:
    """`$1,234.56`; small amounts keep the digits that matter."""
    if amount is None:
        return UNKNOWN
    value = float(amount)
    size = abs(value)
    digits = 2 if size >= 1 or size == 0 else 4 if size >= 0.001 else 6
    return f"{'-' if value < 0 else ''}${size:,.{digits}f}"


def count(value: float | None) -> str:
    """`843`, `12.3 k`, `4.56 M`, `1.20 G`."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g} {unit}" if scaled < 999.5 else f"{scaled:,.0f} {unit}"
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A ratio as `79.7 %`; a tenth more or less decides what is over a limit."""
    return UNKNOWN if value is None else f"{value * 100:.1f} %"


# The template engine and the headers of HTML answers; loaded when the first person looks.

_HEADERS = {
    # Nothing is loaded from anywhere, and no script runs, whatever an upstream error message holds.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "sameorigin",
    "referrer-policy": "no-referrer",
}


@cache
def _templates() -> Any:
    made = template_environment("openai_exporter.web")
    made.globals.update(version=__version__)
    made.filters.update(seconds=seconds, span=span, clock=clock, dollars=dollars, count=count, percent=percent)
    return made


def framed(request: Request, title: str, subject: str, body: str) -> Response:
    """A text, in which secrets are masked, in the frame of the other pages."""
    live: Live = request.app.state.live
    return render("text.html", live, {"title": title, "subject": subject, "body": body})


def render(name: str, live: Live, view: Mapping[str, object]) -> Response:
    """The template `name` filled with `view`; `mask` in it is for what an API said that nothing has masked yet."""
    view = {"prefix": live.settings.route_prefix, "mask": live.masker, **view}
    body = _templates().get_template(name).render(view)
    return Response(body, 200, _HEADERS, "text/html")

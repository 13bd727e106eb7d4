# SPDX-License-Identifier: Apache-2.0
"""GET /: what is probed and read, its current state, recent failures. Calls no API."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.config import Config
from openai_exporter.config.sections import Organization
from openai_exporter.model import ProbeAnswer, ProbeKey
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.status import StatusService
from openai_exporter.usage.dataset import BudgetState, DatasetState, UsageSummary
from openai_exporter.web import html
from openai_exporter.web.live import COURSE, Live, Point, Track, probe_keys

RECENT_FAILURES = 10
MOST_BUDGETS = 8
"""Budgets shown, those used most first; `each:` can make one per user."""
OLD, OLD_INTERVALS = 900.0, 3
"""Age in seconds, and in intervals, from which on data is shown as old: nobody has scraped since."""
STEP, BAR, HEIGHT = 4, 3, 22
"""Of the small chart, in pixels: one bar per result, as high as it took long."""

View = dict[str, Any]
"""What a template shows; `state` is `good`, `bad`, `ours` (a failure that is not the provider's) or `none`."""


async def landing(request: Request) -> Response:
    """The landing page."""
    live: Live = request.app.state.live
    now, services = live.now(), live.services
    config = services.config
    targets = list(_targets(live, now))
    failed = [each for each in live.history.recent() if not each.answer.result.success]
    view = {
        "chart": {"STEP": STEP, "BAR": BAR, "HEIGHT": HEIGHT, "WIDTH": COURSE * STEP},
        "targets": targets,
        "simulated": _simulated(config, targets),
        "health": _health([row for target in targets for row in target["rows"]]),
        "organizations": [
            _organization(service.summary(), now, config.organization(name))
            for name, service in services.usages.items()
        ],
        "statuses": [_status(services.statuses[page.name], now) for page in config.status_pages],
        "failures": [{"id": each.id, **result_view(each.answer, now)} for each in failed[:RECENT_FAILURES]],
        "root": _root(request, live),
        "started": html.ago(live.started_at, now),
        "source": str(live.settings.config_file or "built in"),
    }
    return html.page("landing.html", live.settings.route_prefix, view)


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
        unscraped = {"state": "none", "outcome": "not scraped yet", "age": html.UNKNOWN, "bars": ()}
        return row | unscraped | {"duration": None, "first_token": None}
    answer, result = track.answer, track.answer.result
    row |= result_view(answer, now)
    row["first_token"] = result.stream.first_token if result.stream else None
    row["bars"] = _bars(track.points)
    scraped = min(result.started_at + answer.age, now)
    row["old"] = now - scraped > max(OLD, OLD_INTERVALS * module.min_interval)
    if row["old"]:  # the state is not the present one
        row |= {"state": "none", "note": f"last scraped {html.ago(scraped, now)}"}
    elif answer.cost_limited:
        row["note"] = "daily cost limit reached; paused until midnight UTC"
    elif answer.backoff > 0:
        row["note"] = f"backing off for {html.span(answer.backoff)}"
    return row


def result_view(answer: ProbeAnswer, now: float) -> View:
    """One result, for every table that lists some."""
    result = answer.result
    kind = OUTCOMES.get(result.outcome)
    return {
        "age": html.ago(result.started_at, now),
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
        title = f"{html.clock(point.at)}: {word} after {html.seconds(point.duration)}"
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
            ("billed this month", html.dollars(summary.month_to_date_usd)),
            ("billed today", html.dollars(summary.today_usd)),
            ("billed yesterday", html.dollars(summary.yesterday_usd)),
            ("billed last month", html.dollars(summary.previous_month_usd)),
            ("list price of usage", html.dollars(summary.estimated_usd)),
            ("requests this month", html.count(summary.requests)),
            ("input tokens", html.count(summary.input_tokens)),
            ("output tokens", html.count(summary.output_tokens)),
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
        state, word = "bad", "failing" if last is None else "failing; last good figures shown"
    elif last is not None and now - last > OLD + OLD_INTERVALS * interval:
        state, word = "none", "old; nothing has scraped it since"
    else:
        state, word = "good", "up to date"
    age = html.ago(last, now)
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
    if page.read_at is None:
        state, headline, age = "none", "unknown", "not read yet"
    else:
        old = now - page.read_at > OLD + OLD_INTERVALS * page.config.refresh_interval
        state = "none" if old else "bad" if troubled or incidents else "good"
        headline = f"{len(troubled)} not operational" if troubled else "operational"
        if incidents:
            headline = f"{incidents} incident{'s' if incidents > 1 else ''}"
        age = f"read {html.ago(page.read_at, now)}{', not scraped since' if old else ''}"
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

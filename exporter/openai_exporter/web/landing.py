# SPDX-License-Identifier: Apache-2.0
"""GET /: what is probed and read, its current state, recent failures. Calls no API."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.model import ProbeAnswer, ProbeKey
from openai_exporter.probe.history import Entry
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.status import Component, Incident, StatusSummary
from openai_exporter.usage.dataset import BudgetState, DatasetState, UsageSummary
from openai_exporter.web import html
from openai_exporter.web.live import COURSE, Board, Live, Point, Track, probe_keys

# A probe's recent course as numbers for an inline SVG: one bar per result, as high as it took long.

STEP, BAR, HEIGHT = 4, 3, 22
WIDTH = COURSE * STEP
SIZES = {"STEP": STEP, "BAR": BAR, "HEIGHT": HEIGHT, "WIDTH": WIDTH}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in pixels from the top left; `title` says what it stands for."""

    x: int
    y: float
    height: float
    success: bool
    title: str


def bars(points: Sequence[Point]) -> tuple[Bar, ...]:
    """Bars, newest at the right edge; a failure takes the full height, so that shape tells it too."""
    longest = max((each.duration for each in points if each.success), default=0.0) or 1.0
    first = COURSE - len(points)
    return tuple(_bar(first + index, each, longest) for index, each in enumerate(points))


def _bar(place: int, point: Point, longest: float) -> Bar:
    share = min(1.0, point.duration / longest) if point.success else 1.0
    height = round(max(2.0, share * HEIGHT), 1)
    word = "succeeded" if point.success else "failed"
    title = f"{html.clock(point.at)}: {word} after {html.seconds(point.duration)}"
    return Bar(place * STEP, round(HEIGHT - height, 1), height, point.success, title)


# What the landing page says of probes; pure, from the board and the history.

RECENT_FAILURES = 10
OLD, OLD_INTERVALS = 900.0, 3
"""Age in seconds, and in intervals, from which on figures are shown as old: nobody has scraped since."""


@dataclass(frozen=True, slots=True)
class Row:
    """One probe.

    Attributes:
        state: `good`, `bad`, `ours` (a failure that is not the provider's) or `none` before its first answer.
        note: why the answer came from the cache, empty for a fresh one.
        old: whether the last scrape was too long ago for the state to be the present one, which is then `none`.
    """

    module: str
    endpoint: str
    model: str
    query: str
    state: str
    outcome: str = "not scraped yet"
    meaning: str = ""
    latency: float | None = None
    first_token: float | None = None
    age: str = html.UNKNOWN
    note: str = ""
    bars: tuple[Bar, ...] = ()
    old: bool = False


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target and its probes."""

    name: str
    provider: str
    base_url: str
    simulated: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the recent failures."""

    id: int
    age: str
    target: str
    module: str
    model: str
    state: str
    outcome: str
    status_code: int
    message: str
    request_id: str
    simulated: bool


def targets(config: Config, board: Board, now: float) -> tuple[TargetView, ...]:
    """Every target that is probed, in the configuration's order."""
    keys = probe_keys(config)
    return tuple(
        TargetView(
            each.name,
            each.provider.value,
            each.base_url,
            any(_simulated(board.track(key)) for key in keys if key.target == each.name),
            tuple(_row(config, key, board.track(key), now) for key in keys if key.target == each.name),
        )
        for each in config.targets
        if any(key.target == each.name for key in keys)
    )


def failures(recent: Sequence[Entry], now: float) -> Iterator[Failure]:
    """The newest failures, newest first."""
    failed = [each for each in recent if not each.answer.result.success]
    for entry in failed[:RECENT_FAILURES]:
        result = entry.answer.result
        yield Failure(
            entry.id,
            html.ago(result.started_at, now),
            result.key.target,
            result.key.module,
            result.key.model,
            state_of(entry.answer),
            result.outcome,
            result.status_code,
            result.message,
            result.request_id,
            result.simulated,
        )


def state_of(answer: ProbeAnswer) -> str:
    """`good`, `bad` when the provider failed, `ours` when we did."""
    if answer.result.success:
        return "good"
    return "bad" if answer.result.valid else "ours"


def meaning_of(outcome: str) -> str:
    """The taxonomy's sentence for an outcome."""
    fact = OUTCOMES.get(outcome)
    return fact.meaning if fact else ""


def _simulated(track: Track | None) -> bool:
    return track is not None and track.answer.result.simulated


def _row(config: Config, key: ProbeKey, track: Track | None, now: float) -> Row:
    named = {"target": key.target, "module": key.module} | ({"model": key.model} if key.model else {})
    query = urlencode(named)
    endpoint = config.modules[key.module].endpoint.value
    if track is None:
        return Row(key.module, endpoint, key.model, query, "none")
    result = track.answer.result
    scraped = min(result.started_at + track.answer.age, now)
    old = now - scraped > max(OLD, OLD_INTERVALS * config.modules[key.module].min_interval)
    return Row(
        key.module,
        endpoint,
        key.model,
        query,
        "none" if old else state_of(track.answer),
        result.outcome,
        result.message or meaning_of(result.outcome),
        result.duration if result.called else None,
        result.stream.first_token if result.stream else None,
        html.ago(result.started_at, now),
        f"last scraped {html.ago(scraped, now)}" if old else _note(track.answer),
        bars(track.points),
        old,
    )


def _note(answer: ProbeAnswer) -> str:
    if answer.cost_limited:
        return "daily cost limit reached; paused until midnight UTC"
    if answer.backoff > 0:
        return f"backing off for {html.span(answer.backoff)}"
    return ""


# What the landing page says of an organization.

MOST_BUDGETS = 8
"""Budgets shown, those used most first; `each:` can make one per user."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A named figure, ready to show."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DatasetView:
    """How one dataset is read."""

    name: str
    state: str
    word: str
    error: str
    age: str


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One budget; `width` is the bar's, in percent and never above 100."""

    name: str
    period: str
    scope: str
    state: str
    ratio: float | None
    warn: float
    width: float
    spent: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """One organization."""

    name: str
    month: float | None
    today: float | None
    figures: tuple[Figure, ...]
    datasets: tuple[DatasetView, ...]
    budgets: tuple[BudgetView, ...]
    more_budgets: int


def organization_view(
    summary: UsageSummary, now: float, organization: Organization | None = None
) -> OrganizationView:
    """The view of an organization as of its last reads; its intervals say what is old."""
    budgets = sorted(summary.budgets, key=lambda each: -(each.ratio if each.ratio is not None else -1))
    return OrganizationView(
        summary.organization,
        _float(summary.month_to_date_usd),
        _float(summary.today_usd),
        _figures(summary),
        tuple(_dataset(each, now, _interval(each.name, organization)) for each in summary.datasets),
        tuple(_budget(each) for each in budgets[:MOST_BUDGETS]),
        max(0, len(budgets) - MOST_BUDGETS),
    )


def _figures(summary: UsageSummary) -> tuple[Figure, ...]:
    return (
        Figure("billed this month", html.dollars(_float(summary.month_to_date_usd))),
        Figure("billed today", html.dollars(_float(summary.today_usd))),
        Figure("billed yesterday", html.dollars(_float(summary.yesterday_usd))),
        Figure("billed last month", html.dollars(_float(summary.previous_month_usd))),
        Figure("list price of usage", html.dollars(_float(summary.estimated_usd))),
        Figure("requests this month", html.count(summary.requests)),
        Figure("input tokens", html.count(summary.input_tokens)),
        Figure("output tokens", html.count(summary.output_tokens)),
    )


def _interval(dataset: str, organization: Organization | None) -> float:
    """Seconds between two reads of a dataset while it is scraped; 0 when that is not known."""
    if organization is None:
        return 0.0
    if dataset == "costs" and organization.costs is not None:
        return organization.costs.refresh_interval
    return organization.names_interval if dataset in ("names", "limits") else organization.refresh_interval


def _dataset(each: DatasetState, now: float, interval: float) -> DatasetView:
    state, word = {None: ("none", "not read yet"), True: ("good", "up to date"), False: ("bad", "failing")}[
        each.up
    ]
    if each.up is False and each.last_success is not None:
        word = "failing; last good figures shown"
    elif (
        each.up and each.last_success is not None and now - each.last_success > OLD + OLD_INTERVALS * interval
    ):
        state, word = "none", "old; nothing has scraped it since"
    return DatasetView(each.name, state, word, each.error, html.ago(each.last_success, now))


def _budget(each: BudgetState) -> BudgetView:
    ratio = each.ratio
    state = (
        "none" if ratio is None else "bad" if ratio >= 1 else "ours" if ratio >= each.warn_ratio else "good"
    )
    return BudgetView(
        each.name,
        each.period,
        each.whose,
        state,
        ratio,
        each.warn_ratio,
        round(min(1.0, max(0.0, ratio or 0.0)) * 100, 1),
        _float(each.spent_usd),
        float(each.limit_usd),
    )


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))


# What the landing page says of a status page.


@dataclass(frozen=True, slots=True)
class StatusView:
    """One status page.

    Attributes:
        troubled: components that are not operational.
        state: `good`, `bad` or `none`, for the colour of `headline`.
    """

    name: str
    url: str
    read: bool
    age: str
    error: str
    total: int
    troubled: tuple[Component, ...]
    incidents: tuple[Incident, ...]
    state: str
    headline: str


def status_view(summary: StatusSummary, now: float, interval: float = 0.0) -> StatusView:
    """The view of a page as it was last read; `interval` in seconds says what is old."""
    troubled = tuple(each for each in summary.components if each.state != "operational")
    read = summary.read_at is not None
    old = read and now - (summary.read_at or now) > OLD + OLD_INTERVALS * interval
    state = "none" if not read or old else "bad" if troubled or summary.incidents else "good"
    return StatusView(
        summary.name,
        summary.url,
        read,
        f"read {html.ago(summary.read_at, now)}{', not scraped since' if old else ''}"
        if read
        else "not read yet",
        summary.error if read or summary.tried else "",
        len(summary.components),
        troubled,
        summary.incidents,
        state,
        _headline(read, len(troubled), len(summary.incidents)),
    )


def _headline(read: bool, troubled: int, incidents: int) -> str:
    if not read:
        return "unknown"
    if incidents:
        return f"{incidents} incident{'s' if incidents > 1 else ''}"
    return f"{troubled} not operational" if troubled else "operational"


# GET /: what is probed and read, how it is now, what failed lately. Calls no API.


@dataclass(frozen=True, slots=True)
class Health:
    """The first tile: how many probes succeed of those that were scraped."""

    good: int
    seen: int
    state: str
    text: str


async def landing(request: Request) -> Response:
    """The landing page."""
    live: Live = request.app.state.live
    now = live.now()
    services = live.services
    probed = targets(services.config, live.board, now)
    view = {
        "chart": SIZES,
        "targets": probed,
        "simulated": simulated(services.config, probed),
        "health": health(probed),
        "organizations": [
            organization_view(service.summary(), now, services.config.organization(name))
            for name, service in services.usages.items()
        ],
        "statuses": [
            status_view(services.statuses[page.name].summary(), now, page.refresh_interval)
            for page in services.config.status_pages
        ],
        "failures": list(failures(live.history.recent(), now)),
        "root": root_of(request, live),
        "started": html.ago(live.started_at, now),
        "source": str(live.settings.config_file or "built in"),
    }
    return html.page("landing.html", live.settings.route_prefix, view)


def simulated(config: Config, targets: Sequence[TargetView]) -> list[str]:
    """What a simulator answers: targets that said so, and organizations of the same API."""
    said = [each for each in targets if each.simulated]
    roots = {each.base_url for each in said}
    organizations = [each.name for each in config.organizations if each.base_url in roots]
    return [f"target {each.name}" for each in said] + [f"organization {name}" for name in organizations]


def health(targets: Sequence[TargetView]) -> Health:
    """The share of probes that succeed, in a figure and a sentence."""
    rows = [row for target in targets for row in target.rows]
    states = [row.state for row in rows]
    good, bad, ours = (states.count(word) for word in ("good", "bad", "ours"))
    old = sum(row.old for row in rows)
    waiting = states.count("none") - old
    parts = [f"{bad} failing at the API"] if bad else []
    parts += [f"{ours} failing for reasons of ours"] if ours else []
    parts += [f"{waiting} not scraped yet"] if waiting else []
    parts += [f"{old} not scraped lately"] if old else []
    state = "bad" if bad else "ours" if ours else "good" if good else "none"
    return Health(
        good, good + bad + ours, state, ", ".join(parts) or ("all good" if good else "nothing configured")
    )


def root_of(request: Request, live: Live) -> str:
    """The URL under which the client reaches the exporter, without a slash at its end."""
    settings = live.settings
    if settings.external_url:
        return settings.external_url
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost:9985')}{settings.route_prefix}"

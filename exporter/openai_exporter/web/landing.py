# SPDX-License-Identifier: Apache-2.0
"""GET /: what is probed and read, how it is now, what failed lately. Calls no API."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.config import Config
from openai_exporter.web.chart import SIZES
from openai_exporter.web import probeview, templating, words
from openai_exporter.web.live import Live
from openai_exporter.web.probeview import TargetView
from openai_exporter.web.statusview import status_view
from openai_exporter.web.usageview import organization_view


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
    probed = probeview.targets(services.config, live.board, now)
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
        "failures": list(probeview.failures(live.history.recent(), now)),
        "root": root_of(request, live),
        "started": words.ago(live.started_at, now),
        "source": str(live.settings.config_file or "built in"),
    }
    return templating.page("landing.html", live.settings.route_prefix, view)


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

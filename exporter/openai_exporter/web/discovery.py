# SPDX-License-Identifier: Apache-2.0
"""GET /sd: everything of the configuration as Prometheus HTTP service discovery."""

import math
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openai_exporter.config import Config
from openai_exporter.config.base import format_duration, parse_duration
from openai_exporter.web.limits import text
from openai_exporter.web.live import Live, Settings, format_address

DEFAULT_SCRAPE_TIMEOUT = 10.0
"""Prometheus' own default."""
DEFAULT_SCRAPE_INTERVAL = 60.0
"""Prometheus' own default."""

Labels = dict[str, str]

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.%]{2,60}\])(?::\d{1,5})?")


def document(
    config: Config, offset: float, address: str, scheme: str, prefix: str, interval: float
) -> list[dict[str, object]]:
    """The JSON that Prometheus reads: one group per target, since each has its own labels.

    Args:
        offset: seconds that a probe ends before the scrape's timeout.
        address, scheme, prefix: where Prometheus reaches this exporter.
        interval: seconds between scrapes, for targets that need an interval of their own.
    """
    common = {"__scheme__": scheme} if scheme != "http" else {}
    return [
        {
            "targets": [address],
            "labels": {
                "__metrics_path__": f"{prefix}{path}",
                **common,
                **{f"__param_{name}": value for name, value in parameters.items()},
                **(_timeout(needed, interval) if needed > DEFAULT_SCRAPE_TIMEOUT else {}),
                **labels,
            },
        }
        for path, parameters, labels, needed in _targets(config, offset)
    ]


def _targets(config: Config, offset: float) -> Iterator[tuple[str, Labels, Labels, float]]:
    """Path, URL parameters, labels and needed seconds of every scrape target."""
    for probe in config.probes:
        module, target = config.modules[probe.module], config.target(probe.target)
        for model in probe.models or ("",):
            named = {"target": probe.target, "module": probe.module} | ({"model": model} if model else {})
            provider = target.provider.value if target else ""
            labels = {**probe.labels, **named, "endpoint": module.endpoint.value, "provider": provider}
            yield "/probe", named, labels, module.timeout + offset
    for organization in config.organizations:
        named = {"organization": organization.name}
        yield "/usage", named, named, 0.0
    for page in config.status_pages:
        yield "/status", {"page": page.name}, {"status_page": page.name}, 0.0
    yield "/metrics", {}, {}, 0.0


def _timeout(needed: float, interval: float) -> Labels:
    """Of a module that needs more than Prometheus' default timeout.

    Prometheus drops a target whose timeout exceeds its interval, and the job's interval is not known here; so such a
    target gets its interval too: `interval`, or the timeout where that is longer.
    """
    timeout = math.ceil(needed)
    longest = max(interval, timeout)
    return {"__scrape_timeout__": format_duration(timeout), "__scrape_interval__": format_duration(longest)}


async def discover(request: Request) -> Response:
    """200 with the targets; `?scrape_interval=5m` sets the interval of those that need their own."""
    live: Live = request.app.state.live
    try:
        scheme, address, prefix = _reached_at(request, live.settings)
        interval = _interval(request.query_params.get("scrape_interval"))
    except ValueError as error:
        return text(str(error), 400)
    offset = live.settings.timeout_offset
    return JSONResponse(document(live.services.config, offset, address, scheme, prefix, interval))


def _reached_at(request: Request, settings: Settings) -> tuple[str, str, str]:
    if settings.external_url:
        parts = urlsplit(settings.external_url)
        return parts.scheme, parts.netloc, parts.path.rstrip("/")
    host = request.headers.get("host") or format_address(*request.scope["server"])
    if not _HOST.fullmatch(host):
        raise ValueError("header Host is not an address; give --web.external-url to the exporter")
    return request.url.scheme, host, settings.route_prefix


def _interval(requested: str | None) -> float:
    if requested is None:
        return DEFAULT_SCRAPE_INTERVAL
    try:
        seconds = parse_duration(requested)
    except ValueError as error:
        raise ValueError(f"parameter scrape_interval: {error}") from None
    if seconds <= 0:
        raise ValueError("parameter scrape_interval: must be longer than zero")
    return seconds

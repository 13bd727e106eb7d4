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
from openai_exporter.config.probing import Probe
from openai_exporter.model import TargetGroup
from openai_exporter.web.limits import text
from openai_exporter.web.live import Live, Settings

DEFAULT_SCRAPE_TIMEOUT = 10.0
"""Prometheus' own default."""
DEFAULT_SCRAPE_INTERVAL = 60.0
"""Prometheus' own default."""

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.%]{2,60}\])(?::\d{1,5})?")


def groups(config: Config, offset: float) -> Iterator[TargetGroup]:
    """Every scrape target of a configuration.

    Args:
        offset: seconds that a probe ends before the scrape's timeout.
    """
    for probe in config.probes:
        for model in probe.models or ("",):
            yield _probe(config, probe, model, offset)
    for organization in config.organizations:
        named = {"organization": organization.name}
        yield TargetGroup("/usage", named, named)
    for page in config.status_pages:
        yield TargetGroup("/status", {"page": page.name}, {"status_page": page.name})
    yield TargetGroup("/metrics")


def _probe(config: Config, probe: Probe, model: str, offset: float) -> TargetGroup:
    module = config.modules[probe.module]
    target = config.target(probe.target)
    params = {"target": probe.target, "module": probe.module} | ({"model": model} if model else {})
    labels = {
        **probe.labels,
        **params,
        "endpoint": module.endpoint.value,
        "provider": target.provider.value if target else "",
    }
    needed = module.timeout + offset
    return TargetGroup("/probe", params, labels, needed if needed > DEFAULT_SCRAPE_TIMEOUT else None)


def document(
    found: Iterator[TargetGroup], address: str, scheme: str, prefix: str, interval: float
) -> list[dict[str, object]]:
    """The JSON that Prometheus reads: one group per target, since each has its own labels.

    A module that needs more than Prometheus' default timeout gets its own `__scrape_timeout__`. Prometheus
    drops a target whose timeout exceeds its interval, and the job's interval is not known here; so such a
    target gets its interval too: `interval`, or the timeout where that is longer.
    """
    result: list[dict[str, object]] = []
    for group in found:
        labels = {"__metrics_path__": f"{prefix}{group.path}"}
        if scheme != "http":
            labels["__scheme__"] = scheme
        labels |= {f"__param_{name}": value for name, value in group.params.items()}
        if group.timeout is not None:
            timeout = math.ceil(group.timeout)
            labels["__scrape_timeout__"] = format_duration(timeout)
            labels["__scrape_interval__"] = format_duration(max(interval, timeout))
        result.append({"targets": [address], "labels": labels | dict(group.labels)})
    return result


async def discover(request: Request) -> Response:
    """200 with the targets; `?scrape_interval=5m` sets the interval of those that need their own."""
    live: Live = request.app.state.live
    try:
        scheme, address, prefix = _reached_at(request, live.settings)
        interval = _interval(request.query_params.get("scrape_interval"))
    except ValueError as error:
        return text(str(error), 400)
    found = groups(live.services.config, live.settings.timeout_offset)
    return JSONResponse(document(found, address, scheme, prefix, interval))


def _reached_at(request: Request, settings: Settings) -> tuple[str, str, str]:
    if settings.external_url:
        parts = urlsplit(settings.external_url)
        return parts.scheme, parts.netloc, parts.path.rstrip("/")
    host = request.headers.get("host") or _own_address(request)
    if not _HOST.fullmatch(host):
        raise ValueError("header Host is not an address; give --web.external-url to the exporter")
    return request.url.scheme, host, settings.route_prefix


def _own_address(request: Request) -> str:
    host, port = request.scope["server"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _interval(given: str | None) -> float:
    if given is None:
        return DEFAULT_SCRAPE_INTERVAL
    try:
        seconds = parse_duration(given)
    except ValueError as error:
        raise ValueError(f"parameter scrape_interval: {error}") from None
    if seconds <= 0:
        raise ValueError("parameter scrape_interval: must be longer than zero")
    return seconds

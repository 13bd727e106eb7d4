# SPDX-License-Identifier: Apache-2.0
"""The status page, the exporter itself, and what Prometheus adds to each scrape."""

from collections.abc import Iterator, Mapping

from openai_exporter.metrics import own, usage
from openai_exporter.status import IMPACTS, STATES
from tests.dashboards.data.organization import TARGET
from tests.dashboards.data.probes import OWN, PROBES
from tests.dashboards.data.series import Series, series
from tests.dashboards.data.timeline import DAY, Timeline

_COMPONENTS = ("Chat Completions", "Responses", "Embeddings", "Moderations", "Files", "Batch", "Images", "ChatGPT")
_PAGE = {**OWN, "status_page": "openai"}


def service_series(timeline: Timeline, outage: float) -> Iterator[Series]:
    """Status page, exporter and scrapes."""
    yield from _status_page(timeline, outage)
    yield from _exporter(timeline, outage)
    yield from _process(timeline)
    targets: list[Mapping[str, str]] = [OWN, _PAGE, TARGET, *(each.name.labels for each in PROBES)]
    for number, target in enumerate(targets):
        samples = 40.0 + 90 * number
        yield Series("up", target, timeline.constant(1.0))
        yield Series("scrape_duration_seconds", target, timeline.around(0.4, 0.4, str(target), 120))
        yield Series("scrape_samples_scraped", target, timeline.constant(samples))
    yield from _alerts(timeline, outage)


def _status_page(timeline: Timeline, outage: float) -> Iterator[Series]:
    yield series(usage.STATUS_UP.name, timeline.constant(1.0), _PAGE)
    yield series(usage.STATUS_FETCHED.name, timeline.gauge(lambda t: t - t % 60), _PAGE)
    for number, component in enumerate(_COMPONENTS):
        broken = {"Chat Completions": "partial_outage", "Responses": "degraded_performance"}.get(component)
        for state in STATES:
            fine = float(state == "operational")
            bad = fine if broken is None else float(state == broken)
            # The page admits it a quarter of an hour after our probes see it.
            values = timeline.since(outage + 900, bad, before=fine)
            names = {"component_id": f"c{number:02}", "component": component, "state": state}
            yield series(usage.STATUS_COMPONENT.name, values, _PAGE, **names)
    for impact in IMPACTS:
        values = timeline.since(outage + 900, float(impact == "major"))
        yield series(usage.STATUS_INCIDENT.name, values, _PAGE, impact=impact)


def _exporter(timeline: Timeline, outage: float) -> Iterator[Series]:
    build = {"version": "0.1.0", "python_version": "3.11.2"}
    yield series(own.BUILD_INFO.name, timeline.constant(1.0), OWN, **build)
    yield series(own.PRICE_TABLE_INFO.name, timeline.constant(1.0), OWN, source="genai-prices", version="0.2.3")
    yield series(own.UNREADABLE_KEYS.name, timeline.constant(0.0), OWN)
    yield series(own.CONFIG_RELOAD_SUCCESSFUL.name, timeline.constant(1.0), OWN)
    yield series(own.CONFIG_RELOAD_TIMESTAMP.name, timeline.constant(timeline.end - 3 * DAY), OWN)
    yield series(own.PROBES_IN_FLIGHT.name, timeline.gauge(lambda t: float(t // 60 % 11 == 0)), OWN)
    for organization, api in (("acme", "completions"), ("acme", "embeddings"), ("acme", "costs"), ("", "status_page")):
        names = {"organization": organization, "api": api}
        yield series(own.UPSTREAM_CALLS.name, timeline.count([1.2] * timeline.length), OWN, **names)
        for reason in ("timeout", "server_error"):
            failing = float(api == "costs" and reason == "server_error")
            failures = timeline.count([failing if t >= outage else 0.0 for t in timeline.times])
            yield series(own.UPSTREAM_FAILURES.name, failures, OWN, **names, reason=reason)
    for organization in ("acme",):
        names = {"organization": organization}
        yield series(own.STORAGE_SUCCESSFUL.name, timeline.constant(1.0), OWN, **names)
        for reason in ("locked", "write"):
            yield series(own.STORAGE_FAILURES.name, timeline.constant(0.0), OWN, **names, reason=reason)
    for reason in ("concurrency", "unauthorized"):
        yield series(own.REQUESTS_REFUSED.name, timeline.constant(0.0), OWN, reason=reason)
    for kind in ("target", "module", "model", "organization"):
        yield series(own.UNKNOWN_NAMES.name, timeline.constant(0.0), OWN, kind=kind)


def _process(timeline: Timeline) -> Iterator[Series]:
    yield Series("process_cpu_seconds_total", OWN, timeline.count([0.9] * timeline.length))
    yield Series("process_resident_memory_bytes", OWN, timeline.gauge(lambda t: 9.5e7 + t % 3600 * 500))
    yield Series("process_start_time_seconds", OWN, timeline.constant(timeline.start - 60))
    yield Series("process_open_fds", OWN, timeline.constant(41))
    yield Series("process_max_fds", OWN, timeline.constant(1024))


def _alerts(timeline: Timeline, outage: float) -> Iterator[Series]:
    """What a rule evaluation would have left; alerts cannot be filled in afterwards."""
    yield Series("ALERTS", _alert("Watchdog", "none", "exporter"), timeline.constant(1.0))
    probe = {"target": "openai", "model": "gpt-6-luna"}
    found = (
        {**_alert("OpenAITargetDown", "critical", "availability"), **probe, "module": "chat_stream"},
        {**_alert("OpenAIRateLimitHeadroomLow", "warning", "limits"), **probe, "limit_type": "tokens"},
        {**_alert("OpenAIStatusIncident", "warning", "status"), "status_page": "openai"},
    )
    firing = timeline.gauge(lambda t: 1.0 if t >= outage + 300 else None)
    for labels in found:
        yield Series("ALERTS", labels, firing)
        active = {name: value for name, value in labels.items() if name != "alertstate"}
        yield Series("ALERTS_FOR_STATE", active, timeline.gauge(lambda t: outage if t >= outage else None))


def _alert(name: str, severity: str, category: str) -> dict[str, str]:
    more = {"severity": severity, "category": category, "team": "platform"}
    return {"alertname": name, "alertstate": "firing", "job": "openai", **more}

# SPDX-License-Identifier: Apache-2.0
"""Everything that `/probe` and the probes' part of `/metrics` would tell of the made-up probes."""

import math
from collections.abc import Iterator, Sequence

from openai_exporter.metrics import probe
from openai_exporter.probe.judge import OUTCOMES
from tests.dashboards.data.probes import DEADLINE, OWN, PROBES, Run
from tests.dashboards.data.series import Series, series
from tests.dashboards.data.timeline import DAY, Timeline

_STATUS = {"success": 200, "server_error": 500, "overloaded": 503, "rate_limited_tokens": 429}


def probe_series(timeline: Timeline, outage: float) -> Iterator[Series]:
    """Everything that `/probe` and the probes' part of `/metrics` tell."""
    for each in PROBES:
        run = Run(each, timeline, outage)
        yield from _judgement(run)
        yield from _timing(run)
        yield from _circumstances(run)
        yield from _rate_limits(run)
        yield from _totals(run)
    yield from _models(timeline)


def _judgement(run: Run) -> Iterator[Series]:
    target, timeline = run.probe.name.labels, run.timeline
    good = [float(outcome == "success") for outcome in run.outcomes]
    valid = [float(OUTCOMES[outcome].valid) for outcome in run.outcomes]
    yield series(probe.SUCCESS.name, good, target)
    yield series(probe.AVAILABILITY_GOOD.name, good, target)
    yield series(probe.AVAILABILITY_VALID.name, valid, target)
    yield series(probe.FAILED_DUE_TO_REGEX.name, timeline.constant(0.0), target)
    for outcome in OUTCOMES:
        values = [float(outcome == found) for found in run.outcomes]
        yield series(probe.OUTCOME.name, values, target, outcome=outcome)
    status = [float(_STATUS.get(outcome, 0)) for outcome in run.outcomes]
    yield series(probe.HTTP_STATUS.name, status, target)


def _timing(run: Run) -> Iterator[Series]:
    target, seconds = run.probe.name.labels, run.durations
    yield series(probe.DURATION.name, seconds, target)
    phases = {"resolve": 0.0, "connect": 0.0, "tls": 0.0, "processing": 0.72, "transfer": 0.28}
    for phase, share in phases.items():
        values: list[float | None] = [share * one for one in seconds]
        if phase in ("resolve", "connect", "tls"):
            values = run.timeline.gauge(lambda t: 0.011 if t % 900 < 60 else 0.0)
        yield series(probe.HTTP_DURATION.name, values, target, phase=phase)
    yield series(probe.SERVER_PROCESSING.name, [0.6 * one for one in seconds], target)
    yield series(probe.NETWORK.name, [0.02 + 0.03 * one for one in seconds], target)
    if not run.probe.first_token:
        return
    share = run.probe.first_token / run.probe.seconds
    yield series(probe.TIME_TO_FIRST_TOKEN.name, run.where([share * one for one in seconds]), target)
    yield series(probe.TIME_TO_FIRST_EVENT.name, run.where([0.8 * share * one for one in seconds]), target)
    gaps = [(1 - share) * one / 15 for one in seconds]
    yield series(probe.TOKEN_ARRIVALS.name, run.where([16.0] * len(gaps)), target)
    yield series(probe.INTER_TOKEN_MEAN.name, run.where(gaps), target)
    yield series(probe.INTER_TOKEN_MAX.name, run.where([3.5 * gap for gap in gaps]), target)
    yield series(probe.OUTPUT_TOKENS_PER_SECOND.name, run.where([1 / gap for gap in gaps]), target)


def _circumstances(run: Run) -> Iterator[Series]:
    target, timeline = run.probe.name.labels, run.timeline
    values = {
        probe.TIMEOUT: DEADLINE,
        probe.HTTP_CONTENT_LENGTH: 1830.0,
        probe.HTTP_VERSION: 1.1,
        probe.SSL_EARLIEST_EXPIRY: timeline.end + 61.0 * DAY,
        probe.HTTP_BODY_LENGTH: 1830.0,
        probe.HTTP_REDIRECTS: 0.0,
        probe.HTTP_SSL: 1.0,
        probe.DNS_LOOKUP: 0.0,
        probe.IP_PROTOCOL: 4.0,
        probe.IP_ADDR_HASH: 3072811905.0,
        probe.SSL_CHAIN_EXPIRY: timeline.end + 61.0 * DAY,
        probe.CACHED_AGE: 0.0,
        probe.BACKOFF: 0.0,
        probe.COST_LIMITED: 0.0,
    }
    for metric, value in values.items():
        yield series(metric.name, timeline.constant(value), target)
    certificate = {"subject": "CN=api.openai.com", "issuer": "CN=WE1", "serialnumber": "0a1b"}
    yield series(probe.SSL_CHAIN_INFO.name, timeline.constant(1.0), target, **certificate)
    yield series(probe.TLS_VERSION.name, timeline.constant(1.0), target, version="TLS 1.3")
    yield series(probe.TLS_CIPHER.name, timeline.constant(1.0), target, cipher="TLS_AES_256_GCM_SHA384")
    yield series(probe.LAST_RESULT.name, timeline.gauge(float), target)
    yield series(probe.RESULT_SOURCE.name, timeline.constant(1.0), target, result_source="own")
    reused = timeline.gauge(lambda t: float(t % 900 >= 60))
    yield series(probe.CONNECTION_REUSED.name, reused, target)
    for direction, count in zip(("input", "output", "cached", "reasoning"), (*run.probe.tokens, 0, 0), strict=True):
        yield series(probe.TOKENS.name, run.where([float(count)] * timeline.length), target, direction=direction)
    if sum(run.probe.tokens):
        yield series(probe.COST.name, timeline.constant(9.2e-6), target)
    if run.probe.name.served:
        info = {
            "requested_model": run.probe.name.model,
            "served_model": run.probe.name.served,
            "service_tier": "default",
        }
        yield series(probe.PROBE_MODEL_INFO.name, timeline.constant(1.0), target, **info)


def _rate_limits(run: Run) -> Iterator[Series]:
    target, timeline = run.probe.name.labels, run.timeline
    if run.probe.name.endpoint not in ("chat", "responses", "embeddings"):
        return
    for kind, limit in (("requests", 10_000.0), ("tokens", 4_000_000.0), ("project_tokens", 2_000_000.0)):
        used = [
            limit * (0.93 if t >= run.outage and run.probe.breaks else 0.2 + 0.15 * run.chance(t, kind))
            for t in timeline.times
        ]
        one = {"limit_type": kind}
        yield series(probe.RATE_LIMIT_LIMIT.name, timeline.constant(limit), target, **one)
        yield series(probe.RATE_LIMIT_REMAINING.name, [limit - value for value in used], target, **one)
        yield series(probe.RATE_LIMIT_RESET.name, [60 * value / limit for value in used], target, **one)


def _totals(run: Run) -> Iterator[Series]:
    identity, timeline = run.probe.name.identity, run.timeline
    one = [1.0] * timeline.length
    yield series(probe.API_REQUESTS.name, timeline.count(one), OWN, **identity)
    for code in (200, 429, 500, 503):
        seconds = [
            duration if _STATUS.get(outcome, 0) == code else None
            for duration, outcome in zip(run.durations, run.outcomes, strict=True)
        ]
        if any(seconds):
            yield from _histogram(probe.API_LATENCY.name, seconds, timeline, identity | {"status_code": str(code)})
    if run.probe.first_token:
        share = run.probe.first_token / run.probe.seconds
        first = run.where([share * one for one in run.durations])
        yield from _histogram(probe.API_TTFT.name, first, timeline, identity)
    for outcome in set(run.outcomes) - {"success"} or {"server_error"}:
        labels = identity | {"error_type": outcome, "status_code": str(_STATUS.get(outcome, 0))}
        failed = [float(found == outcome) for found in run.outcomes]
        yield series(probe.API_ERRORS.name, timeline.count(failed), OWN, **labels)
    for direction, count in zip(("input", "output"), run.probe.tokens, strict=True):
        spent = timeline.count([float(count)] * timeline.length)
        yield series(probe.API_TOKENS.name, spent, OWN, **identity, direction=direction)
    module = {"target": run.probe.name.target, "module": run.probe.name.module, "model": run.probe.name.model}
    yield series(probe.PROBE_COST_TOTAL.name, timeline.count([9.2e-6] * timeline.length), OWN, **module)
    yield series(probe.PROBES_CACHED.name, timeline.constant(0.0), OWN, **module)
    yield series(probe.PROBE_UNPRICED.name, timeline.constant(0.0), OWN, **identity)
    unsent = identity | {"error_type": "no_credentials"}
    yield series(probe.PROBE_NOT_SENT.name, timeline.constant(0.0), OWN, **unsent)


def _histogram(
    name: str, seconds: Sequence[float | None], timeline: Timeline, labels: dict[str, str]
) -> Iterator[Series]:
    bounds = [*probe.LATENCY_BUCKETS, math.inf]
    for bound in bounds:
        within = [float(one is not None and one <= bound) for one in seconds]
        le = "+Inf" if bound == math.inf else f"{bound}"
        yield series(f"{name}_bucket", timeline.count(within), OWN, **labels, le=le)
    yield series(f"{name}_count", timeline.count([float(one is not None) for one in seconds]), OWN, **labels)
    yield series(f"{name}_sum", timeline.count([one or 0.0 for one in seconds]), OWN, **labels)


def _models(timeline: Timeline) -> Iterator[Series]:
    target = PROBES[0].name.labels
    shutdown = {"gpt-5-nano": 20, "o4-mini": 6, "gpt-4.1-mini": 54, "gpt-5.4-nano": 131}
    names = ("gpt-6-luna", "gpt-6-astra", "gpt-5.4-mini", "text-embedding-3-small", "omni-moderation-latest", *shutdown)
    for model in names:
        created = timeline.constant(timeline.end - 300 * DAY)
        yield series(probe.MODEL_INFO.name, timeline.constant(1.0), target, model=model, owned_by="openai")
        yield series(probe.MODEL_CREATED.name, created, target, model=model)
        if model in shutdown:
            stamp = timeline.constant(timeline.end - timeline.end % DAY + shutdown[model] * DAY)
            yield series(probe.MODEL_SHUTDOWN.name, stamp, target, model=model)
    for each in {each.name.model for each in PROBES if each.name.model}:
        yield series(probe.MODEL_LISTED.name, timeline.constant(1.0), target, listed_model=each)

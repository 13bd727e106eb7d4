# SPDX-License-Identifier: Apache-2.0
"""What `/probe` exposes of an answer, and what `/metrics` adds up over probes."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TypeVar

from openai_exporter.config.sections import Module, Target
from openai_exporter.exposition import Family, Instruments, fixed
from openai_exporter.metrics import Metric, own, probe as m
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult, StreamTiming, TlsPeer
from openai_exporter.probe.judge import OUTCOMES

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
DIRECTIONS = ("input", "output", "cached", "reasoning")

Values = float | Sequence[tuple[tuple[str, ...], float | None]] | None
"""The value of a metric without labels, or label values and value of each sample; None for what is unknown."""
Record = TypeVar("Record")
Table = tuple[tuple[Metric, Callable[[Record], Values]], ...]


def families(answer: ProbeAnswer) -> list[Family]:
    """The families of one answer; those without samples are omitted when they are encoded."""
    result = answer.result
    return [
        *_read(_BLACKBOX, result),
        *_read(_TLS, result.tls),
        _outcome(result.outcome),
        *_read(_ANSWER, answer),
        *_read(_STREAM, result.stream),
        *_read(_RESULT, result),
    ]


def _read(table: Table[Record], record: Record | None) -> list[Family]:
    """What a record says of the metrics of a table; nothing without the record."""
    exposed: list[Family] = []
    if record is None:
        return exposed
    for metric, values_of in table:
        values = values_of(record)
        if values is None or isinstance(values, int | float):
            values = [((), values)]
        samples = [(labels, value) for labels, value in values if value is not None]
        exposed.append(Family(metric, samples))
    return exposed


@cache  # of the outcomes
def _outcome(outcome: str) -> Family:
    return fixed(m.OUTCOME, [((name,), int(name == outcome)) for name in OUTCOMES])


@lru_cache(1024)  # probes connect to the same few addresses again and again
def _ip(address: str) -> tuple[int | None, int | None]:
    """Version and hash of the IP in `ip:port`; nothing without a connection."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None, None
    return ip.version, fnv1a(ip.packed)


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash, which blackbox_exporter makes of an address."""
    hashed = 0x811C9DC5
    for byte in data:
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hashed


def _network(result: ProbeResult) -> float | None:
    """The API's clock has whole milliseconds, so a fast answer may seem to precede its own processing."""
    if result.server_processing is None or not result.status_code:
        return None
    return max(result.phases.processing - result.server_processing, 0.0)


def _served(result: ProbeResult) -> Values:
    served = result.served_model
    return [((result.key.model, served, result.service_tier), 1)] if served else None


def _listed(result: ProbeResult) -> Values:
    if not result.models:
        return None
    names = {card.id for card in result.models}
    return [((model,), model in names) for model in result.expected_models]


# blackbox_exporter's names and meanings, so that its rules and dashboards work.
_BLACKBOX: Table[ProbeResult] = (
    (m.SUCCESS, lambda r: r.success),
    (m.DURATION, lambda r: r.duration),
    (m.TIMEOUT, lambda r: r.timeout),
    (m.DNS_LOOKUP, lambda r: r.phases.resolve),
    (m.IP_PROTOCOL, lambda r: _ip(r.address)[0]),
    (m.IP_ADDR_HASH, lambda r: _ip(r.address)[1]),
    (m.HTTP_STATUS, lambda r: r.status_code),
    (m.HTTP_DURATION, lambda r: [((phase,), getattr(r.phases, phase)) for phase in PHASES]),
    (m.HTTP_CONTENT_LENGTH, lambda r: r.content_length),
    (m.HTTP_BODY_LENGTH, lambda r: r.body_length),
    (m.HTTP_REDIRECTS, lambda r: 0),
    (m.HTTP_SSL, lambda r: r.status_code != 0 and r.tls is not None),
    (m.HTTP_VERSION, lambda r: r.http_version),
    (m.FAILED_DUE_TO_REGEX, lambda r: r.regex_failed),
)
_TLS: Table[TlsPeer] = (
    (m.SSL_EARLIEST_EXPIRY, lambda p: p.earliest_expiry),
    (m.SSL_CHAIN_EXPIRY, lambda p: p.chain_expiry),
    (m.SSL_CHAIN_INFO, lambda p: [((p.fingerprint, p.subject, p.issuer, p.alternatives, p.serial), 1)]),
    (m.TLS_VERSION, lambda p: [((p.version,), 1)]),
    (m.TLS_CIPHER, lambda p: [((p.cipher,), 1)]),
)

_ANSWER: Table[ProbeAnswer] = (
    (m.AVAILABILITY_VALID, lambda a: None if a.cached else a.result.valid),
    (m.AVAILABILITY_GOOD, lambda a: None if a.cached else a.result.good),
    (m.CACHED_AGE, lambda a: a.age),
    (m.BACKOFF, lambda a: a.backoff),
    (m.COST_LIMITED, lambda a: a.cost_limited),
)
_STREAM: Table[StreamTiming] = (
    (m.TIME_TO_FIRST_EVENT, lambda s: s.first_event),
    (m.TIME_TO_FIRST_TOKEN, lambda s: s.first_token),
    (m.INTER_TOKEN_MEAN, lambda s: s.gaps_mean),
    (m.INTER_TOKEN_MAX, lambda s: s.gaps_max),
    (m.TOKEN_ARRIVALS, lambda s: s.arrivals),
    (m.OUTPUT_TOKENS_PER_SECOND, lambda s: s.tokens_per_second),
)
_RESULT: Table[ProbeResult] = (
    (m.CONNECTION_REUSED, lambda r: r.reused if r.status_code else None),
    (m.TOKENS, lambda r: [((name,), getattr(r.tokens, name)) for name in DIRECTIONS if r.tokens]),
    (m.COST, lambda r: None if r.cost_usd is None else float(r.cost_usd)),
    (m.SERVER_PROCESSING, lambda r: r.server_processing),
    (m.NETWORK, _network),
    (m.RATE_LIMIT_LIMIT, lambda r: [((x.limit_type,), x.limit) for x in r.rate_limits]),
    (m.RATE_LIMIT_REMAINING, lambda r: [((x.limit_type,), x.remaining) for x in r.rate_limits]),
    (m.RATE_LIMIT_RESET, lambda r: [((x.limit_type,), x.reset_seconds) for x in r.rate_limits]),
    (m.PROBE_MODEL_INFO, _served),
    (m.MODEL_LISTED, _listed),
    (m.MODEL_INFO, lambda r: [((card.id, card.owned_by), 1) for card in r.models]),
    (m.MODEL_CREATED, lambda r: [((card.id,), card.created) for card in r.models]),
    (m.MODEL_SHUTDOWN, lambda r: [((card.id,), card.shutdown_timestamp) for card in r.models]),
)

# What `/metrics` adds up over fresh results.

USUAL_ERRORS = (
    ("auth", "401"),
    ("quota_exhausted", "429"),
    ("rate_limited_requests", "429"),
    ("rate_limited_tokens", "429"),
    ("server_error", "500"),
    ("overloaded", "503"),
    ("connect", "0"),
    ("reset", "0"),
    ("timeout_headers", "0"),
    ("timeout_total", "200"),
)
"""Failures whose series exist from the start, at 0, so that `increase()` sees the first one."""

_HUNG = frozenset({"timeout_connect", "timeout_headers", "timeout_first_token"})
"""Outcomes of probes whose answer, or first token, took at least as long as they were given."""


class Totals:
    """Counts into the instruments of one process."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._in_flight = 0
        instruments.set(own.PROBES_IN_FLIGHT, 0)

    def prepare(self, probes: Mapping[ProbeKey, tuple[Target, Module]]) -> None:
        """Let the series of all configured probes exist, at 0."""
        count = self._instruments.count
        for key, (_, module) in probes.items():
            labels = (key.target, key.module, str(module.endpoint), key.model)
            for metric in (m.API_REQUESTS, m.PROBE_UNPRICED):
                count(metric, labels, 0.0)
            for direction in DIRECTIONS:
                count(m.API_TOKENS, (*labels, direction), 0.0)
            for error in USUAL_ERRORS:
                count(m.API_ERRORS, (*labels, *error), 0.0)
            for outcome in ("no_credentials", "exporter_busy"):
                count(m.PROBE_NOT_SENT, (*labels, outcome), 0.0)
            for metric in (m.PROBE_COST_TOTAL, m.PROBES_CACHED):
                count(metric, (key.target, key.module, key.model), 0.0)

    def in_flight(self, change: int) -> None:
        """A probe started (+1) or ended (-1)."""
        self._in_flight += change
        self._instruments.set(own.PROBES_IN_FLIGHT, self._in_flight)

    def cached(self, key: ProbeKey) -> None:
        """A scrape was answered without calling the API for it."""
        self._instruments.count(m.PROBES_CACHED, (key.target, key.module, key.model))

    def count(self, result: ProbeResult) -> None:
        """Add a fresh result."""
        count, key = self._instruments.count, result.key
        labels = (key.target, key.module, str(result.endpoint), key.model)
        if not result.called:
            count(m.PROBE_NOT_SENT, (*labels, result.outcome))
            return
        count(m.API_REQUESTS, labels)
        if not result.success:
            count(m.API_ERRORS, (*labels, result.outcome, str(result.status_code)))
        self._observe(result, labels)
        if result.tokens is not None:
            for direction in DIRECTIONS:
                count(m.API_TOKENS, (*labels, direction), getattr(result.tokens, direction))
        if result.cost_usd is not None:
            count(m.PROBE_COST_TOTAL, (key.target, key.module, key.model), float(result.cost_usd))
        if result.unpriced:
            count(m.PROBE_UNPRICED, labels)

    def _observe(self, result: ProbeResult, labels: tuple[str, ...]) -> None:
        exemplar = {"request_id": result.request_id} if result.request_id else None
        hung = result.outcome in _HUNG
        if result.status_code or hung:
            status = str(result.status_code)
            self._instruments.observe(m.API_LATENCY, result.duration, (*labels, status), exemplar)
        if not result.streamed:
            return
        first = result.stream.first_token if result.stream else None
        if first is None and hung:
            first = result.duration  # else an API that hangs would look fast: only its good times would count
        if first is not None:
            self._instruments.observe(m.API_TTFT, first, labels, exemplar)

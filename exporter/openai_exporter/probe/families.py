# SPDX-License-Identifier: Apache-2.0
"""What `/probe` exposes of an answer, and what `/metrics` adds up over probes."""

import ipaddress
from collections.abc import Iterator
from functools import cache

from openai_exporter.exposition import Family, Instruments, family, fixed
from openai_exporter.metrics import own
from openai_exporter.metrics import probe as m
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult, TlsPeer
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.probe.targets import Directory

# The part of `/probe` that has blackbox_exporter's names and meanings, so that its rules and dashboards work.

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def blackbox(result: ProbeResult) -> Iterator[Family]:
    """The families of one result."""
    yield family(m.SUCCESS, int(result.success))
    yield family(m.DURATION, result.duration)
    yield family(m.TIMEOUT, result.timeout)
    yield from _network(result)
    yield from _http(result)
    yield from _tls(result.tls)
    yield family(m.FAILED_DUE_TO_REGEX, int(result.regex_failed))


def _network(result: ProbeResult) -> Iterator[Family]:
    yield family(m.DNS_LOOKUP, result.phases.resolve)
    address = _ip(result.address)
    yield family(m.IP_PROTOCOL, address.version if address else None)
    yield family(m.IP_ADDR_HASH, fnv1a(address.packed) if address else None)


def _http(result: ProbeResult) -> Iterator[Family]:
    answered = bool(result.status_code)
    yield family(m.HTTP_STATUS, result.status_code)
    phases = Family(m.HTTP_DURATION)
    for phase in PHASES:
        phases.add(getattr(result.phases, phase), phase)
    yield phases
    yield family(m.HTTP_CONTENT_LENGTH, result.content_length)
    yield family(m.HTTP_BODY_LENGTH, result.body_length)
    yield family(m.HTTP_REDIRECTS, 0)
    yield family(m.HTTP_SSL, int(answered and result.tls is not None))
    yield family(m.HTTP_VERSION, result.http_version)


def _tls(peer: TlsPeer | None) -> Iterator[Family]:
    if peer is None:
        return
    yield family(m.SSL_EARLIEST_EXPIRY, peer.earliest_expiry)
    yield family(m.SSL_CHAIN_EXPIRY, peer.chain_expiry)
    info = Family(m.SSL_CHAIN_INFO)
    info.add(1, peer.fingerprint, peer.subject, peer.issuer, peer.alternatives, peer.serial)
    version, cipher = Family(m.TLS_VERSION), Family(m.TLS_CIPHER)
    version.add(1, peer.version)
    cipher.add(1, peer.cipher)
    yield from (info, version, cipher)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP of `ip:port`; None without a connection."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash, which blackbox_exporter makes of an address."""
    found = _FNV_OFFSET
    for byte in data:
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return found


# What `/probe` exposes of an answer; families without samples are left out when they are encoded.

DIRECTIONS = ("input", "output", "cached", "reasoning")


def families(answer: ProbeAnswer) -> list[Family]:
    """The families of one answer, in the catalogue's order."""
    result = answer.result
    return [
        *blackbox(result),
        _outcome(result.outcome),
        *_availability(answer),
        *_timing(result),
        *_spend(answer),
        *_limits(result),
        *_models(result),
    ]


@cache  # of the outcomes
def _outcome(outcome: str) -> Family:
    return fixed(m.OUTCOME, [((name,), int(name == outcome)) for name in OUTCOMES])


def _availability(answer: ProbeAnswer) -> Iterator[Family]:
    result, fresh = answer.result, not answer.cached
    yield family(m.AVAILABILITY_VALID, int(result.valid) if fresh else None)
    yield family(m.AVAILABILITY_GOOD, int(result.good) if fresh else None)
    yield family(m.CONNECTION_REUSED, int(result.reused) if result.status_code else None)


def _timing(result: ProbeResult) -> Iterator[Family]:
    stream = result.stream
    if stream is not None:
        yield family(m.TIME_TO_FIRST_EVENT, stream.first_event)
        yield family(m.TIME_TO_FIRST_TOKEN, stream.first_token)
        yield family(m.INTER_TOKEN_MEAN, stream.gaps_mean)
        yield family(m.INTER_TOKEN_MAX, stream.gaps_max)
        yield family(m.TOKEN_ARRIVALS, stream.arrivals)
        yield family(m.OUTPUT_TOKENS_PER_SECOND, stream.tokens_per_second)
    if result.tokens is not None:
        tokens = Family(m.TOKENS)
        for direction in DIRECTIONS:
            tokens.add(getattr(result.tokens, direction), direction)
        yield tokens
    yield family(m.SERVER_PROCESSING, result.server_processing)
    if result.server_processing is not None and result.status_code:
        # The API's clock has whole milliseconds, so a fast answer may seem to precede its own processing.
        yield family(m.NETWORK, max(result.phases.processing - result.server_processing, 0.0))


def _spend(answer: ProbeAnswer) -> Iterator[Family]:
    cost = answer.result.cost_usd
    yield family(m.COST, None if cost is None else float(cost))
    yield family(m.CACHED_AGE, answer.age)
    yield family(m.BACKOFF, answer.backoff)
    yield family(m.COST_LIMITED, int(answer.cost_limited))


def _limits(result: ProbeResult) -> Iterator[Family]:
    limit, remaining, reset = (
        Family(m.RATE_LIMIT_LIMIT), Family(m.RATE_LIMIT_REMAINING), Family(m.RATE_LIMIT_RESET),
    )  # fmt: skip
    for each in result.rate_limits:
        for found, value in ((limit, each.limit), (remaining, each.remaining), (reset, each.reset_seconds)):
            if value is not None:
                found.add(value, each.limit_type)
    yield from (limit, remaining, reset)


def _models(result: ProbeResult) -> Iterator[Family]:
    if result.endpoint is not Endpoint.MODELS:
        info = Family(m.PROBE_MODEL_INFO)
        if result.served_model:
            info.add(1, result.key.model, result.served_model, result.service_tier)
        yield info
        return
    yield from _cards(result)


def _cards(result: ProbeResult) -> Iterator[Family]:
    listed, info = Family(m.MODEL_LISTED), Family(m.MODEL_INFO)
    created, shutdown = Family(m.MODEL_CREATED), Family(m.MODEL_SHUTDOWN)
    names = {card.id for card in result.models}
    for model in result.expected_models if result.models else ():
        listed.add(int(model in names), model)
    for card in result.models:
        info.add(1, card.id, card.owned_by)
        if card.created is not None:
            created.add(card.created, card.id)
        if card.shutdown_timestamp is not None:
            shutdown.add(card.shutdown_timestamp, card.id)
    yield from (listed, info, created, shutdown)


# Adds fresh results up into the counters and histograms of `/metrics`.

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
_EXEMPLAR = 100


class Totals:
    """Counts into the instruments of one process."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._in_flight = 0
        instruments.set(own.PROBES_IN_FLIGHT, 0)

    def prepare(self, directory: Directory) -> None:
        """Let the series of all configured probes exist, at 0."""
        count = self._instruments.count
        for key in directory.keys:
            _, module = directory.parts(key)
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
        exemplar = {"request_id": result.request_id[:_EXEMPLAR]} if result.request_id else None
        hung = result.outcome in _HUNG
        if result.status_code or hung:
            status = str(result.status_code)
            self._instruments.observe(m.API_LATENCY, result.duration, (*labels, status), exemplar)
        if not result.streamed:
            return
        first = result.stream.first_token if result.stream else None
        if (
            first is None and hung
        ):  # else an API that hangs would look fast: only its good moments would count
            first = result.duration
        if first is not None:
            self._instruments.observe(m.API_TTFT, first, labels, exemplar)

# SPDX-License-Identifier: Apache-2.0
"""A probe's result: its masked texts and log, its metrics, and its explanation for people."""

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import cache, lru_cache
from itertools import repeat
from typing import Any, TypeVar

import yaml

from openai_exporter.client.exchange import Exchange, FailureKind
from openai_exporter.config.secret import Masker, named_secrets
from openai_exporter.config.sections import Module, Target
from openai_exporter.exposition import Family, Instruments, encode, fixed
from openai_exporter.metrics import Metric, probe as m
from openai_exporter.model import Endpoint, ModelCard, ProbeAnswer, ProbeKey, ProbeResult, StreamTiming, TlsPeer
from openai_exporter.probe.endpoints import statements
from openai_exporter.probe.judge import OUTCOMES, Verdict
from openai_exporter.probe.reading import Headers, Setting, read_headers

LOGGER = logging.getLogger("openai_exporter.probe")
MAX_VALUE = 300
"""Characters of a value in a log line."""
REPEAT_SECONDS = 60.0
"""Results of a probe that repeat are logged together once in this time."""

FREE = (Endpoint.MODELS, Endpoint.MODERATIONS)
"""Endpoints whose calls cost nothing."""
_TEXTUAL = re.compile("json|text|xml|event-stream|urlencoded|javascript", re.IGNORECASE)
_BARE = re.compile(r"[^\s\"=\\]+")

LogEvent = tuple[float, str, Mapping[str, object]]
"""Seconds since the start of the probe, what happened, and its values; what is None or empty is left out."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a probe before it starts.

    Attributes:
        started_at: Unix seconds.
        timeout: total deadline in seconds.
        client_request_id: sent along, so that support can find a request that got no answer.
        expected_models: models configured on the target, for endpoint `models`.
    """

    key: ProbeKey
    setting: Setting
    started_at: float
    timeout: float
    masker: Masker
    client_request_id: str = ""
    expected_models: tuple[str, ...] = ()


def unsent_result(frame: Frame, outcome: str, message: str) -> ProbeResult:
    """The result of a probe that came to no exchange."""
    return _result(frame, outcome, message, (), duration=0.0)


def build_result(frame: Frame, exchange: Exchange, verdict: Verdict, cost: Decimal | None) -> ProbeResult:
    """The result of an exchange."""
    headers, reading = read_headers(exchange.headers, frame.started_at), verdict.reading
    words = (verdict.error.code or verdict.error.type, reading.served_model, reading.service_tier)
    code, model, tier, request_id, address = map(frame.masker.label, (*words, headers.request_id, exchange.address))
    answered = exchange.status != 0
    billed = 200 <= exchange.status < 300 and frame.setting.module.endpoint not in FREE
    sent, first_line = exchange.request, f"HTTP/{exchange.http_version} {exchange.status}"
    return _result(
        frame,
        verdict.outcome,
        verdict.message,
        tuple(_events(exchange, verdict, headers)),
        called=exchange.failure is None or exchange.failure.kind is not FailureKind.BUSY,
        duration=exchange.duration,
        status_code=exchange.status,
        error_code=code,
        phases=exchange.phases,
        reused=exchange.reused,
        stream=reading.stream,
        tokens=reading.tokens,
        cost_usd=cost,
        unpriced=cost is None and billed,
        server_processing=headers.server_processing,
        rate_limits=headers.rate_limits,
        served_model=model,
        service_tier=tier,
        request_id=request_id,
        content_length=exchange.size if answered else None,
        http_version=exchange.http_version,
        body_length=len(exchange.body) if answered else None,
        address=address,
        tls=exchange.tls and _masked_peer(exchange.tls, frame.masker),
        regex_failed=verdict.regex_failed,
        retry_after=headers.retry_after,
        models=tuple(map(_masked_card, reading.models, repeat(frame.masker))),
        listed=tuple(statements(frame.expected_models, reading)) if reading.models else (),
        request=_http_text(f"{sent.method} {sent.url}", sent.headers, sent.body, frame.masker),
        reply=_http_text(first_line, exchange.headers, exchange.body, frame.masker) if answered else "",
        simulated=headers.simulated,
    )


def _result(
    frame: Frame, outcome: str, message: str, events: tuple[LogEvent, ...], *, duration: float, **facts: Any
) -> ProbeResult:
    fact, module = OUTCOMES[outcome], frame.setting.module
    message = frame.masker.message(message)
    started = {
        "target": frame.key.target,
        "module": frame.key.module,
        "model": frame.key.model,
        "endpoint": module.endpoint,
        "stream": module.stream,
        "timeout": frame.timeout,
        "client_request_id": frame.client_request_id,
    }
    judged = {"outcome": outcome, "success": fact.success, "message": message}
    log = ((0.0, "start", started), *events, (duration, "judgement", judged))
    return ProbeResult(
        key=frame.key,
        endpoint=module.endpoint,
        provider=frame.setting.provider,
        started_at=frame.started_at,
        outcome=outcome,
        success=fact.success,
        valid=fact.valid,
        good=fact.valid and fact.success,
        duration=duration,
        timeout=frame.timeout,
        streamed=module.stream,
        message=fact.meaning if fact.success else f"{message.rstrip('.')}. {fact.remedy}",
        log=tuple(map(log_line, log, repeat(frame.masker))),
        **facts,
    )


def _events(exchange: Exchange, verdict: Verdict, headers: Headers) -> Iterator[LogEvent]:
    """What happened in an exchange, for the log of its probe."""
    phases, stream, ended = exchange.phases, verdict.reading.stream, exchange.duration
    if exchange.retries:
        why = "the server had closed the idle connection"
        yield 0.0, "retry", {"reason": why, "retries": exchange.retries}
    ways = {"reused": exchange.reused, "address": exchange.address, "proxy": exchange.proxy}
    opening = {"resolve": phases.resolve, "connect": phases.connect, "tls": phases.tls}
    yield sum(opening.values()), "connection", {**ways, **opening}
    if exchange.status:
        processing = headers.server_processing
        values = {"code": exchange.status, "request_id": headers.request_id, "server_processing": processing}
        yield ended - phases.transfer, "status", values
    if stream is not None and stream.first_token is not None:
        yield stream.first_token, "first_token", {}
    failure, tokens, error = exchange.failure, verdict.reading.tokens, verdict.error
    if failure is not None:
        yield ended, "failure", {"kind": failure.kind, "step": failure.step, "message": failure.message}
    else:
        yield ended, "body", {"bytes": exchange.size}
    if tokens is not None:
        sent = {"input": tokens.input, "cached": tokens.cached}
        yield ended, "usage", {**sent, "output": tokens.output, "reasoning": tokens.reasoning}
    if error.code or error.type:
        yield ended, "error", {"code": error.code, "type": error.type}


def log_line(event: LogEvent, masker: Masker) -> str:
    """`key=value` pairs of one event, every text masked and bounded."""
    at, name, values = event
    pairs = [f"at={at:.6f} event={name}"]
    for key, value in values.items():
        if isinstance(value, bool):
            pairs.append(f"{key}={str(value).lower()}")
        elif isinstance(value, float):
            pairs.append(f"{key}={value:.6f}")
        elif isinstance(value, int):
            pairs.append(f"{key}={value}")
        elif value:
            text = masker.label(str(value), MAX_VALUE)
            if not _BARE.fullmatch(text):
                text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                text = f'"{text}"'
            pairs.append(f"{key}={text}")
    return " ".join(pairs)


@dataclass(slots=True)
class ResultLog:
    """Logs the results of one probe: its first failure and each change; what repeats is counted, once a minute.

    Failures go out at INFO, for they are no fault of the exporter; its own are errors. Each result goes out at DEBUG.
    """

    outcome: str = "success"
    since: float = float("-inf")
    logged: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def record(self, result: ProbeResult, now: float) -> None:
        """Log a fresh result, at `now` in monotonic seconds."""
        if now - self.since >= REPEAT_SECONDS:
            if self.counts.keys() - {"success"}:
                counts = " ".join(f"{outcome}={count}" for outcome, count in self.counts.items())
                _log(logging.INFO, "probe results that repeat", {**asdict(result.key), "results": counts})
            self.since, self.logged, self.counts = now, set(), {}
        changed, self.outcome = result.outcome != self.outcome, result.outcome
        level = logging.ERROR if result.outcome == "exporter_error" else logging.INFO
        if not changed or result.outcome in self.logged:
            level = logging.DEBUG
            self.counts[result.outcome] = self.counts.get(result.outcome, 0) + 1
        else:
            self.logged.add(result.outcome)
        if not LOGGER.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            **asdict(result.key),
            "outcome": result.outcome,
            "status": result.status_code,
            "duration_seconds": round(result.duration, 6),
            "request_id": result.request_id,
            "error_code": result.error_code,
            "message": "" if result.success else result.message,
        }
        _log(level, "probe succeeded" if result.success else "probe failed", fields)


def _log(level: int, text: str, fields: Mapping[str, object]) -> None:
    LOGGER.log(level, text, extra={"fields": {name: value for name, value in fields.items() if value != ""}})


def _masked_peer(peer: TlsPeer, masker: Masker) -> TlsPeer:
    """A server's certificate is its own text like any other."""
    subject, issuer, alternatives, serial = map(
        masker.label, (peer.subject, peer.issuer, peer.alternatives, peer.serial)
    )
    return replace(peer, subject=subject, issuer=issuer, alternatives=alternatives, serial=serial)


def _masked_card(card: ModelCard, masker: Masker) -> ModelCard:
    return replace(card, id=masker.label(card.id), owned_by=masker.label(card.owned_by))


def _http_text(start: str, headers: Iterable[tuple[str, str]], body: bytes, masker: Masker) -> str:
    """A request or reply as text for people; of a body that is no text, its size and kind."""
    kind = ""
    for name, value in headers:
        if name.lower() == "content-type":
            kind = kind or value
    text = body[:65_536].decode("utf-8", "replace")
    if body and kind and not _TEXTUAL.search(kind):
        text = f"<{len(body)} bytes of {kind}>"
    head, text = map(masker.body, ("\n".join([start, *map(": ".join, headers)]), text))
    return f"{head}\n\n{text}".rstrip()


# What `/probe` exposes of an answer.

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
        _source(answer.reason or "own"),
        *_read(_STREAM, result.stream),
        *_read(_RESULT, result),
    ]


def _read(table: Table[Record], record: Record | None) -> list[Family]:
    """What a record says of the metrics of a table; nothing without the record."""
    exposed: list[Family] = []
    if record is None:
        return exposed
    for metric, values_of in table:
        values, entry = values_of(record), Family(metric)
        if values is None or isinstance(values, int | float):
            values = [((), values)]
        for labels, value in values:
            if value is not None:
                entry.samples.append((labels, value))
        exposed.append(entry)
    return exposed


@cache  # of the outcomes
def _outcome(outcome: str) -> Family:
    return fixed(m.OUTCOME, [((name,), int(name == outcome)) for name in OUTCOMES])


SOURCES = ("own", "shared", "min_interval", "backoff", "cost_limit", "deadline")


@cache  # of the sources
def _source(source: str) -> Family:
    return fixed(m.RESULT_SOURCE, [((name,), int(name == source)) for name in SOURCES])


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
    (m.LAST_RESULT, lambda a: a.result.started_at + a.result.duration if OUTCOMES[a.result.outcome].made else None),
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
    (m.PROBE_MODEL_INFO, lambda r: [((r.key.model, r.served_model, r.service_tier), 1)] if r.served_model else None),
    (m.MODEL_LISTED, lambda r: [((model,), listed) for model, listed in r.listed]),
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
    ("connection_reset", "0"),
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
            for outcome in ("no_credentials", "exporter_busy", "deadline_too_short"):
                count(m.PROBE_NOT_SENT, (*labels, outcome), 0.0)
            for metric in (m.PROBE_COST_TOTAL, m.PROBES_CACHED):
                count(metric, (key.target, key.module, key.model), 0.0)

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


# One probe as text for people: its log, its metrics, its module, what was sent and received; all masked.


def explain(answer: ProbeAnswer, module: Module) -> str:
    """The text of `debug=true` and of a page of the history."""
    result = answer.result
    fact = OUTCOMES[result.outcome]
    sections = [
        ("Outcome", f"{result.outcome}: {fact.meaning}\n{result.message}\n{_freshness(answer)}"),
        ("Logs for the probe", "\n".join(result.log)),
        ("Metrics that would have been returned", encode(families(answer)).decode()),
        ("Module configuration", _module(module)),
        ("Request", result.request or "none was sent"),
        ("Reply", result.reply or "none came"),
    ]
    return "\n\n".join(f"{title}:\n{text.rstrip()}" for title, text in sections) + "\n"


def _freshness(answer: ProbeAnswer) -> str:
    if answer.reason == "shared":
        return "Fresh: the API was called for another scrape at the same time."
    if not answer.cached and not answer.age:
        return "Fresh: the API was called for this answer."
    return (
        f"From the cache ({answer.reason or 'history'}), {answer.age:.1f} s old; "
        f"the API is left alone for {answer.backoff:.1f} s more."
    )


def _module(module: Module) -> str:
    text: str = yaml.safe_dump(module.model_dump(mode="json", exclude_none=True), sort_keys=False)
    return Masker(named_secrets(module.request.extra)).mask(text)

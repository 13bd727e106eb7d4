# SPDX-License-Identifier: Apache-2.0
"""The frozen records that pass between the layers; no behaviour beyond what their own fields say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Endpoint(StrEnum):
    """What a module probes."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    MODELS = "models"
    TRANSCRIPTIONS = "transcriptions"
    SPEECH = "speech"
    IMAGES = "images"


class Provider(StrEnum):
    """Whose API a target is; decides authentication, paths and header habits."""

    OPENAI = "openai"
    AZURE = "azure"
    COMPATIBLE = "compatible"


@dataclass(frozen=True, slots=True)
class ProbeKey:
    """Names one probe: a module run on a target, for a model (empty for endpoint `models`)."""

    target: str
    module: str
    model: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they arrived.

    Attributes:
        at: seconds since the request's clock started (see `Exchange`).
        size: bytes of the raw stream up to and including this arrival.
    """

    at: float
    size: int


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each phase, blackbox_exporter's words and meaning; the first three are 0 on a warm connection.

    They follow each other without a gap and add up to the duration. `connect` includes a proxy's tunnel,
    and what a warm connection cost that turned out closed. `processing` runs from the moment the connection
    is ready (so it includes the upload of the request, with and without TLS) to the first byte of the final
    answer, whatever interim answers come before, `transfer` from there to its last byte.
    """

    resolve: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    processing: float = 0.0
    transfer: float = 0.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One rate limit as the answer's headers give it; a header that is absent or unreadable is None.

    Attributes:
        limit_type: `requests`, `tokens` or `project_tokens`.
        limit, remaining: counts.
        reset_seconds: time until the window is whole again.
    """

    limit_type: str
    limit: float | None = None
    remaining: float | None = None
    reset_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one request; `cached` is a part of `input`, `reasoning` a part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class StreamTiming:
    """Timing of a streamed answer, in seconds from the start of the request.

    Attributes:
        first_event: first event of any kind; None when none came.
        first_token: first visible token; None when none came.
        gaps_mean, gaps_max: between visible tokens; None when they did not come in two arrivals or more.
        tokens_per_second: output tokens after the first by the time they took; None when unknown.
        arrivals: how often visible tokens came; those that came together are one arrival.
    """

    first_event: float | None = None
    first_token: float | None = None
    gaps_mean: float | None = None
    gaps_max: float | None = None
    tokens_per_second: float | None = None
    arrivals: int = 0


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """What a server showed in the TLS handshake; empty or None where it is not known.

    Attributes:
        version, cipher: such as `TLS 1.3` and OpenSSL's name of the cipher.
        earliest_expiry: Unix seconds, of the first certificate to expire of those that the server sent.
        chain_expiry: Unix seconds, of the first one to expire of the chain that was verified, its root included.
        fingerprint: SHA-256 of the server's own certificate, in hexadecimal.
        subject, issuer: as RFC 2253 writes names.
        alternatives: DNS names, joined by commas.
        serial: in hexadecimal.
    """

    version: str = ""
    cipher: str = ""
    earliest_expiry: float | None = None
    chain_expiry: float | None = None
    fingerprint: str = ""
    subject: str = ""
    issuer: str = ""
    alternatives: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One entry of GET /models.

    Attributes:
        created: Unix seconds, None when the server does not say.
        shutdown_timestamp: Unix seconds of midnight UTC on `shutdown_date`, None without one.
    """

    id: str
    owned_by: str = ""
    created: float | None = None
    shutdown_timestamp: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe found; built once, never changed.

    Attributes:
        started_at: Unix seconds.
        outcome: a name of the taxonomy in `probe/judge.py`.
        called: whether the API was called, be it in vain; not when the key could not be read, say.
        streamed: whether a stream was asked for.
        valid, good: whether it counts in the availability SLI, and as what.
        status_code: HTTP status, 0 when no answer came.
        duration: seconds from the start of the request to the end of the answer.
        timeout: the total deadline in seconds.
        content_length, body_length: bytes of the body as received, and with its content coding undone.
        address: `ip:port` that was connected to, the proxy's when there is one; empty without a connection.
        tls: what the server showed, None without TLS.
        cost_usd: list price; None when nothing was spent or the model has no price.
        listed: of models that are probed, whether `models` has them; without those for which it cannot be said.
        message: one sentence a person can act on.
        log: `key=value` lines of what happened, in order, secrets masked.
        request, reply: what was sent and received, secrets masked, cut to a bound.
        simulated: whether the answer says that it comes from a simulator (header `x-simulated`).
    """

    key: ProbeKey
    endpoint: Endpoint
    provider: Provider
    started_at: float
    outcome: str
    success: bool
    valid: bool
    good: bool
    duration: float
    timeout: float
    called: bool = False
    streamed: bool = False
    status_code: int = 0
    error_code: str = ""
    message: str = ""
    phases: Phases = Phases()
    reused: bool = False
    stream: StreamTiming | None = None
    tokens: Tokens | None = None
    cost_usd: Decimal | None = None
    unpriced: bool = False
    server_processing: float | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    served_model: str = ""
    service_tier: str = ""
    request_id: str = ""
    content_length: int | None = None
    http_version: float | None = None
    body_length: int | None = None
    address: str = ""
    tls: TlsPeer | None = None
    regex_failed: bool = False
    retry_after: float | None = None
    models: tuple[ModelCard, ...] = ()
    listed: tuple[tuple[str, bool], ...] = ()
    log: tuple[str, ...] = ()
    request: str = ""
    reply: str = ""
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A result as handed to one scrape: fresh, or the last one with its age.

    Attributes:
        age: seconds since the result was made; 0 for a fresh one.
        cached: whether a scrape has been told the result before, or there is none of a probe.
        backoff: seconds for which the API will still not be called.
        cost_limited: whether the daily cost limit is what stops the probe.
        reason: whose probe it is, or why it is repeated: a name of `probe.result.SOURCES`; empty for the scrape's own.
    """

    result: ProbeResult
    age: float = 0.0
    cached: bool = False
    backoff: float = 0.0
    cost_limited: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of an organization or status API, already decoded.

    Attributes:
        body: the JSON object.
        date: Unix seconds of header `Date`, None when absent.
        request_id: header `x-request-id`, empty when absent.
    """

    body: Mapping[str, object]
    date: float | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Kind(StrEnum):
    """Prometheus metric types that the exporter uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UNKNOWN = "unknown"


class Page(StrEnum):
    """The HTTP path that exposes a metric."""

    PROBE = "/probe"
    USAGE = "/usage"
    STATUS = "/status"
    METRICS = "/metrics"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the contract.

    Attributes:
        name: full name as exposed (counters end in `_total`).
        kind: its Prometheus type; unknown is what is neither of the others.
        page: the path that exposes it.
        help: one sentence; names the API field it comes from, and any caching.
        labels: label names in the order of the values.
        buckets: upper bounds in the metric's unit, histograms only.
    """

    name: str
    kind: Kind
    page: Page
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

# SPDX-License-Identifier: Apache-2.0
"""The record of one HTTP exchange: its stamps, what was sent, what came back, how it failed, the TLS peer."""

import hashlib
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any

from openai_exporter.config.secret import MASK
from openai_exporter.model import Chunk, Phases, TlsPeer

# What the server of a TLS connection showed of itself, read once per connection and outside of what is timed.

Decoded = dict[str, Any]
"""A certificate as `SSLSocket.getpeercert()` gives it."""

_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
"""OpenSSL's names to blackbox_exporter's."""
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "serialNumber": "SERIALNUMBER",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "postalCode": "POSTALCODE",
}
"""Attribute names of RFC 2253, as blackbox_exporter (Go) writes them."""
_ESCAPED = str.maketrans({character: f"\\{character}" for character in ',+"\\<>;'})


class Peer:
    """The server at the other end of one connection; reads it when it is asked for first."""

    __slots__ = ("_connection", "_facts")

    def __init__(self, connection: ssl.SSLObject) -> None:
        self._connection = connection
        self._facts: TlsPeer | None = None

    def facts(self) -> TlsPeer:
        """What the handshake showed."""
        if self._facts is None:
            self._facts = _read(self._connection)
        return self._facts


def _read(connection: ssl.SSLObject) -> TlsPeer:
    leaf: Decoded = connection.getpeercert() or {}
    cipher = connection.cipher()
    return TlsPeer(
        version=_VERSIONS.get(connection.version() or "", "unknown"),
        cipher=cipher[0] if cipher else "",
        earliest_expiry=_earliest([leaf, *_chain(connection, "get_unverified_chain")]),
        chain_expiry=_earliest(_chain(connection, "get_verified_chain")),
        fingerprint=hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest(),
        subject=_name(leaf.get("subject", ())),
        issuer=_name(leaf.get("issuer", ())),
        alternatives=",".join(value for kind, value in leaf.get("subjectAltName", ()) if kind == "DNS"),
        serial=str(leaf.get("serialNumber", "")).lower(),
    )


def _chain(connection: ssl.SSLObject, which: str) -> list[Decoded]:
    """The certificates of a chain; none where the interpreter does not tell.

    Python 3.13 has these methods on the object itself, but yields bare DER there, of which the standard library
    cannot read the dates; the C object below has had them since 3.10, decoded.
    """
    method: Callable[[], list[Any] | None] | None = getattr(getattr(connection, "_sslobj", None), which, None)
    try:
        return [each.get_info() for each in (method() or ())] if method else []
    except (AttributeError, ssl.SSLError, ValueError):
        return []


def _earliest(certificates: Iterable[Decoded]) -> float | None:
    ends = [text for each in certificates if isinstance(text := each.get("notAfter"), str)]
    return min((float(ssl.cert_time_to_seconds(text)) for text in ends), default=None)


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as RFC 2253 writes it: the most specific part first."""
    found = [
        "+".join(f"{_SHORT.get(kind, kind)}={value.translate(_ESCAPED)}" for kind, value in part)
        for part in parts
    ]
    return ",".join(reversed(found))


# The record of one HTTP exchange: its stamps, what was sent, what came back, and how it failed.

SECRET_HEADERS = frozenset({"authorization", "api-key", "proxy-authorization", "cookie", "set-cookie"})


class Step(StrEnum):
    """Where an exchange is, in order."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    PROCESSING = "processing"
    TRANSFER = "transfer"


class FailureKind(StrEnum):
    """How an exchange failed."""

    DNS = "dns"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange ended early; `step` is where it was."""

    kind: FailureKind
    step: Step
    message: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A request; `headers` as sent, so mask them (see `shown_headers`) before they are shown."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One finished exchange; of a failed one, what there was until then.

    Attributes:
        request: what was sent, its secret headers masked.
        duration: seconds from the start of the request to the last byte, or to the failure.
        reused: whether the connection was warm.
        retries: how often a warm connection turned out to be closed when the request reached it, so that the
            request was sent again on a new one; `duration` holds the whole time, `phases.connect` what was lost.
        address: `ip:port` that was connected to, the proxy's when there is one.
        status: 0 when no complete head came.
        body: content-decoded.
        chunks: arrivals of the body, times since the start, sizes of the decoded body.
        size: bytes of the body as received.
        tls: what the server showed, None without TLS.
    """

    request: Sent
    duration: float
    phases: Phases = field(default_factory=Phases)
    reused: bool = False
    retries: int = 0
    address: str = ""
    proxy: str = ""
    status: int = 0
    http_version: float | None = None
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    body: bytes = field(repr=False, default=b"")
    chunks: tuple[Chunk, ...] = field(repr=False, default=())
    size: int = 0
    tls: TlsPeer | None = None
    failure: Failure | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class WireError(Exception):
    """An exchange that did not end with a whole answer.

    Attributes:
        exchange: the partial record; its `failure` is set.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        super().__init__(exchange.failure.message if exchange.failure else "failed")


class StepError(Exception):
    """Raised inside the wire when a step fails; the pool turns it into a `WireError`."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Trace:
    """The running stamps of one exchange, in monotonic seconds; its steps follow each other without a gap.

    Attributes:
        step: where the exchange is; setting it renames the step that runs, see `enter` to begin the next.
        to_proxy: whether what runs is the way to the proxy, so that its failure is none of the API's.
    """

    __slots__ = (
        "_entered", "_spent", "_stopped", "address", "began", "peer", "proxy", "retries", "reused", "step", "to_proxy",
    )  # fmt: skip

    def __init__(self) -> None:
        self.retries = 0
        self.reused = False
        self.to_proxy = False
        self.proxy = ""
        self.address = ""
        self.peer: Peer | None = None
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self.began = self._entered = monotonic()
        self._spent: dict[Step, float] = {}
        self._stopped = False
        self.step = Step.RESOLVE

    def stop(self) -> None:
        """Stay in the step that runs, whatever comes: the deadline has passed."""
        self._stopped = True

    def enter(self, step: Step) -> None:
        """End the step that runs and begin the next, at the same moment."""
        if self._stopped:
            return
        now = monotonic()
        self._spent[self.step] = self._spent.get(self.step, 0.0) + now - self._entered
        self._entered = now
        self.step = step

    def retry(self) -> None:
        """Begin again on a new connection; what the stale one cost counts as connecting."""
        self.step = Step.CONNECT
        self.enter(Step.RESOLVE)
        self.retries += 1
        self.reused = False
        self.address = ""
        self.peer = None

    def phases(self, first_at: float | None, ended: float) -> Phases:
        """The phases of an exchange that ended at `ended`; together they are its whole duration.

        Args:
            first_at: when the answer began, None when it did not.
            ended: when the exchange ended.
        """
        spent = dict(self._spent)
        answered = first_at is not None and self.step is Step.PROCESSING
        left = first_at if first_at is not None and answered else ended
        spent[self.step] = spent.get(self.step, 0.0) + max(left - self._entered, 0.0)
        return Phases(
            resolve=spent.get(Step.RESOLVE, 0.0),
            connect=spent.get(Step.CONNECT, 0.0) + spent.get(Step.PROXY, 0.0),
            tls=spent.get(Step.TLS, 0.0),
            processing=spent.get(Step.PROCESSING, 0.0),
            transfer=max(ended - left, 0.0),
        )


def shown_headers(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Headers with the values of credentials replaced by a mask."""
    return tuple((name, MASK if name.lower() in SECRET_HEADERS else value) for name, value in headers)


# What is asked of an API, before any client has shaped it.

Files = Mapping[str, tuple[str, bytes, str]]
"""Form fields that are files: (name, content, media type)."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call.

    Attributes:
        path: below the target's base URL.
        body: JSON object, or form fields beside `files`.
        headers: more headers; credentials are none of them.
    """

    method: str
    path: str
    body: Mapping[str, object] | None = None
    files: Files = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

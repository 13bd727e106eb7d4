# SPDX-License-Identifier: Apache-2.0
"""The record of one HTTP exchange, and what the status, headers and error object of its answer mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING

from openai_exporter.model import Chunk, Phases, TlsPeer

if TYPE_CHECKING:
    from openai_exporter.client.network import Peer

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
    """A request; `headers` as sent, so mask them (see `SECRET_HEADERS`) before they are shown."""

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
        began: when the clock started: at the first step, on a warm connection right before the request is written.
        step: where the exchange is; setting it renames the step that runs, see `enter` to begin the next.
        to_proxy: whether what runs is the way to the proxy, so that its failure is none of the API's.

    Args:
        deadline: no step begins after it.
    """

    def __init__(self, deadline: float = float("inf")) -> None:
        self._deadline = deadline
        self._spent: dict[Step, float] = {}
        self.began = self._entered = monotonic()
        self.step = Step.RESOLVE
        self.retries = 0
        self.reused = False
        self.to_proxy = False
        self.proxy = ""
        self.address = ""
        self.peer: Peer | None = None

    def enter(self, step: Step) -> None:
        """End the step that runs and begin the next, at the same moment."""
        now = monotonic()
        if now >= self._deadline:
            return
        if self.reused and step is Step.PROCESSING:
            self.began = now
        else:
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
        """The phases of an exchange; together they are its whole duration.

        Args:
            first_at: when the answer began, None when it did not.
            ended: when the exchange ended.
        """
        spent = dict(self._spent)
        left = first_at if first_at is not None and self.step is Step.PROCESSING else ended
        spent[self.step] = spent.get(self.step, 0.0) + max(left - self._entered, 0.0)
        return Phases(
            resolve=spent.get(Step.RESOLVE, 0.0),
            connect=spent.get(Step.CONNECT, 0.0) + spent.get(Step.PROXY, 0.0),
            tls=spent.get(Step.TLS, 0.0),
            processing=spent.get(Step.PROCESSING, 0.0),
            transfer=max(ended - left, 0.0),
        )


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


# What every reader of an API's answer shares: dates, waits, error objects, what a status means.

LONGEST_WAIT = 86_400.0
"""Seconds; an API that asks for more is taken to ask for this."""

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")

STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("auth", "auth"),
    402: ("bad_request", "quota_exhausted"),
    403: ("permission", "permission"),
    404: ("not_found", "not_found"),
    407: ("bad_request", "proxy"),
    408: ("timeout", "timeout_total"),
    409: ("bad_request", "server_error"),
    429: ("rate_limited", "rate_limited"),
    501: ("server_error", "bad_request"),  # a server started without what was asked for, such as embeddings
    503: ("server_error", "overloaded"),
    529: ("server_error", "overloaded"),
}
"""HTTP status to the value of label `reason` and to the outcome of a probe."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """The error object of an answer or of a stream's event; empty strings for what is absent."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""

    @classmethod
    def read(cls, members: Mapping[str, object]) -> "ApiError":
        """The error object with these members."""
        return cls(*(_word(members.get(name)) for name in ("code", "type", "message", "param")))


def error_object(document: object) -> ApiError | None:
    """The error object of a decoded answer: OpenAI's `error`, a bare string, or vLLM's flat form; None without."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if error is None and document.get("object") == "error":
        error = document
    if isinstance(error, str) and error:
        return ApiError(message=error)
    return ApiError.read(error) if isinstance(error, dict) and error else None


def status_reason(status: int) -> str:
    """The value of label `reason` for an answer whose status is not the expected one."""
    return _status_meaning(status)[0]


def status_outcome(status: int) -> str:
    """The outcome of a probe for an answer whose status is not the expected one."""
    return _status_meaning(status)[1]


def http_date(text: str) -> float | None:
    """Unix seconds of an HTTP date; None for a text that is not one. A date without time zone is in UTC."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the API asks to wait; None when it does not say.

    Args:
        headers: of the answer, by lower-case name.
        now: Unix seconds; counts for an HTTP date when the answer has no date of its own.
    """
    milliseconds, text = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        seconds = float(milliseconds) / 1000.0
    elif _NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        until = http_date(text) if text else None
        if until is None:
            return None
        sent = http_date(headers.get("date", ""))
        seconds = until - (now if sent is None else sent)
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _status_meaning(status: int) -> tuple[str, str]:
    if status in STATUSES:
        return STATUSES[status]
    by_class = {3: "redirect", 4: "bad_request"}.get(status // 100, "malformed")
    word = "server_error" if status >= 500 else by_class
    return word, word


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, dict | list) else str(value)

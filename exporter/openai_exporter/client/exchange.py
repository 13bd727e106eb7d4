# SPDX-License-Identifier: Apache-2.0
"""The record of one HTTP exchange, and what the status, headers and error of its answer say."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from time import monotonic
from types import MappingProxyType
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
    CONNECTION_RESET = "connection_reset"
    TRUNCATED = "truncated"
    RESPONSE_TOO_LARGE = "response_too_large"
    MALFORMED = "malformed"
    REQUEST = "request"
    BUSY = "exporter_busy"


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

_NUMBER = re.compile(r"[0-9]{1,24}(?:\.[0-9]{0,18})?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ms|us|µs|μs|ns|h|m|s)"
_DURATION = re.compile(rf"(?:{_PART})+")
_LEAST_EPOCH = 1e9
"""A number from here on is a time (of 2001 and later), below a span of time."""
LONGEST_RESET = 366 * 86_400.0
"""Seconds; no limit runs for longer, so what says so has another clock."""
_LATEST = 3600.0
"""Seconds; a time that is over for longer is not that of a limit in force."""

STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("auth", "auth"),
    402: ("bad_request", "quota_exhausted"),
    403: ("permission", "permission"),
    404: ("not_found", "not_found"),
    407: ("bad_request", "proxy"),
    408: ("timeout", "timeout_total"),
    409: ("bad_request", "server_error"),
    410: ("not_found", "not_found"),
    424: ("server_error", "server_error"),  # the generation failed behind the API
    429: ("rate_limited", "rate_limited"),
    498: ("server_error", "overloaded"),  # no capacity in a flexible tier
    499: ("server_error", "server_error"),  # a gateway whose own call was cancelled
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


# The error of an answer, by shape. The first name that a document has counts.

_CODES = ("code", "error_code", "errorCode", "errorcode", "Code", "status_code", "statusCode")
_TYPES = ("type", "error_type", "reason", "status", "__type")
_TEXTS = (
    "title", "error", "message", "msg", "Message", "detail", "error_message", "error_msg", "status_msg", "faultstring",
    "raw",
)  # fmt: skip
_HOLDERS = ("error", "errors", "Error", "message", "detail", "fault", "base_resp", "metadata", "Response", "response")
_EVENT_FIELDS = re.compile(rb"\s*(?:(?:event|id|retry)?:[^\n]*\n)*data:([^\n]*)")
_TITLE = re.compile(rb"(?is)<title[^>]*>(.*?)</title>")
_HTML = re.compile(rb"(?i)\s*<(?:!doctype html|html)")
_LONGEST_TEXT = 300


def error_object(document: object, *, refused: bool = False) -> ApiError | None:
    """The error that a decoded answer states; None without.

    Args:
        refused: the status says that there is one, so whatever holds words is it; else only what is called an error.
    """
    if refused:
        return _read_error(document)
    if isinstance(document, list):
        return next(filter(None, map(error_object, document)), None)
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    named = "error" in (document.get("object"), document.get("type")) or document.get("success") is False
    stated = any(error) if isinstance(error, list) else error and isinstance(error, str | dict)
    told = document.get("base_resp")  # MiniMax
    failed = isinstance(told, dict) and told.get("status_code") not in (0, None)
    return _read_error(document) or ApiError() if named or stated or failed or error is True else None


def refusal(body: bytes) -> tuple[ApiError, bool]:
    """The error of a refusal's body, in whatever form, and whether the body calls it an error as OpenAI's does."""
    match = _EVENT_FIELDS.match(body)  # a refusal in the form of the stream that was asked for
    try:
        document = json.loads(match[1] if match else body)
    except (ValueError, RecursionError):
        if _HTML.match(body):
            title = _TITLE.search(body[:65_536])
            body = title[1] if title else b""
        return ApiError(message=_start(body)), False
    stated = error_object(document)
    error = stated or error_object(document, refused=True) or ApiError()
    if not (stated or error.message) and document:  # a form that nobody knows yet: its words all the same
        error = replace(error, message=_start(body))
    return error, stated is not None


def _start(body: bytes) -> str:
    return " ".join(body[:4096].decode("utf-8", "replace").split())[:_LONGEST_TEXT]


def _read_error(value: object, depth: int = 5) -> ApiError | None:
    """What a part of a document says of an error: of itself, then of the first part in it that says something."""
    if isinstance(value, list):
        errors = list(filter(None, (_read_error(each, depth - 1) for each in value[:3]))) if depth else []
        return replace(errors[0], message="; ".join(_distinct(each.message for each in errors))) if errors else None
    if not isinstance(value, dict):
        text = _word(value).strip()
        return None if not text or isinstance(value, bool) else ApiError(message=text)
    held = [value[name] for name in _HOLDERS if isinstance(value.get(name), dict | list)] if depth else []
    inner = next(filter(None, (_read_error(each, depth - 1) for each in held)), None) or ApiError()
    texts = [each for name in _TEXTS if isinstance(each := value.get(name), str)]
    if isinstance(loc := value.get("loc"), list):  # FastAPI: where in the request
        texts.insert(0, ".".join(map(str, loc)))
    kinds = [each for name in _TYPES if isinstance(each := value.get(name), str)]
    error = ApiError(
        code=inner.code or next(filter(None, (_word(value.get(name)) for name in _CODES)), ""),
        type=inner.type or next((kind for kind in kinds if kind != "error" and not kind.isdecimal()), ""),
        message=": ".join(_distinct([*texts, inner.message])),
        param=inner.param or _word(value.get("param")),
    )
    return error if error != ApiError() else None


def _distinct(texts: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(filter(None, map(str.strip, texts)))


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
        now: Unix seconds; counts for a time when the answer has no date of its own.
    """
    milliseconds, text = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "")
    if _NUMBER.fullmatch(milliseconds):
        seconds: float | None = float(milliseconds) / 1000.0
    else:
        seconds = seconds_until(text, now, headers)
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def seconds_until(text: str, now: float, headers: Mapping[str, str] = MappingProxyType({})) -> float | None:
    """Seconds of a wait in any clock: a number of them, a Go duration (`6m0s`, `12ms`), Unix seconds or smaller units,
    an HTTP date or an ISO time. None for anything else, and for a time that is long over.
    """
    text = text.strip()
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds < _LEAST_EPOCH:
            return seconds
        while seconds >= 1000 * _LEAST_EPOCH:  # milliseconds, microseconds, nanoseconds
            seconds /= 1000
        until: float | None = seconds
    elif len(text) <= 64 and _DURATION.fullmatch(text):
        return math.fsum([float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text)])
    else:
        until = unix_time(text)
        if until is None:
            until = http_date(text)
    if until is None:
        return None
    sent = http_date(headers.get("date", ""))
    left = until - (now if sent is None else sent)
    return max(left, 0.0) if left >= -_LATEST else None


def iso_time(text: str) -> float:
    """Unix seconds of an ISO date or date-time, in UTC without a zone; raises ValueError or OverflowError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def unix_time(value: object) -> float | None:
    """Unix seconds of an ISO date or date-time, in UTC without a zone, or of a number of them; None for no time."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = iso_time(text)
        except (ValueError, OverflowError):
            value = float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _LEAST_EPOCH <= value < 1e15:
        return None
    return value / 1000 if value >= 1000 * _LEAST_EPOCH else float(value)


def _status_meaning(status: int) -> tuple[str, str]:
    if status in STATUSES:
        return STATUSES[status]
    by_class = {3: "redirect", 4: "bad_request"}.get(status // 100, "malformed")
    word = "server_error" if status >= 500 else by_class
    return word, word


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""

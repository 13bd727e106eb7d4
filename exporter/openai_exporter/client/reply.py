# SPDX-License-Identifier: Apache-2.0
"""What every reader of an API's answer shares: bounded bodies, dates, waits, error objects, what a status means."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from openai_exporter.errors import UpstreamError

if TYPE_CHECKING:
    import requests

Params = Sequence[tuple[str, str]]
"""Query parameters of a call to an organization or status API."""

_CHUNK = 65_536


class Reply:
    """An answer of an organization or status API whose body is still to be read.

    Attributes:
        status: HTTP status.
        headers: as received, names in lower case.
        date: Unix seconds of header Date, None when absent or unreadable.
    """

    def __init__(self, response: "requests.Response", api: str) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.date = http_date(self.headers.get("date", ""))
        self._response = response
        self._api = api

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, content-encoding undone; cut by the deadline of the call."""
        raw = self._response.raw
        while data := raw.read1(_CHUNK, decode_content=True):
            yield data

    def body(self, most: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: it is larger than `most` bytes.
        """
        pieces, size = [], 0
        for piece in self.chunks():
            size += len(piece)
            if size > most:
                raise self.error(f"the answer is larger than {most >> 20} MiB", "too_large")
            pieces.append(piece)
        return b"".join(pieces)

    def json_object(self, most: int) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises:
            UpstreamError: it is larger than `most` bytes, not JSON, or not an object.
        """
        body = self.body(most)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise self.error(f"the answer is not JSON ({kind}, {len(body)} bytes)", "malformed") from None
        if not isinstance(document, dict):
            message = f"the answer is a JSON {type(document).__name__}, expected an object"
            raise self.error(message, "malformed")
        return document

    def error(self, message: str, reason: str, kind: type[UpstreamError] = UpstreamError, **more: Any) -> UpstreamError:
        """The failure of a call that was answered with this; `more` of what the exception carries."""
        request_id = self.headers.get("x-request-id")
        return kind(message, api=self._api, reason=reason, status=self.status, request_id=request_id, **more)


LONGEST_WAIT = 86_400.0
"""Seconds; an API that asks for more is taken to ask for this."""

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")

STATUSES: Mapping[int, tuple[str, str]] = {
    401: ("auth", "auth"),
    402: ("bad_request", "quota_exhausted"),
    403: ("permission", "permission"),
    404: ("not_found", "not_found"),
    407: ("proxy", "proxy"),
    408: ("timeout", "timeout_total"),
    409: ("server_error", "server_error"),
    429: ("rate_limited", "rate_limited"),
    501: ("bad_request", "bad_request"),  # a server started without what was asked for, such as embeddings
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
        until, sent = http_date(text), http_date(headers.get("date", ""))
        if until is None:
            return None
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

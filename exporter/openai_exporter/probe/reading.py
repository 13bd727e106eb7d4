# SPDX-License-Identifier: Apache-2.0
"""What an endpoint reads out of an answer: JSON of a foreign server, and rate-limit headers, without trusting them."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from openai_exporter.client.trace import ApiCall, Exchange
from openai_exporter.config.prices import Price
from openai_exporter.config.probing import Module
from openai_exporter.model import ModelCard, Provider, RateLimit, StreamTiming, Tokens

# What an endpoint reads out of an answer, and how it takes JSON of a foreign server apart without trusting it.

MAX_COUNT = 2**53


@dataclass(frozen=True, slots=True)
class ApiError:
    """The error object of an answer or of a stream's event; empty strings for what is absent."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one probe is about; `prices` are those of the configuration."""

    module: Module
    provider: Provider
    model: str
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says.

    Attributes:
        text: visible text, None when the endpoint has none.
        filtered: the provider's content filter cut in.
        error: the error object of an answer whose status is a success.
        problem: (outcome, message) when the answer is not what the endpoint documents.
    """

    text: str | None = None
    filtered: bool = False
    tokens: Tokens | None = None
    served_model: str = ""
    service_tier: str = ""
    finish: str = ""
    vector_length: int | None = None
    models: tuple[ModelCard, ...] = ()
    stream: StreamTiming | None = None
    error: ApiError | None = None
    problem: tuple[str, str] | None = None


class ReplyError(Exception):
    """An answer that cannot be read; `outcome` is a name of the taxonomy."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Method:
    """How one endpoint is probed.

    Attributes:
        build: the call to make.
        read: what a success status' answer says, also of one that broke off; raises ReplyError.
    """

    build: Callable[[Setting], ApiCall]
    read: Callable[[Exchange, Setting], Reading]


def read_reply(method: Method, exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says; what cannot be read becomes the reading's problem."""
    try:
        return method.read(exchange, setting)
    except ReplyError as error:
        return Reading(problem=(error.outcome, str(error)))


def with_problem(reading: Reading, outcome: str, message: str) -> Reading:
    """The reading with a problem, unless it has one."""
    return reading if reading.problem else replace(reading, problem=(outcome, message))


def load_json(data: bytes | str) -> Any:
    """Decode JSON.

    Raises:
        ReplyError: `malformed`.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        words = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ReplyError("malformed", f"the answer is not valid JSON: {words}") from None


def load_object(exchange: Exchange) -> Mapping[str, Any]:
    """The body as a JSON object with something in it.

    Raises:
        ReplyError: `empty`, `malformed` or `wrong_shape`.
    """
    if not exchange.body.strip():
        raise ReplyError("empty", "the answer has no content")
    found = load_json(exchange.body)
    if found in (None, {}, []):
        raise ReplyError("empty", "the answer is an empty JSON value")
    if not isinstance(found, dict):
        raise ReplyError("wrong_shape", f"the answer is {kind(found)}, not an object")
    return found


def child(parent: Mapping[str, Any], name: str, expected: type) -> Any:
    """A member that must be there with this JSON type.

    Raises:
        ReplyError: `wrong_shape`.
    """
    value = parent.get(name)
    if not isinstance(value, expected):
        raise ReplyError("wrong_shape", f"field {name} is {kind(value)}, not {_NAMES[expected]}")
    return value


def text_of(parent: Mapping[str, Any], name: str) -> str:
    """A string member; empty when it is absent or something else."""
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def mapping_of(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object member; empty when it is absent or something else."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def count_of(parent: Mapping[str, Any], name: str) -> int | None:
    """A count of zero or more; None when it is absent or something else."""
    value = parent.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_COUNT:
        return None
    return value


def error_of(document: object) -> ApiError | None:
    """The error object of a decoded answer: OpenAI's `error`, a bare string, or vLLM's flat form; None without."""
    if not isinstance(document, dict):
        return None
    found = document.get("error")
    if found is None and document.get("object") == "error":
        found = document
    if isinstance(found, str) and found:
        return ApiError(message=found)
    if not isinstance(found, dict) or not found:
        return None
    return _error(found)


def named_error(name: str, document: Mapping[str, Any]) -> ApiError | None:
    """The error of a stream's event that is named `error` but has no member of that name; None for other events."""
    if name != "error":
        return None
    return _error(document)


def _error(found: Mapping[str, Any]) -> ApiError:
    return ApiError(*(_word(found.get(name)) for name in ("code", "type", "message", "param")))


def joined(content: object) -> object:
    """The text of a content that is a list of parts; anything else as it is."""
    if not isinstance(content, list):
        return content
    return "".join(text_of(part, "text") for part in content if isinstance(part, dict))


def usage_of(document: Mapping[str, Any], names: tuple[str, str], details: tuple[str, str]) -> Tokens | None:
    """Token counts of member `usage`; `names` are those of input and output, `details` of their parts."""
    usage = mapping_of(document, "usage")
    given, made = count_of(usage, names[0]), count_of(usage, names[1])
    if given is None and made is None:
        return None
    cached = count_of(mapping_of(usage, details[0]), "cached_tokens") or 0
    reasoning = count_of(mapping_of(usage, details[1]), "reasoning_tokens") or 0
    given, made = given or 0, made or 0
    return Tokens(given, made, min(cached, given), min(reasoning, made))


def kind(value: object) -> str:
    """The JSON name of a value's type."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "absent" if value is None else _NAMES.get(type(value), "unknown")


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, dict | list) else str(value)


_NAMES: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}

# Rate-limit headers of an answer, in the spellings of OpenAI, Azure and compatible servers.

LIMIT_TYPES = {"requests": "requests", "tokens": "tokens", "project_tokens": "project-tokens"}
"""Value of label limit_type to the end of the header's name."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ms|us|µs|μs|ns|h|m|s)"
_DURATION = re.compile(rf"(?:{_PART})+")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_MOST = 10 * 365 * 86_400.0


def rate_limits(headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """The limits that the answer tells of; `headers` by lower-case name. Unreadable values count as absent."""
    found = (_one(name, end, headers) for name, end in LIMIT_TYPES.items())
    return tuple(limit for limit in found if limit is not None)


def _one(limit_type: str, end: str, headers: Mapping[str, str]) -> RateLimit | None:
    limit = parse_count(headers.get(f"x-ratelimit-limit-{end}"))
    remaining = parse_count(headers.get(f"x-ratelimit-remaining-{end}"))
    reset = parse_seconds(headers.get(f"x-ratelimit-reset-{end}"))
    if limit is None and remaining is None and reset is None:
        return None
    return RateLimit(limit_type, limit, remaining, reset)


def parse_count(text: str | None) -> float | None:
    """A count of zero or more; None for what is absent, "None", negative (Azure sends -1) or no number."""
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def parse_seconds(text: str | None) -> float | None:
    """Seconds of a Go duration (`6m0s`, `12ms`) or, as Azure sends it, of a plain number of seconds."""
    text = (text or "").strip()
    if _NUMBER.fullmatch(text):
        return min(float(text), _MOST)
    if len(text) > 64 or not _DURATION.fullmatch(text):
        return None
    seconds = math.fsum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text))
    return min(seconds, _MOST)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the API asks to wait: retry-after-ms, else Retry-After as seconds or HTTP date; None without."""
    milliseconds = parse_count(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000.0, _MOST)
    text = (headers.get("retry-after") or "").strip()
    seconds = parse_count(text)
    if seconds is not None:
        return min(seconds, _MOST)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(moment - now, 0.0), _MOST)


def processing_seconds(headers: Mapping[str, str]) -> float | None:
    """The API's own processing time (openai-processing-ms; LiteLLM passes it on under another name)."""
    text = headers.get("openai-processing-ms") or headers.get("llm_provider-openai-processing-ms")
    milliseconds = parse_count(text)
    return None if milliseconds is None else min(milliseconds / 1000.0, _MOST)


REQUEST_ID_HEADERS = (
    "x-request-id",
    "apim-request-id",
    "x-ms-client-request-id",
    "x-litellm-call-id",
    "cf-ray",
)
"""Where servers put the id that their support asks for, the best first."""


def request_id(headers: Mapping[str, str]) -> str:
    """The answer's request id, empty without one; not yet cleaned."""
    return next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), "")

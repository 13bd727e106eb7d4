# SPDX-License-Identifier: Apache-2.0
"""Rate-limit headers of an answer, in the spellings of OpenAI, Azure and compatible servers."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from openai_exporter.model import RateLimit

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

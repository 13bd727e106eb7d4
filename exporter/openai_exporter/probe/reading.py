# SPDX-License-Identifier: Apache-2.0
"""What an endpoint reads out of an answer: JSON of a foreign server, and rate-limit headers, without trusting them."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openai_exporter.client.reply import ApiError, retry_after
from openai_exporter.config.sections import Module, Price
from openai_exporter.model import ModelCard, Provider, RateLimit, StreamTiming, Tokens

MAX_COUNT = 2**53


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


# JSON of a foreign server.


def load_json(data: bytes | str) -> Any:
    """Decode JSON.

    Raises:
        ReplyError: `malformed`.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None


def malformed(error: ValueError | RecursionError) -> ReplyError:
    """What `json.loads` raised, as an outcome."""
    reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
    return ReplyError("malformed", f"the answer is not valid JSON: {reason}")


def load_object(body: bytes) -> Mapping[str, Any]:
    """A body as a JSON object with something in it.

    Raises:
        ReplyError: `empty`, `malformed` or `wrong_shape`.
    """
    if not body.strip():
        raise ReplyError("empty", "the answer has no content")
    document = load_json(body)
    if document in (None, {}, []):
        raise ReplyError("empty", "the answer is an empty JSON value")
    if not isinstance(document, dict):
        raise ReplyError("wrong_shape", f"the answer is {kind(document)}, not an object")
    return document


def child(parent: Mapping[str, Any], name: str, expected: type) -> Any:
    """A member that must be there with this JSON type.

    Raises:
        ReplyError: `wrong_shape`.
    """
    value = parent.get(name)
    if not isinstance(value, expected):
        raise ReplyError("wrong_shape", f"field {name} is {kind(value)}, not {_NAMES[expected]}")
    return value


def first_of(document: Mapping[str, Any], name: str, nothing: str) -> Mapping[str, Any]:
    """The first object of an array that must have one; `nothing` says what an empty array lacks.

    Raises:
        ReplyError: `empty` or `wrong_shape`.
    """
    items = child(document, name, list)
    if not items:
        raise ReplyError("empty", nothing)
    if not isinstance(items[0], dict):
        raise ReplyError("wrong_shape", f"{name}[0] is {kind(items[0])}, not an object")
    first: Mapping[str, Any] = items[0]
    return first


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


def usage_of(document: Mapping[str, Any], sent: str, made: str) -> Tokens | None:
    """Token counts of member `usage`; `sent` and `made` are the API's words, such as `prompt` and `completion`."""
    usage = mapping_of(document, "usage")
    prompt, output = count_of(usage, f"{sent}_tokens"), count_of(usage, f"{made}_tokens")
    if prompt is None and output is None:
        return None
    cached = count_of(mapping_of(usage, f"{sent}_tokens_details"), "cached_tokens") or 0
    reasoning = count_of(mapping_of(usage, f"{made}_tokens_details"), "reasoning_tokens") or 0
    prompt, output = prompt or 0, output or 0
    return Tokens(prompt, output, min(cached, prompt), min(reasoning, output))


def kind(value: object) -> str:
    """The JSON name of a value's type."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "absent" if value is None else _NAMES.get(type(value), "unknown")


_NAMES: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}

# Headers, in the spellings of OpenAI, Azure and compatible servers.

LIMIT_TYPES = {"requests": "requests", "tokens": "tokens", "project_tokens": "project-tokens"}
"""Value of label limit_type to the end of the header's name."""
REQUEST_IDS = ("x-request-id", "apim-request-id", "x-ms-client-request-id", "x-litellm-call-id", "cf-ray")
"""Where servers put the id that their support asks for, the best first."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ms|us|µs|μs|ns|h|m|s)"
_DURATION = re.compile(rf"(?:{_PART})+")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_MOST = 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of an answer say; unreadable values count as absent.

    Attributes:
        request_id: empty without one; not yet cleaned.
        server_processing: the API's own processing time in seconds.
        retry_after: seconds that the API asks to wait.
        simulated: whether the answer says that it comes from a simulator.
    """

    request_id: str = ""
    server_processing: float | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    retry_after: float | None = None
    simulated: bool = False


def read_headers(pairs: Iterable[tuple[str, str]], now: float) -> Headers:
    """Read headers with lower-case names; of a repeated one the first counts. `now` in Unix seconds."""
    headers = dict(reversed(tuple(pairs)))
    # LiteLLM passes OpenAI's header on under another name.
    took = headers.get("openai-processing-ms") or headers.get("llm_provider-openai-processing-ms")
    milliseconds = parse_count(took)
    limits = []
    for limit_type, end in LIMIT_TYPES.items():
        limit = parse_count(headers.get(f"x-ratelimit-limit-{end}"))
        remaining = parse_count(headers.get(f"x-ratelimit-remaining-{end}"))
        reset = parse_seconds(headers.get(f"x-ratelimit-reset-{end}"))
        if (limit, remaining, reset) != (None, None, None):
            limits.append(RateLimit(limit_type, limit, remaining, reset))
    return Headers(
        request_id=next(filter(None, map(headers.get, REQUEST_IDS)), None) or "",
        server_processing=None if milliseconds is None else min(milliseconds / 1000.0, _MOST),
        rate_limits=tuple(limits),
        retry_after=retry_after(headers, now),
        simulated=headers.get("x-simulated") == "true",
    )


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
    return min(math.fsum([float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text)]), _MOST)

# SPDX-License-Identifier: Apache-2.0
"""Faults at run time: their kinds and parameters, decoded strictly, and which are active."""

import random
import re
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openai_simulator.errors import QUOTA_CODES

Seconds = Annotated[float, Field(ge=0, le=86_400)]
When = Literal["before_headers", "mid_body"]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]


class Fault(BaseModel):
    """What every fault has: where it strikes, how often, how long (real seconds; null: until deleted).

    `path` is an exact path, a prefix of whole segments, or a glob with `*`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(default="", max_length=0)
    kind: str
    path: str = Field(default="*", min_length=1, max_length=200)
    model: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    seconds: float | None = Field(default=None, gt=0)


class Latency(Fault):
    """A wait before the answer; `in_processing: false` hides it from openai-processing-ms."""

    delay_seconds: Seconds = 1.0
    jitter_seconds: Seconds = 0.0
    in_processing: bool = True


class FirstTokenLatency(Fault):
    """A stream that starts, then waits before its first visible token."""

    delay_seconds: Seconds = 1.0


class Status(Fault):
    """An error reply; what is not given comes from the documented table for that status."""

    status: ErrorStatus = 500
    code: str | None = None
    type: str | None = None
    message: str | None = None
    param: str | None = None
    retry_after: Seconds | None = None
    headers: dict[str, str] = Field(default_factory=dict)


class InsufficientQuota(Fault):
    """A quota or spend limit that is exhausted."""

    code: Literal[QUOTA_CODES] = "insufficient_quota"  # type: ignore[valid-type]
    status: Literal[400, 429] = 429


class RateLimit(Fault):
    """429 with Retry-After (null: without)."""

    retry_after: Seconds | None = 1.0
    code: Literal["rate_limit_exceeded", "slow_down"] = "rate_limit_exceeded"
    limit: Literal["requests", "tokens"] = "requests"


class Drip(Fault):
    """The reply arrives a few bytes at a time; `part: headers` slows the head as well."""

    interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    bytes: Annotated[int, Field(ge=1, le=65_536)] = 1
    part: Literal["body", "headers"] = "body"


class Hang(Fault):
    """Silence until the client leaves (or for `hold_seconds`, after which the reply continues)."""

    when: When = "before_headers"
    after_bytes: Annotated[int, Field(ge=0)] | None = None
    hold_seconds: Seconds | None = None


class Reset(Fault):
    """A TCP reset; mid-body after `after_bytes` (null: half of a plain body, the third piece of a stream)."""

    when: When = "before_headers"
    after_bytes: Annotated[int, Field(ge=0)] | None = None


class Truncate(Fault):
    """The connection is closed mid-body, without a reset."""

    after_bytes: Annotated[int, Field(ge=0)] | None = None


class MalformedJson(Fault):
    """A complete reply whose JSON (of a stream: each event after the first) is broken."""


class Html(Fault):
    """An edge's HTML page instead of the API's reply."""

    status: Annotated[int, Field(ge=200, le=599)] = 502


class WrongTypes(Fault):
    """JSON whose values have other types than described; `fields` limits it to members of those names."""

    fields: list[str] | None = None


class MissingFields(Fault):
    """JSON without the members of those names, such as `has_more`, `results` or `amount`."""

    fields: list[str] = ["has_more"]


class Empty(Fault):
    """Status 200 and no content, or an empty JSON value."""

    content: Literal["nothing", "object", "array", "null"] = "nothing"


class StreamError(Fault):
    """A stream that ends in an error event; `shape: failed` ends a Responses stream with response.failed."""

    after_tokens: Annotated[int, Field(ge=0)] = 1
    code: str | None = "server_error"
    type: str = "server_error"
    message: str = "The server had an error while processing the request."
    shape: Literal["error", "failed"] = "error"


class NoUsage(Fault):
    """A reply without its usage."""


class ReasoningOnly(Fault):
    """All output tokens go to reasoning; no visible text, cut off by the limit."""


class Huge(Fault):
    """A body padded to at least `bytes` bytes."""

    bytes: Annotated[int, Field(ge=1, le=1 << 31)] = 64 << 20


class MissingHeaders(Fault):
    """Headers omitted: those named, or (null) all that are the API's own."""

    names: list[str] | None = None


class OddDate(Fault):
    """A header Date that is `offset_seconds` away from the simulated time."""

    offset_seconds: Annotated[float, Field(ge=-(10**9), le=10**9)] = 40 * 86_400.0


class ShortPages(Fault):
    """Pages of usage or costs with at most `buckets` buckets, whatever limit was asked for."""

    buckets: Annotated[int, Field(ge=1, le=168)] = 3


class RepeatedBuckets(Fault):
    """Each page after the first shows the buckets of the page before; `where: page` gives a bucket twice in a page."""

    where: Literal["next_page", "page"] = "next_page"


class LostBuckets(Fault):
    """The bucket that holds the time `seconds_ago` (simulated; null: every bucket) is omitted, or has no results."""

    seconds_ago: Annotated[float, Field(ge=0)] | None = None
    shape: Literal["absent", "empty"] = "absent"


class NullLabels(Fault):
    """Usage or costs whose labels of those names are null."""

    names: list[str] = ["project_id", "api_key_id"]


class PageLoop(Fault):
    """A page cursor of the organization API that never ends: `next_page` leads back to the same page."""


class LateBuckets(Fault):
    """Usage that becomes visible `by_seconds` (simulated) later than usual; `width`: in buckets of that width only."""

    by_seconds: Annotated[float, Field(gt=0)] = 3600.0
    width: Literal["1m", "1h", "1d"] | None = None


class ReviseDown(Fault):
    """Closed usage buckets shrink to `factor` of their values; with `running`, those of the running hour too.

    With a `probability`, answers differ as those of replicas do.
    """

    factor: Annotated[float, Field(ge=0, lt=1)] = 0.5
    running: bool = False


class Outage(Fault):
    """All of `scope` fails the same way; `api` is inference and organization, `all` the status page too."""

    mode: Literal["503", "reset", "hang"] = "503"
    scope: Literal["all", "api", "inference", "organization"] = "all"


KINDS: dict[str, type[Fault]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(): cls for cls in Fault.__subclasses__()
}
"""The kinds by their names, such as `stream_error` for `StreamError`."""

F = TypeVar("F", bound=Fault)
API_PREFIXES = ("/v1", "/openai")
ORGANIZATION_PREFIX = "/v1/organization"


class InvalidFaultError(ValueError):
    """A fault's description is wrong; the message names what is allowed."""


class Faults:
    """The active faults. `probability` draws from `rng`; `seconds` runs on `monotonic` (real time)."""

    def __init__(self, rng: random.Random | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rng = rng or random.Random(0)
        self._monotonic = monotonic
        self._faults: dict[str, tuple[Fault, float | None]] = {}
        self._added = 0

    def add(self, description: Mapping[str, Any]) -> str:
        """Activate a fault and return its id; raises InvalidFaultError."""
        fault = decode(description)
        self._added += 1
        fault_id = f"fault_{self._added}"
        until = None if fault.seconds is None else self._monotonic() + fault.seconds
        self._faults[fault_id] = (fault.model_copy(update={"id": fault_id}), until)
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """End one fault; False when there is none of that id."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> int:
        """End all faults and return how many there were."""
        count = len(self.all())
        self._faults.clear()
        return count

    def all(self) -> list[Fault]:
        """The active faults, oldest first."""
        if not self._faults:
            return []
        now = self._monotonic()
        over = [key for key, (_, until) in self._faults.items() if until is not None and until <= now]
        for key in over:
            del self._faults[key]
        return [fault for fault, _ in self._faults.values()]

    def matching(self, path: str) -> list[Fault]:
        """The active faults whose path matches, before models and probabilities."""
        return [fault for fault in self.all() if path_matches(fault, path)]

    def struck(self, path: str, model: str | None) -> list[Fault]:
        """The faults that strike one request: path and model match, and the probability was drawn."""
        return [fault for fault in self.matching(path) if model_matches(fault, model) and self.strikes(fault)]

    def strikes(self, fault: Fault) -> bool:
        """Draw the fault's probability."""
        return fault.probability >= 1 or self._rng.random() < fault.probability

    def first(self, path: str, cls: type[F]) -> F | None:
        """The newest fault of a kind that strikes `path` now, or None; for kinds that an endpoint implements."""
        newest_first = (fault for fault in reversed(self.matching(path)) if isinstance(fault, cls))
        return next((fault for fault in newest_first if self.strikes(fault)), None)


def path_matches(fault: Fault, path: str) -> bool:
    """Whether the fault is for `path`: the same, a prefix of whole segments, or a glob; and in its scope."""
    if not in_scope(getattr(fault, "scope", "all"), path):
        return False
    pattern = fault.path
    if "*" in pattern:
        return fnmatchcase(path, pattern)
    return path == pattern or path.startswith(pattern.rstrip("/") + "/")


def in_scope(scope: str, path: str) -> bool:
    """Whether an outage of `scope` takes in `path`."""
    if scope == "all":
        return True
    if scope == "organization":
        return path.startswith(ORGANIZATION_PREFIX)
    api = path.startswith(API_PREFIXES)
    return api if scope == "api" else api and not path.startswith(ORGANIZATION_PREFIX)


def model_matches(fault: Fault, model: str | None) -> bool:
    """Whether the fault is for all models, or for this one (a glob is allowed)."""
    return fault.model is None or (model is not None and fnmatchcase(model, fault.model))


def decode(description: Mapping[str, Any]) -> Fault:
    """A fault from its JSON object; raises InvalidFaultError naming the place and what is allowed."""
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidFaultError(f"kind: {kind!r} is not a kind of fault; allowed: {', '.join(sorted(KINDS))}")
    allowed = [name for name in KINDS[kind].model_fields if name != "id"]
    unknown = [name for name in description if name not in allowed]
    if unknown:
        named = ", ".join(map(repr, unknown))
        raise InvalidFaultError(f"{kind}: {named} not known; allowed: {', '.join(allowed)}")
    try:
        return KINDS[kind].model_validate(dict(description))
    except ValidationError as error:
        raise InvalidFaultError("; ".join(_problem(kind, detail) for detail in error.errors())) from error


def _problem(kind: str, detail: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    return f"{kind}.{place}: {detail['msg']}, got {detail['input']!r}"

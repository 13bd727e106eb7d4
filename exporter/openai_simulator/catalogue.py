# SPDX-License-Identifier: Apache-2.0
"""What is served and when: the simulated time, the models of 2026-11 with their real dates, and their rate limits."""

import datetime
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from openai_simulator.errors import ApiError, model_not_found

# Time: what `created`, usage buckets and `Date` go by. Waiting is always done in real time.


class SimClock:
    """A clock of unix seconds (UTC) that can be set, moved on and sped up.

    `start` is the simulated time at creation (None: the present); `speed` is simulated seconds per
    real second, 0 stands still. `monotonic` is the real clock, injected for tests.
    """

    def __init__(
        self, start: float | None = None, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._speed = _checked_speed(speed)
        self._origin = time.time() if start is None else float(start)
        self._mark = monotonic()

    def now(self) -> float:
        """Simulated unix seconds."""
        return self._origin + (self._monotonic() - self._mark) * self._speed

    def set(self, unix: float) -> None:
        """Jump to `unix` seconds, forwards or backwards."""
        self._origin = float(unix)
        self._mark = self._monotonic()

    def advance(self, seconds: float) -> None:
        """Jump by `seconds` (negative goes back)."""
        self.set(self.now() + seconds)

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        checked = _checked_speed(speed)
        self.set(self.now())
        self._speed = checked


def _checked_speed(speed: float) -> float:
    if not 0 <= speed < float("inf"):
        raise ValueError(f"speed must be a finite number of at least 0, got {speed}")
    return float(speed)


def parse_time(value: object) -> float:
    """Unix seconds from a number or an ISO 8601 string (UTC unless it says otherwise).

    Raises:
        TypeError, ValueError: it is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    parsed = datetime.datetime.fromisoformat(value)  # type: ignore[arg-type]
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()


# The models as of 2026-11: dates, limits, latency.

Kind = Literal["chat", "embedding", "moderation", "transcription", "speech", "image"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How long a model takes, in real seconds before scaling.

    `first_token` until the first output token, `per_token` for each further one, `processing` for a
    reply without tokens; `jitter` is the relative spread of each.
    """

    first_token: float
    per_token: float
    processing: float
    jitter: float = 0.25


@dataclass(frozen=True, slots=True)
class Model:
    """One model id. `snapshot` is the dated id that serves it; limits are per minute."""

    id: str
    snapshot: str
    kind: Kind
    created: int
    shutdown_date: str | None
    profile: Profile
    requests_per_minute: int
    tokens_per_minute: int
    reasoning: bool = False
    default_effort: str | None = None
    efforts: tuple[str, ...] = ()
    cache_writes: bool = False
    dimensions: int = 0

    def described(self) -> dict[str, Any]:
        """The model object of /v1/models."""
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "system",
            "shutdown_date": self.shutdown_date,
        }


_SMALL = Profile(0.12, 0.004, 0.05)
_MIDDLE = Profile(0.25, 0.008, 0.08)
_LARGE = Profile(0.45, 0.014, 0.12)
_EMBED = Profile(0.04, 0.0, 0.04)
_AUDIO = Profile(0.3, 0.0, 0.3)
_IMAGE = Profile(1.5, 0.0, 1.5)

_ALL = ("none", "low", "medium", "high", "xhigh")
_GPT5 = ("minimal", "low", "medium", "high")
_NO_NONE = ("low", "medium", "high", "xhigh")
_O = ("low", "medium", "high")

# alias, snapshot, created, shutdown, profile, requests and tokens per minute, efforts, default effort
_CHAT: tuple[tuple[str, str, str, str | None, Profile, int, int, tuple[str, ...], str | None], ...] = (
    ("gpt-6-luna", "", "2026-09-15", None, _SMALL, 30_000, 150_000_000, _ALL, "medium"),
    ("gpt-6-sol", "", "2026-09-15", None, _MIDDLE, 10_000, 30_000_000, _ALL, "medium"),
    ("gpt-6-astra", "", "2026-09-15", None, _LARGE, 5_000, 4_000_000, _NO_NONE, "medium"),
    ("gpt-6.1-terra", "", "2026-10-20", None, _SMALL, 10_000, 40_000_000, _ALL, "medium"),
    ("gpt-6.1-sol", "", "2026-10-20", None, _MIDDLE, 10_000, 30_000_000, _NO_NONE, "medium"),
    ("gpt-5.6-luna", "", "2026-06-30", None, _SMALL, 10_000, 40_000_000, _ALL, "medium"),
    ("gpt-5.6-sol", "", "2026-06-30", None, _MIDDLE, 10_000, 30_000_000, _ALL, "medium"),
    ("gpt-5.6-terra", "", "2026-06-30", None, _MIDDLE, 10_000, 30_000_000, _ALL, "medium"),
    ("gpt-5.5", "2026-04-23", "2026-04-23", None, _LARGE, 10_000, 30_000_000, _ALL, "medium"),
    ("gpt-5.4", "2026-03-05", "2026-03-05", None, _MIDDLE, 10_000, 40_000_000, _ALL, "none"),
    ("gpt-5.4-mini", "2026-03-17", "2026-03-17", None, _SMALL, 30_000, 180_000_000, _ALL, "none"),
    ("gpt-5.4-nano", "2026-03-17", "2026-03-17", "2027-04-01", _SMALL, 30_000, 180_000_000, _ALL, "none"),
    ("gpt-5.2", "2025-12-11", "2025-12-11", None, _MIDDLE, 10_000, 40_000_000, _ALL, "none"),
    ("gpt-5.1", "2025-11-13", "2025-11-13", "2027-04-01", _MIDDLE, 10_000, 40_000_000, _ALL, "none"),
    ("gpt-5", "2025-08-07", "2025-08-05", "2026-12-11", _MIDDLE, 10_000, 40_000_000, _GPT5, "medium"),
    ("gpt-5-mini", "2025-08-07", "2025-08-05", "2026-12-11", _SMALL, 30_000, 180_000_000, _GPT5, "medium"),
    ("gpt-5-nano", "2025-08-07", "2025-08-05", "2026-12-11", _SMALL, 30_000, 180_000_000, _GPT5, "medium"),
    ("o3", "2025-04-16", "2025-04-09", "2026-12-11", _LARGE, 10_000, 30_000_000, _O, "medium"),
    ("gpt-4.1", "2025-04-14", "2025-04-10", "2027-01-14", _MIDDLE, 10_000, 30_000_000, (), None),
    ("gpt-4.1-mini", "2025-04-14", "2025-04-10", "2027-01-14", _SMALL, 30_000, 150_000_000, (), None),
    ("gpt-4o", "2024-08-06", "2024-05-10", "2027-01-14", _MIDDLE, 10_000, 30_000_000, (), None),
    ("gpt-4o-mini", "2024-07-18", "2024-07-16", "2027-01-14", _SMALL, 30_000, 150_000_000, (), None),
    ("gpt-4.1-nano", "2025-04-14", "2025-04-10", "2026-10-23", _SMALL, 30_000, 150_000_000, (), None),
    ("o4-mini", "2025-04-16", "2025-04-08", "2026-10-23", _SMALL, 30_000, 150_000_000, _O, "medium"),
    ("gpt-3.5-turbo", "0125", "2023-02-28", "2026-10-23", _SMALL, 10_000, 50_000_000, (), None),
)

_OMNI = "omni-moderation-2024-09-26"
# id, snapshot id, kind, created, shutdown, profile, requests and tokens per minute, embedding dimensions
_OTHER: tuple[tuple[str, str, Kind, str, str | None, Profile, int, int, int], ...] = (
    ("text-embedding-3-small", "", "embedding", "2024-01-22", None, _EMBED, 10_000, 10_000_000, 1536),
    ("text-embedding-3-large", "", "embedding", "2024-01-22", None, _EMBED, 10_000, 10_000_000, 3072),
    ("text-embedding-ada-002", "", "embedding", "2022-12-16", None, _EMBED, 10_000, 10_000_000, 1536),
    ("omni-moderation-latest", _OMNI, "moderation", "2024-11-15", None, _EMBED, 5_000, 500_000, 0),
    ("gpt-transcribe", "", "transcription", "2026-08-26", None, _AUDIO, 10_000, 8_000_000, 0),
    ("gpt-4o-transcribe", "", "transcription", "2025-03-15", "2027-02-26", _AUDIO, 10_000, 6_000_000, 0),
    ("gpt-4o-mini-transcribe", "", "transcription", "2025-03-15", "2027-02-26", _AUDIO, 10_000, 8_000_000, 0),
    ("whisper-1", "", "transcription", "2023-02-27", "2027-02-26", _AUDIO, 10_000, 8_000_000, 0),
    ("gpt-4o-mini-tts", "", "speech", "2025-03-19", "2027-01-06", _AUDIO, 10_000, 8_000_000, 0),
    ("tts-1", "", "speech", "2023-04-19", "2027-01-06", _AUDIO, 10_000, 8_000_000, 0),
    ("tts-1-hd", "", "speech", "2023-11-03", "2027-01-06", _AUDIO, 10_000, 8_000_000, 0),
    ("gpt-image-2", "gpt-image-2-2026-04-21", "image", "2026-04-21", None, _IMAGE, 250, 8_000_000, 0),
    ("gpt-image-1.5", "", "image", "2025-12-16", "2026-12-01", _IMAGE, 250, 8_000_000, 0),
    ("gpt-image-1-mini", "", "image", "2025-10-06", "2026-12-01", _IMAGE, 250, 8_000_000, 0),
)


def _unix(date: str) -> int:
    return int(datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.UTC).timestamp())


def _build() -> Iterator[Model]:
    for name, dated, created, ends, profile, rpm, tpm, efforts, effort in _CHAT:
        snapshot = f"{name}-{dated}" if dated else name
        for model_id in dict.fromkeys((name, snapshot)):
            yield Model(
                model_id, snapshot, "chat", _unix(created), ends, profile, rpm, tpm,
                reasoning=bool(efforts), default_effort=effort, efforts=efforts,
                cache_writes=name.startswith(("gpt-5.6", "gpt-6")),
            )  # fmt: skip
    for name, dated, kind, created, ends, profile, rpm, tpm, dimensions in _OTHER:
        for model_id in dict.fromkeys((name, dated or name)):
            yield Model(model_id, dated or name, kind, _unix(created), ends, profile, rpm, tpm, dimensions=dimensions)


MODELS: dict[str, Model] = {model.id: model for model in _build()}


class Catalogue:
    """The models that exist at the simulated time; one is gone from the start of its shutdown date (UTC)."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        dated = ((model.id, model.shutdown_date) for model in MODELS.values())
        self._ends = {model_id: _unix(date) for model_id, date in dated if date is not None}

    def exists(self, model_id: str) -> bool:
        """Whether the model is served now."""
        return model_id in MODELS and self._clock.now() < self._ends.get(model_id, float("inf"))

    def find(self, model_id: str) -> Model:
        """The model; raises the API's 404 model_not_found."""
        if not self.exists(model_id):
            raise model_not_found(model_id)
        return MODELS[model_id]

    def of_kind(self, model_id: str, kind: Kind, path: str) -> Model:
        """The model if it is of `kind`; raises the API's refusals."""
        model = self.find(model_id)
        if model.kind != kind:
            message = f"The model `{model_id}` is not a {kind} model and is not supported by {path}."
            raise ApiError(404, message, param="model")
        return model

    def listed(self) -> list[Model]:
        """All models that are served now."""
        return [model for model_id, model in MODELS.items() if self.exists(model_id)]


# Rate limits and their headers: token buckets per key and model, counted down and refilled in real time.

Header = tuple[bytes, bytes]
PROJECT_SHARE = 0.8  # of the model's token limit; the simulated projects all have such a token limit


class Bucket:
    """Holds at most `limit`, refilled with `limit` per minute."""

    __slots__ = ("_level", "_stamp", "limit")

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = float(limit)
        self._stamp = now

    def take(self, amount: float, now: float) -> bool:
        """Take `amount` if it is there."""
        refilled = self._level + (now - self._stamp) * self.limit / 60
        self._level = min(float(self.limit), refilled)
        self._stamp = now
        if amount > self._level:
            return False
        self._level -= amount
        return True

    @property
    def remaining(self) -> int:
        """Whole units left."""
        return int(self._level)

    @property
    def until_full(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.limit - self._level) * 60 / max(self.limit, 1)

    def until(self, amount: float) -> float:
        """Seconds until `amount` can be taken."""
        return max(0.0, min(amount, self.limit) - self._level) * 60 / self.limit if self.limit else 60.0


@dataclass(frozen=True, slots=True)
class Buckets:
    """The three buckets of one key and model, by the header's name for them."""

    requests: Bucket
    tokens: Bucket
    project_tokens: Bucket


class RateLimits:
    """All buckets: one set per key and model, or per project and model where the project's limits were set.

    `overrides` sets (requests, tokens) per minute for a model instead of the catalogue's.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str], Buckets] = {}
        self._projects: dict[tuple[str, str], tuple[int, int]] = {}
        self.overrides: dict[str, tuple[int, int]] = {}

    def buckets(self, key: str, model: Model, project_id: str = "") -> Buckets:
        """The buckets of this key, or of its project, and model."""
        limits = self._projects.get((project_id, model.snapshot))
        owner = (key if limits is None else project_id, model.snapshot)
        buckets = self._buckets.get(owner)
        if buckets is None:
            if limits is None:
                limits = self.overrides.get(model.id, (model.requests_per_minute, model.tokens_per_minute))
            requests, tokens = limits
            now = self._monotonic()
            project = max(1, int(tokens * PROJECT_SHARE)) if owner[0] == key else tokens
            self._buckets[owner] = buckets = Buckets(Bucket(requests, now), Bucket(tokens, now), Bucket(project, now))
        return buckets

    def take(self, key: str, model: Model, tokens: int, project_id: str = "") -> Buckets:
        """Count one request of `tokens`; raises the API's 429. A refused one counts as a request all the same."""
        buckets, now = self.buckets(key, model, project_id), self._monotonic()
        for bucket, amount, name in (
            (buckets.requests, 1, "requests"),
            (buckets.tokens, tokens, "tokens"),
            (buckets.project_tokens, tokens, "tokens"),
        ):
            if not bucket.take(amount, now):
                raise refused(model.id, name, bucket.until(amount), bucket.limit)
        return buckets

    def limit(self, model: str, requests: int, tokens: int) -> None:
        """Set the limits per minute of a model; its buckets start afresh."""
        self.overrides[model] = (requests, tokens)
        self._buckets.clear()

    def limit_project(self, project_id: str, model: Model, requests: int, tokens: int) -> None:
        """Set a project's limits per minute for a model and its snapshots."""
        self._projects[project_id, model.snapshot] = (requests, tokens)
        self._buckets.pop((project_id, model.snapshot), None)


def refused(model: str, name: str, wait: float, limit: int) -> ApiError:
    """429 for a limit of `name` (requests or tokens)."""
    message = f"Rate limit reached for {model} on {name} per min: limit {limit}."
    message += f" Try again in {go_duration(wait)}."
    headers = {"retry-after": str(max(1, math.ceil(wait)))}
    return ApiError(429, message, type=name, code="rate_limit_exceeded", headers=headers)


def openai_headers(buckets: Buckets) -> list[Header]:
    """The nine x-ratelimit-* headers, resets as Go durations."""
    project = ("project-tokens", buckets.project_tokens)
    return _headers(go_duration, ("requests", buckets.requests), ("tokens", buckets.tokens), project)


def azure_headers(buckets: Buckets) -> list[Header]:
    """Azure's habit: requests and tokens only, resets in whole seconds."""

    def whole(seconds: float) -> str:
        return str(math.ceil(seconds))

    return _headers(whole, ("requests", buckets.requests), ("tokens", buckets.tokens))


def _headers(duration: Callable[[float], str], *buckets: tuple[str, Bucket]) -> list[Header]:
    headers = []
    for name, bucket in buckets:
        values = {"limit": bucket.limit, "remaining": bucket.remaining, "reset": duration(bucket.until_full)}
        headers += [(f"x-ratelimit-{what}-{name}".encode(), str(value).encode()) for what, value in values.items()]
    return headers


def go_duration(seconds: float) -> str:
    """Seconds as Go prints a duration, to milliseconds: `0s`, `12ms`, `8.64s`, `6m0s`, `23h47m36.648s`."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = re.sub(r"\.?0+$", "", f"{rest / 1000:.3f}") or "0"
    head = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "")
    return f"{head}{text}s"

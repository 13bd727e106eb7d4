# SPDX-License-Identifier: Apache-2.0
"""Rate limits and their headers: token buckets per key and model, counted down and refilled in real time."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from openai_simulator.catalogue import Model
from openai_simulator.errors import ApiError

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
        return (self.limit - self._level) * 60 / self.limit

    def until(self, amount: float) -> float:
        """Seconds until `amount` can be taken."""
        return max(0.0, min(amount, self.limit) - self._level) * 60 / self.limit


@dataclass(frozen=True, slots=True)
class Buckets:
    """The three buckets of one key and model, by the header's name for them."""

    requests: Bucket
    tokens: Bucket
    project_tokens: Bucket


class RateLimits:
    """All buckets. `overrides` sets (requests, tokens) per minute for a model instead of the catalogue's."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str], Buckets] = {}
        self.overrides: dict[str, tuple[int, int]] = {}

    def buckets(self, key: str, model: Model) -> Buckets:
        """The buckets of this key and model."""
        buckets = self._buckets.get((key, model.snapshot))
        if buckets is None:
            limits = (model.requests_per_minute, model.tokens_per_minute)
            requests, tokens = self.overrides.get(model.id, limits)
            now = self._monotonic()
            project = max(1, int(tokens * PROJECT_SHARE))
            buckets = Buckets(Bucket(requests, now), Bucket(tokens, now), Bucket(project, now))
            self._buckets[key, model.snapshot] = buckets
        return buckets

    def take(self, key: str, model: Model, tokens: int) -> Buckets:
        """Count one request of `tokens`; raises the API's 429. A refused one counts as a request all the same."""
        buckets, now = self.buckets(key, model), self._monotonic()
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

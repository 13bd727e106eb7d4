# SPDX-License-Identifier: Apache-2.0
"""Made-up probes: who they are, how long they take, and how they fail. Knows no metric."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tests.dashboards.data.timeline import DAY, Timeline

OWN = {"job": "openai", "instance": "exporter:9985"}
DEADLINE = 14.5
_FAILURES = ("server_error", "overloaded", "timeout_first_token", "rate_limited_tokens", "connection_reset")


@dataclass(frozen=True)
class Name:
    """What a probe is called, and the snapshot that serves its model."""

    target: str
    provider: str
    module: str
    endpoint: str
    model: str = ""
    served: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Target labels, as /sd gives them."""
        names = {"target": self.target, "provider": self.provider, "module": self.module}
        return {**OWN, **names, "endpoint": self.endpoint, "model": self.model}

    @property
    def identity(self) -> dict[str, str]:
        """Labels of what adds up over probes."""
        names = {"target": self.target, "module": self.module}
        return {**names, "endpoint": self.endpoint, "model": self.model}


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes:
        seconds: its usual duration.
        first_token: usual seconds to the first token, 0 without a stream.
        breaks: share that fail in an outage.
        fails: share that fail while all is well.
        tokens: input and output tokens.
    """

    name: Name
    seconds: float
    first_token: float = 0.0
    breaks: float = 0.0
    fails: float = 0.0006
    tokens: tuple[int, int] = (12, 16)


_LUNA = ("gpt-6-luna", "gpt-6-luna-2026-05-12")
_MINI = ("gpt-5.4-mini", "gpt-5.4-mini-2026-03-05")
PROBES = (
    Probe(Name("openai", "openai", "models", "models"), 0.22, tokens=(0, 0)),
    Probe(Name("openai", "openai", "chat_stream", "chat", *_LUNA), 0.9, 0.38, breaks=0.7),
    Probe(Name("openai", "openai", "chat_stream", "chat", *_MINI), 1.3, 0.52, breaks=0.45),
    Probe(Name("openai", "openai", "responses", "responses", *_LUNA), 1.1, breaks=0.6),
    Probe(Name("openai", "openai", "embeddings", "embeddings", "text-embedding-3-small"), 0.18, tokens=(6, 0)),
    Probe(Name("openai", "openai", "moderations", "moderations", "omni-moderation-latest"), 0.25, tokens=(0, 0)),
    Probe(Name("azure-eu", "azure", "chat_stream", "chat", *_MINI), 1.0, 0.41),
)


@dataclass(frozen=True)
class Run:
    """One probe over a timeline, with an outage from `outage` (Unix seconds) on."""

    probe: Probe
    timeline: Timeline
    outage: float

    def chance(self, t: int, what: str) -> float:
        """A number between 0 and 1, always the same for the same arguments."""
        return zlib.crc32(f"{self.probe.name.labels}/{what}/{t}".encode()) / 2**32

    @cached_property
    def outcomes(self) -> Sequence[str]:
        """The outcome of each sample."""
        found = []
        for t in self.timeline.times:
            share = self.probe.breaks if t >= self.outage else self.probe.fails
            failed = self.chance(t, "fails") < share
            found.append(_FAILURES[int(self.chance(t, "how") * len(_FAILURES))] if failed else "success")
        return found

    @cached_property
    def durations(self) -> Sequence[float]:
        """Seconds of each sample."""
        judged = zip(self.timeline.times, self.outcomes, strict=True)
        return [min(DEADLINE, self.probe.seconds * self._slowness(t, outcome)) for t, outcome in judged]

    def _slowness(self, t: int, outcome: str) -> float:
        spread = sum(self.chance(t, f"slow{n}") for n in range(4)) - 2.0
        daily = 1.0 + 0.25 * math.sin(t / DAY * 2 * math.pi) + 0.2 * self.chance(t // 1800, "half hour")
        stalled = 2.5 if self.chance(t, "stalls") < 0.01 else 1.0
        slower = 4.0 if t >= self.outage and self.probe.breaks else 1.0
        return daily * stalled * slower * math.exp(0.8 * spread) * (3.0 if outcome != "success" else 1.0)

    def where(self, values: Sequence[float], good: bool = True) -> list[float | None]:
        """The values of those samples whose probe was good."""
        return [
            value if (outcome == "success") is good else None
            for value, outcome in zip(values, self.outcomes, strict=True)
        ]

# SPDX-License-Identifier: Apache-2.0
"""What each probe last answered, and its recent course: the landing page's memory."""

from collections import deque
from dataclasses import dataclass, field

from openai_exporter.config import Config
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult

COURSE = 40
"""Points kept per probe for its small chart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One result in a chart."""

    at: float
    duration: float
    success: bool


@dataclass(slots=True)
class Track:
    """The last answer of a probe and its recent points, oldest first."""

    answer: ProbeAnswer
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=COURSE))


class Board:
    """One track per probe."""

    def __init__(self) -> None:
        self._tracks: dict[ProbeKey, Track] = {}

    def record(self, answer: ProbeAnswer) -> None:
        """Take in the answer of a scrape; an answer from the cache adds no point."""
        result = answer.result
        track = self._tracks.setdefault(result.key, Track(answer))
        track.answer = answer
        if not track.points or track.points[-1].at != result.started_at:
            track.points.append(_point(result))

    def track(self, key: ProbeKey) -> Track | None:
        """The track of a probe, None before its first answer."""
        return self._tracks.get(key)

    def keep(self, config: Config) -> None:
        """Forget probes that the configuration no longer has."""
        wanted = set(probe_keys(config))
        self._tracks = {key: track for key, track in self._tracks.items() if key in wanted}


def probe_keys(config: Config) -> list[ProbeKey]:
    """Every probe of a configuration, in its order; the model is empty for endpoint `models`."""
    return [
        ProbeKey(probe.target, probe.module, model)
        for probe in config.probes
        for model in probe.models or ("",)
    ]


def _point(result: ProbeResult) -> Point:
    return Point(result.started_at, result.duration, result.success)

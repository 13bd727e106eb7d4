# SPDX-License-Identifier: Apache-2.0
"""What is remembered of one probe between scrapes: its last result, its wait, the run in flight."""

import asyncio
from dataclasses import dataclass

from openai_exporter.config.probing import Module
from openai_exporter.model import ProbeAnswer, ProbeResult
from openai_exporter.probe.backoff import Draw, is_limited, wait_after

OUTDATED, OUTDATED_INTERVALS = 300.0, 3
"""Age in seconds, and in intervals of a module, from which on a probe that is not made has no result to repeat.

Five minutes are also how long Prometheus repeats the last sample of a series that is no longer scraped.
"""


@dataclass(slots=True)
class Running:
    """A probe in flight that scrapes may share."""

    deadline: float
    task: asyncio.Task[ProbeResult]


@dataclass(slots=True)
class ProbeState:
    """State of one probe key; all times are monotonic seconds.

    Attributes:
        last: the newest result and when it was finished.
        started: when the newest probe started, which `min_interval` counts from.
        until: when the API may be called again.
        strikes: waits in a row.
    """

    last: ProbeResult | None = None
    finished: float = 0.0
    started: float = float("-inf")
    until: float = 0.0
    strikes: int = 0
    running: Running | None = None

    def settle(self, result: ProbeResult, now: float, draw: Draw) -> None:
        """Take in a fresh result."""
        self.last, self.finished = result, now
        wait = wait_after(result, self.strikes, draw)
        self.strikes = self.strikes + 1 if wait > 0 or is_limited(result) else 0
        self.until = now + wait

    def resume(self, result: ProbeResult, age: float, wait: float, strikes: int, now: float) -> None:
        """Go on from before a restart: what was answered then, how long ago, and how long to wait still."""
        self.last, self.finished = result, now - age
        self.strikes, self.until = strikes, now + wait

    def backoff(self, now: float) -> float:
        """Seconds for which the API will still not be called."""
        return max(self.until - now, 0.0)

    def from_cache(self, module: Module, now: float) -> ProbeAnswer | None:
        """The last result, when the API is not to be called now; None when it is."""
        if self.last is None:
            return None
        if self.backoff(now) > 0:
            return self.cached("backoff", now)
        # A result of before an idle hour is no answer, even while a run that cannot be joined has just begun.
        fresh = now - self.finished < module.min_interval + module.timeout
        if fresh and now - self.started < module.min_interval:
            return self.cached("min_interval", now)
        return None

    def outdated(self, module: Module, now: float) -> bool:
        """Whether the last result is too old to stand for the present."""
        return now - self.finished > max(OUTDATED, OUTDATED_INTERVALS * module.min_interval)

    def cached(self, reason: str, now: float, *, cost_limited: bool = False) -> ProbeAnswer | None:
        """The last result with its age; None without any."""
        if self.last is None:
            return None
        age = max(now - self.finished, 0.0)
        return ProbeAnswer(self.last, age, True, self.backoff(now), cost_limited, reason)

    def joinable(self, deadline: float) -> asyncio.Task[ProbeResult] | None:
        """The run in flight, if it ends within `deadline`."""
        running = self.running
        if running is None or running.task.done() or running.deadline > deadline:
            return None
        return running.task

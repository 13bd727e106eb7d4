# SPDX-License-Identifier: Apache-2.0
"""When each part of a reply is due, from the model's latency profile, and exact waiting for it (real time)."""

import asyncio
from time import monotonic

from openai_exporter.simulator.faults.kinds import FirstTokenLatency
from openai_exporter.simulator.inference.generation import REASONING_SPEED
from openai_exporter.simulator.inference.prepare import Job

FIRST_EVENT = 0.5  # of the time to the first token: when a stream's headers and first event go out


class Pace:
    """Seconds after the start at which things are due; the seeded jitter is drawn once per request."""

    __slots__ = ("_first", "_per_token", "_reasoning", "_start", "processing")

    def __init__(self, job: Job, reasoning_tokens: int = 0) -> None:
        profile, rng = job.model.profile, job.world.rng
        settings = job.world.settings
        jitter = profile.jitter if settings.jitter is None else settings.jitter
        spread = settings.latency_scale * (1 + jitter * (2 * rng.random() - 1))
        self._start = monotonic()
        self._per_token = profile.per_token * spread
        self._first = profile.first_token * spread
        self._reasoning = reasoning_tokens * self._per_token * REASONING_SPEED
        self.processing = profile.processing * spread
        late = job.exchange.fault(FirstTokenLatency)
        if late is not None:
            self._reasoning += late.delay_seconds

    def first_event(self) -> float:
        """When a stream's first event is due."""
        return self._first * FIRST_EVENT

    def token(self, index: int) -> float:
        """When the visible token `index` (from 0) is due."""
        return self._first + self._reasoning + index * self._per_token

    async def until(self, offset: float) -> None:
        """Wait until `offset` seconds after the start; returns at once when that is past."""
        delay = self._start + offset - monotonic()
        if offset > 0 and delay > 0:
            await asyncio.sleep(delay)

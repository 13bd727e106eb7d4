# SPDX-License-Identifier: Apache-2.0
"""When each part of a reply is due, and the writing of an event stream."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openai_simulator.exchange import Exchange
from openai_simulator.faults import FirstTokenLatency
from openai_simulator.inference.generation import REASONING_SPEED
from openai_simulator.inference.prepare import Job

# When each part of a reply is due, from the model's latency profile, and exact waiting for it (real time).

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


# Writing an event stream: each step when it is due, each token's write noted for the journal.

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of a stream: when it is due (seconds after the start), its bytes, and whether it shows a token."""

    due: float
    data: bytes
    token: bool = False


class EventStream(Response):
    """A `text/event-stream` reply that sends `steps` in their own time."""

    media_type = "text/event-stream"

    def __init__(self, steps: Iterable[Step], pace: Pace, exchange: Exchange) -> None:
        super().__init__()
        self._steps = iter(steps)
        self._pace = pace
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; ends early when the client leaves."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        wire = self._exchange.wire
        started = False
        for step, last in with_last(self._steps):
            await self._pace.until(step.due)
            if wire.gone:
                return
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                started = True
            await send({"type": "http.response.body", "body": step.data, "more_body": not last})
            if step.token:
                self._exchange.token_written()


def with_last(steps: Iterator[Step]) -> Iterator[tuple[Step, bool]]:
    """Each step with whether it is the last one."""
    previous = next(steps, None)
    while previous is not None:
        following = next(steps, None)
        yield previous, following is None
        previous = following


def data_event(payload: Any) -> bytes:
    """An event with data only, as chat streams have them."""
    return b"data: " + compact(payload) + b"\n\n"


def named_event(payload: dict[str, Any]) -> bytes:
    """An event with its type as name, as Responses streams have them."""
    return f"event: {payload['type']}\n".encode() + b"data: " + compact(payload) + b"\n\n"


def compact(payload: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()

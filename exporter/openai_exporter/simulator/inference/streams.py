# SPDX-License-Identifier: Apache-2.0
"""Writing an event stream: each step when it is due, each token's write noted for the journal."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openai_exporter.simulator.exchange import Exchange
from openai_exporter.simulator.inference.pace import Pace

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

# SPDX-License-Identifier: Apache-2.0
"""The one place where faults act: delays, replaces, changes and cuts the replies of the whole application."""

import asyncio
import json
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_exporter.simulator.catalogue import MODELS
from openai_exporter.simulator.exchange import EXCHANGE_KEY, Exchange
from openai_exporter.simulator.faults.alter import altered
from openai_exporter.simulator.faults.deliver import (
    ConnectionEndedError,
    client_left,
    delivered,
    end,
    hang,
)
from openai_exporter.simulator.faults.kinds import (
    Fault,
    Hang,
    Html,
    LateBuckets,
    Latency,
    MissingHeaders,
    Outage,
    PageLoop,
    RateLimit,
    Reset,
    ReviseDown,
)
from openai_exporter.simulator.faults.replies import replacement
from openai_exporter.simulator.ratelimits import openai_headers
from openai_exporter.simulator.world import World

UNTOUCHED = "/_simulator"
BY_HANDLERS = (PageLoop, LateBuckets, ReviseDown)
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_MULTIPART_MODEL = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)')


class FaultMiddleware:
    """Draws which faults strike a request, then acts them out around the inner application."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        exchange: Exchange = scope[EXCHANGE_KEY]
        candidates = [] if exchange.path.startswith(UNTOUCHED) else self._world.faults.matching(exchange.path)
        if not candidates:
            await self._app(scope, receive, send)
            return
        body = receive  # gives the handler the request; `receive` itself tells when the client leaves
        if any(fault.model is not None or isinstance(fault, RateLimit | Hang) for fault in candidates):
            exchange.model, body = await peeked_model(scope, receive)
        exchange.struck = self._drawn(exchange)
        try:
            await self._act(exchange, scope, receive, body, send)
        except ConnectionEndedError:
            await client_left(receive)

    def _drawn(self, exchange: Exchange) -> list[Fault]:
        struck = self._world.faults.struck(exchange.path, exchange.model)
        return [fault for fault in struck if not isinstance(fault, BY_HANDLERS)]

    async def _act(
        self, exchange: Exchange, scope: Scope, receive: Receive, body: Receive, send: Send
    ) -> None:
        for fault in exchange.struck:
            await self._before(fault, exchange, receive)
        send = delivered(send, receive, exchange.wire, exchange.struck)
        send = altered(send, exchange.struck)
        reply = replacement(exchange.struck)
        if reply is None:
            await self._app(scope, body, send)
        else:
            self._headers_of_refusal(exchange)
            await reply(scope, body, send)

    async def _before(self, fault: Fault, exchange: Exchange, receive: Receive) -> None:
        """What a fault does before there is any reply."""
        match fault:
            case Latency():
                delay = fault.delay_seconds + self._world.rng.random() * fault.jitter_seconds
                exchange.not_processing += 0.0 if fault.in_processing else delay
                await asyncio.sleep(delay)
            case MissingHeaders():
                names = {name.lower() for name in fault.names or ()}
                exchange.stripped = (exchange.stripped or frozenset()) | names
            case Html():
                exchange.edge = True
            case Reset(when="before_headers") | Outage(mode="reset"):
                await end(exchange.wire.reset)
            case Hang(when="before_headers"):
                await hang(receive, fault.hold_seconds)
            case Outage(mode="hang"):
                await hang(receive, None)

    def _headers_of_refusal(self, exchange: Exchange) -> None:
        """A rate limit's reply shows the limit as used up."""
        fault = exchange.fault(RateLimit)
        model = MODELS.get(exchange.model or "")
        if fault is None or model is None:
            return
        used_up = b"x-ratelimit-remaining-" + fault.limit.encode()
        headers = openai_headers(self._world.rate_limits.buckets("", model))
        exchange.extra_headers = [(name, b"0" if name == used_up else value) for name, value in headers]


async def peeked_model(scope: Scope, receive: Receive) -> tuple[str | None, Receive]:
    """The model that a request is for, and a `receive` that gives the body again."""
    deployment = _DEPLOYMENT.match(scope["path"])
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return deployment[1] if deployment else model_in(bytes(body)), again


def model_in(body: bytes) -> str | None:
    """The `model` of a JSON or multipart body, if it has one."""
    if body.startswith(b"--"):
        found = _MULTIPART_MODEL.search(body)
        return found[1].decode(errors="replace") if found else None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None

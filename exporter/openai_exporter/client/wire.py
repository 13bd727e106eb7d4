# SPDX-License-Identifier: Apache-2.0
"""Puts our wire under httpx2, and so under the OpenAI SDK; imports httpx2, so import it late."""

from contextvars import ContextVar
from dataclasses import dataclass

import httpx2

from openai_exporter.client.trace import Exchange, Sent
from openai_exporter.client.wire_pool import Pool, Terms

# The wire has undone the coding and framing; cookies would make one probe depend on the one before.
_NOT_PASSED_ON = frozenset({"content-encoding", "transfer-encoding", "content-length", "set-cookie"})


@dataclass(slots=True)
class Slot:
    """How the running call is to be done, and its record once it is."""

    terms: Terms
    exchange: Exchange | None = None


SLOT: ContextVar[Slot] = ContextVar("slot")
"""The running call; set by whoever calls the SDK."""


class WireTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over a `Pool`; each call needs a `Slot`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Do one exchange, put its record into the slot, and hand the answer on.

        Raises:
            WireError: no whole answer came.
        """
        slot = SLOT.get()
        headers = tuple([(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers.raw])
        body = await request.aread()
        sent = Sent(request.method, str(request.url), headers, body)
        exchange = await self._pool.exchange(sent, slot.terms)
        slot.exchange = exchange
        passed_on = [(name, value) for name, value in exchange.headers if name not in _NOT_PASSED_ON]
        return httpx2.Response(exchange.status, headers=passed_on, content=exchange.body)

    async def aclose(self) -> None:
        """Close the pool's idle connections."""
        self._pool.close()

# SPDX-License-Identifier: Apache-2.0
"""Lets pieces of computing run one per pass of the event loop, so that sockets are read, and stamped, in between."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Without it, a hundred answers judged in one pass would delay the stamps of every other one by all of them."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running = False

    async def turn(self) -> None:
        """Wait for a pass of one's own; what follows up to the next await should take about a millisecond."""
        await self._enqueued(asyncio.get_running_loop())

    def call(self, piece: Callable[[], object]) -> None:
        """Call `piece` in a pass of its own."""
        self._enqueued(asyncio.get_running_loop()).add_done_callback(lambda _: piece())

    def _enqueued(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._running:
            self._running = True
            loop.call_soon(self._next, loop)
        return mine

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # a waiter may have been cancelled
                future.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._running = False

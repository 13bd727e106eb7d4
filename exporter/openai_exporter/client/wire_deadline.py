# SPDX-License-Identifier: Apache-2.0
"""Cuts an exchange at its deadline; many that end at the same moment are cut one per pass of the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from openai_exporter.client.turns import Turns


class Deadline:
    """The total deadline of one exchange.

    The moment it passes is what counts, and nothing that comes later does; the cut itself, which has a connection
    to close and a result to judge, takes its turn.

    Attributes:
        passed_at: monotonic seconds at which it was seen to have passed, None while it has not.

    Args:
        at: monotonic seconds.
        passed: called at the moment it passes.
    """

    def __init__(self, at: float, turns: Turns, passed: Callable[[], None]) -> None:
        self.passed_at: float | None = None
        self._at = at
        self._turns = turns
        self._passed = passed
        self._over = False

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Cut what runs in the block.

        Raises:
            TimeoutError: it was cut.
        """
        async with asyncio.timeout(None) as timeout:
            timer = asyncio.get_running_loop().call_at(self._at, self._pass, timeout)
            try:
                yield
            finally:
                timer.cancel()
                self._over = True

    def _pass(self, timeout: asyncio.Timeout) -> None:
        self.passed_at = monotonic()
        self._passed()
        self._turns.call(lambda: self._cut(timeout))

    def _cut(self, timeout: asyncio.Timeout) -> None:
        if not self._over:
            timeout.reschedule(self._at)

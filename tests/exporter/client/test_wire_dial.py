# SPDX-License-Identifier: Apache-2.0
"""Several addresses of one name: which one is taken, and when."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from openai_exporter.client.wire_dial import STAGGER, connect_any
from tests.exporter.attempts import at_best


@contextlib.contextmanager
def listening(backlog: int) -> Iterator[tuple[str, int]]:
    """An address that takes `backlog` connections and leaves all others waiting."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        address = listener.getsockname()
        if backlog == 0:
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
        yield address


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(free_port: Callable[[], int]) -> None:
    with listening(5) as address:

        async def attempt() -> float:
            began = monotonic()
            addresses = [(socket.AF_INET, ("127.0.0.1", free_port())), (socket.AF_INET, address)]
            with await connect_any(addresses) as found:
                assert address == found.getpeername()
            return monotonic() - began

        assert await at_best(attempt, lambda passed: passed < STAGGER) < STAGGER


async def test_an_address_that_is_silent_does_not_hold_up_the_next() -> None:
    with listening(0) as silent, listening(5) as address:

        async def attempt() -> float:
            began = monotonic()
            with await connect_any([(socket.AF_INET, silent), (socket.AF_INET, address)]) as found:
                assert address == found.getpeername()
            return monotonic() - began

        passed = await at_best(attempt, lambda passed: passed < STAGGER + 1)
        assert STAGGER * 0.9 <= passed < STAGGER + 1


async def test_the_last_refusal_is_told_when_no_address_answers(free_port: Callable[[], int]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_any([(socket.AF_INET, ("127.0.0.1", free_port())) for _ in range(2)])


async def test_giving_up_leaves_no_socket_behind() -> None:
    with listening(0) as silent, pytest.raises(TimeoutError):
        async with asyncio.timeout(STAGGER * 1.5):
            await connect_any([(socket.AF_INET, silent), (socket.AF_INET, silent)])

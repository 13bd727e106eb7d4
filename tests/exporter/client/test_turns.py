# SPDX-License-Identifier: Apache-2.0
"""One piece of computing per pass of the event loop."""

import asyncio

from openai_exporter.client.turns import Turns


async def test_two_pieces_never_run_in_the_same_pass() -> None:
    turns, passes, seen = Turns(), 0, []
    loop = asyncio.get_running_loop()

    def count() -> None:
        nonlocal passes
        passes += 1
        loop.call_soon(count)

    async def piece() -> None:
        await turns.turn()
        seen.append(passes)

    loop.call_soon(count)
    await asyncio.gather(*(piece() for _ in range(20)))
    assert len(set(seen)) == 20
    assert sorted(seen) == seen


async def test_a_waiter_that_was_cancelled_does_not_stop_the_others() -> None:
    turns = Turns()
    first = asyncio.create_task(turns.turn())
    second = asyncio.create_task(turns.turn())
    third = asyncio.create_task(turns.turn())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    await turns.turn()


async def test_calls_and_waiters_share_the_turns_in_order() -> None:
    turns, seen = Turns(), []

    async def wait() -> None:
        await turns.turn()
        seen.append("waiter")

    turns.call(lambda: seen.append("call"))
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    turns.call(lambda: seen.append("last"))
    await task
    await turns.turn()
    assert seen == ["call", "waiter", "last"]


async def test_a_call_that_fails_does_not_stop_the_others() -> None:
    turns = Turns()
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    turns.call(lambda: 1 / 0)
    await turns.turn()
    assert [type(each["exception"]) for each in failures] == [ZeroDivisionError]

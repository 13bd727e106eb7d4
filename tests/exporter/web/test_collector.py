# SPDX-License-Identifier: Apache-2.0
"""When cyclic garbage is collected."""

import asyncio
import gc

import pytest

from openai_exporter.web.collector import EVERY, MANY, Collector


@pytest.mark.parametrize(
    ("passed", "busy", "grown", "collects"),
    [
        (EVERY, False, 0, True),
        (EVERY - 1, False, 0, False),
        (1000 * EVERY, True, MANY - 1, False),
        (0, True, MANY, True),
    ],
    ids=["quiet and due", "quiet and too early", "busy however long", "busy and grown"],
)
def test_it_waits_for_a_quiet_moment_unless_memory_grows(
    passed: float, busy: bool, grown: int, collects: bool
) -> None:
    now, collected = 100.0, []
    collector = Collector(lambda: busy, lambda: collected.append(1), lambda: grown, lambda: now)
    now += passed
    assert collector.tick() is collects
    assert len(collected) == collects


def test_the_next_quiet_collection_counts_from_the_last() -> None:
    now = 0.0
    collector = Collector(lambda: False, lambda: None, lambda: 0, lambda: now)
    now = EVERY
    assert collector.tick()
    now += EVERY - 1
    assert not collector.tick()


async def test_the_interpreter_collects_again_once_it_ends() -> None:
    task = asyncio.create_task(Collector(lambda: False).run())
    await asyncio.sleep(0)
    assert not gc.isenabled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.isenabled()

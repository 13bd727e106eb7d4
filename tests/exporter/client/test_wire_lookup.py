# SPDX-License-Identifier: Apache-2.0
"""Names that hang, beside names that answer."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from openai_exporter.client.wire_lookup import MOST, Address, Lookups

from .exchanges import until

FOUND: Sequence[Address] = [(socket.AF_INET, ("192.0.2.1", 443))]


class Resolver:
    """Answers at once, but for names that begin with `hang`, which wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        if host.startswith("hang"):
            self.release.wait(60)
        if host.endswith("gone"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.release.set()


async def test_names_that_hang_delay_no_other_name(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    hanging = [asyncio.create_task(lookups.find(f"hang-{n}", 443)) for n in range(100)]
    await until(lambda: len(resolver.asked) == 100)
    assert await lookups.find("api", 443) == FOUND
    assert not any(each.done() for each in hanging)
    resolver.release.set()
    assert [FOUND] * 100 == await asyncio.gather(*hanging)


async def test_who_asks_for_a_name_that_is_being_looked_up_shares_the_answer(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang", 443)) for _ in range(50)]
    await until(lambda: resolver.asked == ["hang"])
    tasks[0].cancel()  # one that gives up takes nothing from the others
    await asyncio.sleep(0)
    resolver.release.set()
    assert [FOUND] * 49 == await asyncio.gather(*tasks[1:])
    assert resolver.asked == ["hang"]
    await lookups.find("hang", 443)
    assert resolver.asked == ["hang", "hang"], "an answer is not kept"


async def test_a_name_that_does_not_exist_is_told_to_all_who_asked(resolver: Resolver) -> None:
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang-gone", 443)) for _ in range(3)]
    await until(lambda: resolver.asked == ["hang-gone"])
    resolver.release.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [socket.gaierror] * 3 == [type(each) for each in found]


async def test_a_lookup_that_hangs_for_long_is_followed_by_a_bounded_number_of_others(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai_exporter.client.wire_lookup.PATIENCE", -1.0)
    lookups = Lookups(resolver)
    tasks = [asyncio.create_task(lookups.find("hang", 443)) for _ in range(50)]
    await until(lambda: len(resolver.asked) == MOST)
    resolver.release.set()
    await asyncio.gather(*tasks)
    assert len(resolver.asked) == MOST

# SPDX-License-Identifier: Apache-2.0
"""One simulator for the tests of this room; its clock stands still, its faults are cleared after each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.scraping import ALL, Now, service

Make = Callable[..., UsageService]

START = "2026-11-21T09:40:00Z"


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0, seed=7, clock=START, speed=0) as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    shared_simulator.clock(now=START)
    yield shared_simulator
    shared_simulator.clear()


@pytest.fixture
async def make(simulator: SimulatorControl, now: Now) -> AsyncIterator[Make]:
    """Makes services against the simulator; all are closed at the end."""
    made: list[UsageService] = []

    def build(**named: Any) -> UsageService:
        named.setdefault("more", ALL)
        made.append(service(simulator.api_url, now, **named))
        return made[-1]

    yield build
    for each in made:
        await each.close()


@pytest.fixture
def now() -> Now:
    return Now()

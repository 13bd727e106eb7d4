# SPDX-License-Identifier: Apache-2.0
"""A simulator whose clock stands still, an admin client of it, and small organizations without a server."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from openai_simulator.catalogue import SimClock
from openai_simulator.faults import Faults
from openai_simulator.organization.organization import Organization
from openai_simulator.organization.seed import OrganizationSize
from openai_simulator.testing import SimulatorControl, running_simulator

ADMIN = {"authorization": "Bearer sk-admin-test-0123456789"}
NOW = 1795251600  # 2026-11-21T09:00:00Z
DAY = 86_400
MONTH = 1793491200  # 2026-11-01T00:00:00Z
Get = Callable[..., Any]


def sized(projects: int = 5, keys: int = 14, users: int = 8, streams: int = 60) -> OrganizationSize:
    """The size of an organization, by default that of these tests."""
    return OrganizationSize(projects, keys, users, streams)


def sized_for(streams: int) -> OrganizationSize:
    """A size for load tests: as many keys, users and projects as `streams` usage streams need."""
    keys = max(14, -(-streams // 20))
    return sized(max(5, keys // 25), keys, max(8, keys // 3), streams)


@pytest.fixture(scope="session")
def still_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(
        seed=7, clock=NOW, speed=0, late_seconds=600, latency_scale=0, projects=5, keys=14, users=8
    ) as control:
        yield control


@pytest.fixture
def still(still_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    """The simulator at NOW, its clock standing still; what a test changes is put back."""
    yield still_simulator
    still_simulator.clear()
    still_simulator.clock(now=NOW)


@pytest.fixture
def admin(still: SimulatorControl) -> Iterator[httpx2.Client]:
    """A client with an admin key; paths are relative to /v1/organization."""
    with httpx2.Client(base_url=f"{still.api_url}/organization", headers=ADMIN, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
def get(admin: httpx2.Client) -> Get:
    """`get(path, name=value, ...)`: the JSON of a successful GET; lists repeat the parameter."""

    def read(path: str, /, **params: Any) -> Any:
        reply = admin.get(path, params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    return read


class Sandbox:
    """An organization without a server, with its clock and faults in hand."""

    def __init__(self, now: float = NOW, late: float = 600.0, seed: int = 7, **size: int) -> None:
        self.clock = SimClock(now, speed=0)
        self.faults = Faults()
        self.organization = Organization(
            clock=self.clock, seed=seed, faults=self.faults, size=sized(**size), amounts="string", late_seconds=late
        )


@pytest.fixture
def sandbox() -> type[Sandbox]:
    return Sandbox

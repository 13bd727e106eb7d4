# SPDX-License-Identifier: Apache-2.0
"""One simulator for all tests of this room that do not need their own; its faults are cleared after each test."""

from collections.abc import Iterator

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.simulator.conformance import Facts

KEY = {"authorization": "Bearer sk-test-0123456789"}


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0, seed=7, clock="2026-11-21T09:00:00Z") as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    yield shared_simulator
    shared_simulator.clear()


@pytest.fixture
def api(simulator: SimulatorControl) -> Iterator[httpx2.Client]:
    """A client with an API key; fresh connections, no proxies."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(base_url=simulator.base_url, headers=KEY, timeout=5, trust_env=False, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
def facts() -> Facts:
    return Facts()

# SPDX-License-Identifier: Apache-2.0
"""A simulator behind a proxy that loses, delays and forges answers; what is set there, before and after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.limits.proxy import Proxy
from tests.exporter.limits.world import NOW, World


@pytest.fixture(scope="session")
def limits_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(streams=8, latency_scale=0, late_seconds=0, seed=7, clock=NOW, speed=0) as control:
        yield control


@pytest.fixture(scope="session")
def limits_proxy(limits_simulator: SimulatorControl) -> Iterator[Proxy]:
    with Proxy.running(limits_simulator.base_url) as proxy:
        yield proxy


@pytest.fixture
def world(limits_simulator: SimulatorControl, limits_proxy: Proxy, tmp_path: Path) -> Iterator[World]:
    limits_proxy.reset()
    world = World(limits_simulator, limits_proxy, tmp_path / "state")
    before = world.snapshot()
    yield world
    limits_proxy.reset()
    world.restore(before)
    world.close()

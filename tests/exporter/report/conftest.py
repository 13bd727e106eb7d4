# SPDX-License-Identifier: Apache-2.0
"""One simulator for the tests of this room, whose figures all arrive at once; its clock stands still."""

from collections.abc import Iterator

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.report.commands import NOW


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0, late_seconds=0, seed=7, clock=NOW, speed=0) as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    shared_simulator.clock(now=NOW)
    yield shared_simulator
    shared_simulator.clear()

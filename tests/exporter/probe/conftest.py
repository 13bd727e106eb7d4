# SPDX-License-Identifier: Apache-2.0
"""One simulator for the room; its faults end with each test."""

from collections.abc import Iterator

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator


@pytest.fixture(scope="session")
def _shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0, seed=3) as control:
        yield control


@pytest.fixture
def simulator(_shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    """A running simulator that answers at once."""
    yield _shared_simulator
    _shared_simulator.clear()

# SPDX-License-Identifier: Apache-2.0
"""One simulator for all tests of the web package; its faults are cleared after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.web.exporters import Exporter, document, running


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0, seed=3) as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    yield shared_simulator
    shared_simulator.clear()


@pytest.fixture(scope="module")
def exporter(shared_simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """An exporter for the tests of one module that change nothing about it."""
    folder: Path = tmp_path_factory.mktemp("exporter")
    with running(folder, document(shared_simulator.api_url)) as found:
        yield found

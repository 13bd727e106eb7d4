# SPDX-License-Identifier: Apache-2.0
"""One simulator for all commands, and a configuration for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.web.exporters import document


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    yield shared_simulator
    shared_simulator.clear()


@pytest.fixture
def file(tmp_path: Path, simulator: SimulatorControl) -> Path:
    made = tmp_path / "exporter.yml"
    made.write_text(yaml.safe_dump(document(simulator.api_url), sort_keys=False))
    return made

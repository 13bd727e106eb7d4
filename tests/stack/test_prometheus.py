# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end with real programs: simulator, exporter, Prometheus."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.stack.programs import KEYS, PROMETHEUS, Exporter, get, running_exporter, running_prometheus, wait_for

needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator() as control:
        yield control


@pytest.fixture(scope="module")
def exporter(simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    keys = KEYS | {"OPENAI_BASE_URL": simulator.api_url}
    with running_exporter(tmp_path_factory.mktemp("exporter"), keys) as running:
        yield running


@needs_prometheus
def test_prometheus_finds_scrapes_and_stores_every_target(exporter: Exporter, tmp_path: Path) -> None:
    targets = exporter.targets()
    probes = [each for each in targets if each["labels"].get("__metrics_path__") == "/probe"]

    with running_prometheus(tmp_path, f"{exporter.url}/sd", interval="3s") as prometheus:
        wait_for(
            lambda: (
                prometheus.value("count(up == 1)") == len(targets)
                and prometheus.value("count(probe_success == 1)") == len(probes)
                and prometheus.query("up == 0 or probe_success == 0") == []
            ),
            180,
            f"up for {len(targets)} targets and probe_success for {len(probes)} probes",
        )

    assert len(probes) == 6


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_any_page(exporter: Exporter) -> None:
    said = {}
    for target in exporter.targets():
        labels = target["labels"]
        params = "&".join(f"{k.removeprefix('__param_')}={v}" for k, v in labels.items() if k.startswith("__param_"))
        path = f"{labels['__metrics_path__']}?{params}"
        status, text = get(f"{exporter.url}{path}")
        found = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=600
        )
        said[path] = (status, found.returncode, found.stderr)

    assert len(said) == len(exporter.targets())
    assert dict.fromkeys(said, (200, 0, "")) == said

# SPDX-License-Identifier: Apache-2.0
"""Remote write for real: two Prometheus that share the targets, as in profile `scale`, and an engine that takes it.

The engines are Prometheus itself as a receiver, and VictoriaMetrics where that is installed.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from services import SHARDS, sharded

from openai_simulator.testing import running_simulator
from tests.stack.programs import (
    KEYS,
    PROMETHEUS,
    Exporter,
    Prometheus,
    free_port,
    get,
    prometheus_on,
    running_exporter,
    running_program,
    wait_for,
)

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "prometheus" / "remote-write").glob("*.yml"))
VICTORIA = shutil.which("victoria-metrics")


def _section(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_that_rules_or_dashboards_read_is_left_behind(path: Path) -> None:
    places = [*(ROOT / "prometheus" / "rules").glob("*.yml"), *(ROOT / "dashboards" / "generated").glob("*.json")]
    read = {name for place in places for name in re.findall(r"\b[a-z][a-z0-9]*_[a-z0-9_]+", place.read_text())}
    (remote,) = _section(path)["remote_write"]
    dropped = [each["regex"] for each in remote["write_relabel_configs"] if each["action"] == "drop"]

    assert dropped
    assert [name for name in sorted(read) for regex in dropped if re.fullmatch(regex, name)] == []


@contextmanager
def _prometheus(folder: Path, document: dict[str, Any], *flags: str) -> Iterator[str]:
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    with prometheus_on(folder / "prometheus.yml", *flags) as found:
        yield found.url


@contextmanager
def _receiving_prometheus(folder: Path) -> Iterator[tuple[str, str]]:
    with _prometheus(folder, {}, "--web.enable-remote-write-receiver") as url:
        yield url, f"{url}/api/v1/write"


@contextmanager
def _victoria_metrics(folder: Path) -> Iterator[tuple[str, str]]:
    folder.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    argv = [str(VICTORIA), f"-httpListenAddr={url.removeprefix('http://')}", f"-storageDataPath={folder / 'data'}"]
    with running_program([*argv, "-search.latencyOffset=0s"], folder / "log", f"{url}/health"):
        yield url, f"{url}/api/v1/write"


RECEIVERS = [
    pytest.param(_receiving_prometheus, id="prometheus"),
    pytest.param(
        _victoria_metrics,
        id="victoria-metrics",
        marks=pytest.mark.skipif(VICTORIA is None, reason="victoria-metrics is not installed"),
    ),
]


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with running_simulator() as simulator:
        keys = KEYS | {"OPENAI_BASE_URL": simulator.api_url}
        with running_exporter(tmp_path_factory.mktemp("exporter"), keys) as running:
            yield running


def _shard(exporter: Exporter, shard: int, write_to: str) -> dict[str, Any]:
    """The configuration that profile `scale` gives one of its servers, with the addresses of this test."""
    shipped = _section(ROOT / "prometheus" / "prometheus.yml")
    shipped["global"] |= {"scrape_interval": "2s", "scrape_timeout": "2s"}
    document: dict[str, Any] = sharded(shipped, shard, SHARDS)
    document["scrape_configs"] = [job for job in document["scrape_configs"] if job["job_name"] == "openai"]
    document["scrape_configs"][0]["http_sd_configs"] = [{"url": f"{exporter.url}/sd", "refresh_interval": "2s"}]
    remote = _section(ROOT / "prometheus" / "remote-write" / "thanos.yml")
    remote["remote_write"][0]["url"] = write_to
    return document | remote


@pytest.mark.stack
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
@pytest.mark.parametrize("receiver", RECEIVERS)
def test_every_target_arrives_once_and_is_queried_as_a_whole(exporter: Exporter, tmp_path: Path, receiver: Any) -> None:
    with ExitStack() as running:
        url, write_to = running.enter_context(receiver(tmp_path / "receiver"))
        for shard in range(SHARDS):
            document = _shard(exporter, shard, write_to)
            running.enter_context(_prometheus(tmp_path / f"shard-{shard}", document))
        listed, stored = exporter.targets(), Prometheus(url)
        wait_for(lambda: stored.value("count(max_over_time(up[1m]) == 1)") == len(listed), 180, "every target arrives")
        wait_for(lambda: stored.value("sum(openai_usage_requests_total)"), 180, "usage arrives")
        shards = {each["metric"]["shard"] for each in stored.query("max_over_time(up[1m])")}
        status, names = get(f"{url}/api/v1/label/__name__/values")

    assert status == 200
    assert shards == {str(shard) for shard in range(SHARDS)}
    assert {"probe_success", "process_start_time_seconds"} <= set(json.loads(names)["data"])
    assert not [name for name in json.loads(names)["data"] if name.startswith(("python_", "go_"))]

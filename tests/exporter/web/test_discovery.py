# SPDX-License-Identifier: Apache-2.0
"""What /sd gives Prometheus."""

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from openai_exporter.config.load import parse_config
from openai_exporter.web.discovery import document as sd_document
from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import ENV, MODEL, Exporter, document, free_port, poll, request, running


def _labels(exporter: Exporter, path: str = "/sd", **headers: str) -> list[dict[str, str]]:
    return [group["labels"] for group in exporter.get(path, **headers).json()]


def test_every_target_stands_in_it_with_its_path_parameters_and_labels(exporter: Exporter) -> None:
    chat = {
        "__metrics_path__": "/probe",
        "__param_target": "sim",
        "__param_module": "chat",
        "__param_model": MODEL,
        "team": "search",
        "target": "sim",
        "module": "chat",
        "model": MODEL,
        "endpoint": "chat",
        "provider": "openai",
    }
    models = {
        "__metrics_path__": "/probe",
        "__param_target": "sim",
        "__param_module": "models",
        "target": "sim",
        "module": "models",
        "endpoint": "models",
        "provider": "openai",
    }
    streamed = {name: value for name, value in chat.items() if name != "team"}
    streamed |= {"__param_module": "chat_stream", "module": "chat_stream"}
    other = streamed | {"__param_model": "gpt-5.4-mini", "model": "gpt-5.4-mini"}
    slow = streamed | {"__param_module": "slow", "module": "slow"}
    slow |= {"__scrape_timeout__": "26s", "__scrape_interval__": "1m"}
    rest = [
        {"__metrics_path__": "/usage", "__param_organization": "acme", "organization": "acme"},
        {"__metrics_path__": "/status", "__param_page": "page", "status_page": "page"},
        {"__metrics_path__": "/metrics"},
    ]
    assert [models, chat, streamed, other, slow, *rest] == _labels(exporter)


def test_every_target_can_be_scraped_as_it_says(exporter: Exporter) -> None:
    for labels in _labels(exporter):
        query = "&".join(f"{k.removeprefix('__param_')}={v}" for k, v in labels.items() if k.startswith("__param_"))
        assert exporter.get(f"{labels['__metrics_path__']}?{query}").status == 200


def test_the_address_is_the_one_that_was_asked(exporter: Exporter) -> None:
    found = exporter.get("/sd", Host="exporter.example.org:1234").json()
    assert {"exporter.example.org:1234"} == {each["targets"][0] for each in found}


def test_without_a_host_it_is_the_address_of_the_connection(exporter: Exporter) -> None:
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=30) as client:
        client.sendall(b"GET /sd HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(65_536):
            answer += part
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert {f"127.0.0.1:{exporter.port}"} == {each["targets"][0] for each in found}


@pytest.mark.parametrize("host", ["a/b", "user@host", "x y", "[::1", "a:99999999", "<b>"])
def test_a_host_that_is_none_is_refused(exporter: Exporter, host: str) -> None:
    reply = exporter.get("/sd", Host=host)
    assert reply.status == 400
    assert "--web.external-url" in reply.text


@pytest.mark.parametrize(("asked", "expected"), [("10s", "26s"), ("5m", "5m"), ("26s", "26s")])
def test_a_slow_module_is_never_scraped_more_often_than_its_timeout(
    exporter: Exporter, asked: str, expected: str
) -> None:
    found = [each for each in _labels(exporter, f"/sd?scrape_interval={asked}") if "__scrape_timeout__" in each]
    assert [("26s", expected)] == [(each["__scrape_timeout__"], each["__scrape_interval__"]) for each in found]


@pytest.mark.parametrize("asked", ["0", "x", "-5s", ""])
def test_an_interval_that_is_none_is_refused(exporter: Exporter, asked: str) -> None:
    reply = exporter.get(f"/sd?scrape_interval={asked}")
    assert reply.status == 400
    assert reply.text.startswith("parameter scrape_interval: must")


def test_an_external_url_replaces_the_address(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(
        tmp_path,
        document(simulator.api_url),
        external_url="https://mon.example.org/openai",
        route_prefix="/openai",
    ) as exporter:
        found = exporter.get("/openai/sd").json()
        assert {"mon.example.org"} == {each["targets"][0] for each in found}
        assert {"https"} == {each["labels"]["__scheme__"] for each in found}
        assert "/openai/metrics" in {each["labels"]["__metrics_path__"] for each in found}
        assert exporter.get("/openai/-/healthy").status == 200
        assert (302, "/openai/") == ((moved := exporter.get("/")).status, moved.headers["location"])
        assert exporter.get("/openai/").status == 200


def test_an_offset_that_fits_the_default_timeout_asks_for_nothing() -> None:
    plain = document("http://127.0.0.1:1/v1")
    config = parse_config(yaml.safe_dump(plain), "test", ENV, Path())
    found = sd_document(config, 0.5, "x:1", "http", "", 60)
    with_timeout = [each["labels"]["module"] for each in found if "__scrape_timeout__" in each["labels"]]  # type: ignore[index, operator]
    assert ["slow"] == with_timeout


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not on PATH")
def test_prometheus_scrapes_all_that_it_finds(tmp_path: Path, exporter: Exporter) -> None:
    """A job with an interval below the slow module's timeout: the target must not be dropped."""
    port = free_port()
    config = {
        "scrape_configs": [
            {
                "job_name": "openai",
                "scrape_interval": "2s",
                "scrape_timeout": "2s",
                "http_sd_configs": [{"url": f"http://127.0.0.1:{exporter.port}/sd", "refresh_interval": "2s"}],
            }
        ]
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus", f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]
    )  # fmt: skip
    try:
        poll(lambda: _discovered(port) == len(exporter.get("/sd").json()), 60)
        assert set() == _dropped(port)
    finally:
        process.terminate()
        process.wait(20)


def _discovered(port: int) -> int:
    try:
        found = request(port, "/api/v1/targets?state=active").json()["data"]["activeTargets"]
    except (OSError, ValueError):
        return -1
    return sum(each["health"] == "up" or "__scrape_timeout__" in each["discoveredLabels"] for each in found)


def _dropped(port: int) -> set[str]:
    found = request(port, "/api/v1/targets?state=any").json()["data"]
    return {each["lastError"] for each in found["activeTargets"]} - {""}

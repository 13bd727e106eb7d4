# SPDX-License-Identifier: Apache-2.0
"""What the log says after the start: what is done, what it costs, and which keys are accepted."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_simulator.testing import SimulatorControl
from tests.deadlines import at_most
from tests.exporter.web.exporters import ADMIN_KEY, ENV, KEY, document, free_port, poll, request, run_cli, running

VERDICTS = ("accepted", "rejected", "not checked")


def said(log: pytest.LogCaptureFixture) -> dict[str, dict[str, Any]]:
    """Messages of the start, and their fields."""
    named = [each for each in log.records if each.name == "openai_exporter.web.startup"]
    return {each.getMessage(): getattr(each, "fields", {}) for each in named}


def announced(
    folder: Path, config: dict[str, Any], caplog: pytest.LogCaptureFixture, env: dict[str, str] = ENV, keys: int = 2
) -> dict[str, dict[str, Any]]:
    """What an exporter of that configuration says until it has said something of so many keys."""
    caplog.set_level(logging.INFO, "openai_exporter")
    with running(folder, config, env=env, announce=True):
        poll(lambda: keys == sum(each.endswith(VERDICTS) for each in said(caplog)))
        return said(caplog)


def test_it_says_what_is_probed_and_read_and_that_keys_are_accepted(
    tmp_path: Path, simulator: SimulatorControl, caplog: pytest.LogCaptureFixture
) -> None:
    probes, reads, *_ = found = announced(tmp_path, document(simulator.api_url), caplog)

    assert "Prometheus' scrapes make 5 probes: sim (models, chat, chat_stream, slow)" == probes
    assert "Prometheus' scrapes read usage and costs of organization acme, status page page" == reads
    assert {"target": "sim", "key": "environment variable TEST_KEY"}.items() <= found["key accepted"].items()
    assert found["key accepted"]["models"] > 10
    assert {"organization": "acme", "id": "org-simulated"} == found["admin key accepted"]


def test_a_day_of_probes_is_priced_at_the_interval_that_it_names(
    tmp_path: Path, simulator: SimulatorControl, caplog: pytest.LogCaptureFixture
) -> None:
    config = document(simulator.api_url, organizations=[], status_pages=[])
    priced = {"endpoint": "chat", "price_per_call_usd": 0.001}
    config["modules"] = {
        "each_scrape": priced,
        "each_hour": {**priced, "min_interval": "1h"},
        "limited": {**priced, "daily_cost_limit_usd": 0.5},
        "free": {"endpoint": "models"},
        "unknown": {"endpoint": "chat"},
    }
    config["probes"] = [
        {"target": "sim", "module": name, "models": [] if name == "free" else ["odd-model"]}
        for name in config["modules"]
    ]
    [probes, *_] = found = announced(tmp_path, config, caplog, keys=1)

    cost = {"scrape_interval": "1m", "usd_per_day_at_most": "1.96", "probes_without_price": 1}
    assert cost == found[probes]


def test_keys_that_are_rejected_are_warned_of_with_the_fix(
    tmp_path: Path, simulator: SimulatorControl, caplog: pytest.LogCaptureFixture
) -> None:
    env = {"TEST_KEY": "nonsense", "TEST_ADMIN_KEY": KEY}
    found = announced(tmp_path, document(simulator.api_url), caplog, env)

    assert "environment variable TEST_KEY" == found["key rejected"]["key"]
    assert "Incorrect API key provided" in found["key rejected"]["reason"]
    assert "this is not an admin key" in found["admin key rejected"]["reason"]
    assert {logging.WARNING} == {each.levelno for each in caplog.records if each.getMessage().endswith("rejected")}
    assert not [each for each in caplog.records if each.getMessage() == "probe failed"]


def test_an_api_that_is_not_there_is_no_failure_of_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter")
    url = f"http://127.0.0.1:{free_port()}/v1"
    with running(tmp_path, document(url), announce=True) as exporter:
        assert 200 == exporter.get("/-/ready").status
        poll(lambda: {"key not checked", "admin key not checked"} <= said(caplog).keys())
        assert 200 == exporter.get("/-/ready").status


def test_servers_without_keys_are_not_asked(
    tmp_path: Path, simulator: SimulatorControl, caplog: pytest.LogCaptureFixture
) -> None:
    config = document(simulator.api_url)
    config["targets"] = [{"name": "sim", "provider": "compatible", "base_url": simulator.api_url, "no_key": True}]

    assert "key accepted" not in announced(tmp_path, config, caplog, keys=1)


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_the_program_says_it_in_both_formats_and_shows_no_key(
    tmp_path: Path, simulator: SimulatorControl, form: str
) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(yaml.safe_dump(document(simulator.api_url)))
    address = f"127.0.0.1:{free_port()}"
    arguments = ("--config.file", str(file), "--web.listen-address", address, "--log.format", form, "--storage.path=")
    process = run_cli("serve", *arguments, env=ENV)
    assert process.stderr is not None
    lines: list[str] = []
    with at_most(process):
        while sum("accepted" in line for line in lines) < 2:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
    assert 200 == request(int(address.rpartition(":")[2]), "/-/ready").status
    process.terminate()
    process.communicate(timeout=60)

    text = "".join(lines)
    assert f"http://{address}/" in text
    assert "usd_per_day_at_most" in text
    assert not [key for key in (KEY, ADMIN_KEY) if key in text]
    assert len(lines) <= 7
    if form == "json":
        assert all("msg" in json.loads(line) for line in lines)

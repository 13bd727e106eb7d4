# SPDX-License-Identifier: Apache-2.0
"""A reload makes all of a new configuration active, or nothing of it."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import ENV, MODEL, child, document, poll, request, running

CHAT = f"/probe?target=sim&module=chat&model={MODEL}"
SUCCESSFUL = "openai_exporter_config_last_reload_successful"


def _metric(text: str, name: str) -> float:
    return next(float(line.split(" ")[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_new_configuration_counts_from_then_on(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        changed = document(simulator.api_url)
        changed["probes"].append({"target": "sim", "module": "chat", "models": ["gpt-5.4-mini"]})
        changed["organizations"], changed["status_pages"] = [], []
        exporter.write(changed)
        reply = exporter.send("POST", "/-/reload")
        assert (reply.status, reply.text) == (200, "reloaded: 6 probes, 0 organizations.\n")
        assert exporter.get("/probe?target=sim&module=chat&model=gpt-5.4-mini").status == 200
        assert exporter.get("/usage").status == 400
        assert exporter.send("PUT", "/-/reload").status == 200


def test_a_bad_configuration_leaves_the_old_one_in_force(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        before = exporter.get("/config").text
        bad = document(simulator.api_url)
        bad["targets"][0]["nme"] = "x"
        bad["modules"]["chat"]["timeout"] = "-1s"
        bad["probes"] = []
        exporter.write(bad)
        reply = exporter.send("POST", "/-/reload")
        assert reply.status == 500
        assert "targets[0].nme" in reply.text
        assert "modules.chat.timeout" in reply.text
        assert exporter.get("/config").text == before
        assert exporter.get(CHAT).status == 200
        assert exporter.get("/-/ready").status == 200
        own = exporter.get("/metrics").text
        assert _metric(own, SUCCESSFUL) == 0
        exporter.write(document(simulator.api_url))
        assert exporter.send("POST", "/-/reload").status == 200
        later = exporter.get("/metrics").text
        assert _metric(later, SUCCESSFUL) == 1
        timestamp = "openai_exporter_config_last_reload_success_timestamp_seconds"
        assert _metric(later, timestamp) > _metric(own, timestamp)


def test_one_key_that_cannot_be_read_costs_its_target_only(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        changed = document(simulator.api_url)
        changed["targets"].append({**changed["targets"][0], "name": "other", "api_key_file": "gone"})
        del changed["targets"][1]["api_key_env"]
        changed["probes"].append({"target": "other", "module": "chat", "models": [MODEL]})
        exporter.write(changed)
        reply = exporter.send("POST", "/-/reload")
        assert reply.status == 200
        for told in (
            "this key cannot be read, what needs it fails until it can: ",
            ": targets[1].api_key_file: ",
            "cannot be read: No such file or directory; put the key there",
        ):
            assert told in reply.text
        assert _metric(exporter.get("/metrics").text, "openai_exporter_config_unreadable_keys") == 1
        assert "probe_success 1" in exporter.get(CHAT).text
        other = CHAT.replace("target=sim", "target=other")
        assert 'openai_probe_outcome{outcome="no_credentials"} 1' in exporter.get(other).text
        (tmp_path / "gone").write_text("sk-test-1")
        assert "probe_success 1" in exporter.get(other).text
        assert exporter.send("POST", "/-/reload").status == 200
        assert _metric(exporter.get("/metrics").text, "openai_exporter_config_unreadable_keys") == 0


def test_a_file_that_is_gone_is_told(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        exporter.config_file.unlink()
        reply = exporter.send("POST", "/-/reload")
        assert reply.status == 500
        assert str(exporter.config_file) in reply.text
        assert exporter.get("/sd").status == 200


def test_a_probe_in_flight_survives_a_reload(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        simulator.fault("latency", "/v1/chat/completions", seconds=3.0)
        found: list[str] = []
        scrape = threading.Thread(target=lambda: found.append(exporter.get(CHAT).text), daemon=True)
        scrape.start()
        poll(lambda: exporter.server.limits.waiting == 1)
        assert exporter.send("POST", "/-/reload").status == 200
        scrape.join(60)
        assert "probe_success 1" in found[0].splitlines()


def test_counters_go_on_over_a_reload(tmp_path: Path, simulator: SimulatorControl) -> None:
    series = f'openai_api_requests_total{{endpoint="chat",model="{MODEL}",module="chat",target="sim"}}'
    with running(tmp_path, document(simulator.api_url)) as exporter:
        exporter.get(CHAT)
        exporter.send("POST", "/-/reload")
        exporter.get(CHAT)
        assert f"{series} 2.0" in exporter.get("/metrics").text.splitlines()


def test_sighup_reloads_too(tmp_path: Path, simulator: SimulatorControl) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(yaml.safe_dump(document(simulator.api_url)))
    with child("--config.file", str(file), env=ENV) as exporter:
        file.write_text(yaml.safe_dump(document(simulator.api_url, organizations=[])))
        exporter.process.send_signal(signal.SIGHUP)
        poll(lambda: "acme" not in request(exporter.port, "/sd").text)
        file.write_text("targets: [")
        exporter.process.send_signal(signal.SIGHUP)
        poll(lambda: f"{SUCCESSFUL} 0.0" in request(exporter.port, "/metrics").text)
        _, status, log = exporter.stop()
        assert status == 0
        assert 'msg="configuration reloaded"' in log
        assert "config reload failed, keeping the current config" in log


def test_what_the_stack_says_of_itself_is_in_metrics_and_on_the_landing_page(
    tmp_path: Path, simulator: SimulatorControl
) -> None:
    stack = tmp_path / "stack.json"
    stack.write_text('{"mode": "demo", "problems": [], "unused_keys": ["openai_api_key"]}')
    with running(tmp_path, document(simulator.api_url), stack_file=stack) as exporter:
        demo, page = exporter.get("/metrics").text, exporter.get("/").text
        stack.write_text('{"mode": "production", "problems": ["RETENTION in .env: <30>"], "unused_keys": []}')
        assert exporter.send("POST", "/-/reload").status == 200
        production, later = exporter.get("/metrics").text, exporter.get("/").text

    assert (_metric(demo, PROBLEMS), _metric(demo, REAL)) == (0, 1)
    assert 'openai_exporter_stack_info{mode="demo"} 1.0' in demo
    assert "Mode: demo; a real key is there and not used: openai_api_key" in page
    assert (_metric(production, PROBLEMS), _metric(production, REAL)) == (1, 0)
    assert [line for line in production.splitlines() if line.startswith("openai_exporter_stack_info")] == [
        'openai_exporter_stack_info{mode="production"} 1.0'
    ]
    assert "in place of this: RETENTION in .env: &lt;30&gt;" in later


PROBLEMS, REAL = "openai_exporter_stack_problems", "openai_exporter_simulated_with_real_key"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"mode": "demo"}', "\udcff"])
def test_a_file_of_the_stack_that_says_nothing_claims_nothing(
    tmp_path: Path, simulator: SimulatorControl, content: str | None
) -> None:
    stack = tmp_path / "stack.json"
    if content is not None:
        stack.write_bytes(content.encode(errors="surrogateescape"))
    with running(tmp_path, document(simulator.api_url), stack_file=stack) as exporter:
        own, page = exporter.get("/metrics").text, exporter.get("/").text

    assert "openai_exporter_stack_" not in own
    assert "Mode: " not in page


@pytest.mark.parametrize(
    ("key", "real"), [("sk-proj-0123456789abcdef", 2), ("sk-any", 0), ("sk-demo-3f", 0), ("sk-admin-demo", 0)]
)
def test_a_real_key_that_a_simulator_answers_is_counted_and_a_made_up_one_is_not(
    tmp_path: Path, simulator: SimulatorControl, key: str, real: int
) -> None:
    env = dict.fromkeys(ENV, key)
    with running(tmp_path, document(simulator.api_url), env=env) as exporter:
        before = _metric(exporter.get("/metrics").text, REAL)
        exporter.get(CHAT)
        after = _metric(exporter.get("/metrics").text, REAL)

    assert (before, after) == (0, real)


def test_within_a_stack_the_exporter_starts_though_no_key_can_be_read(
    tmp_path: Path, simulator: SimulatorControl
) -> None:
    stack = tmp_path / "stack.json"
    stack.write_text('{"mode": "production", "problems": ["a key"], "unused_keys": []}')
    with running(tmp_path, document(simulator.api_url), stack_file=stack) as exporter:
        exporter.write(_keyless(simulator.api_url))
        reply = exporter.send("POST", "/-/reload")
        own = exporter.get("/metrics").text

    assert reply.status == 200, reply.text
    assert _metric(own, "openai_exporter_config_unreadable_keys") == 2


def _keyless(api_url: str) -> dict[str, Any]:
    changed = document(api_url)
    changed["targets"][0] = {"name": "sim", "base_url": api_url, "api_key_file": "gone"}
    changed["organizations"][0] = {"name": "acme", "base_url": api_url, "admin_key_file": "gone"}
    return changed

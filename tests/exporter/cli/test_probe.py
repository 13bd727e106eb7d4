# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter probe`: what is printed, and the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from openai_simulator.testing import SimulatorControl
from tests.deadlines import at_most
from tests.exporter.cli.commands import cli
from tests.exporter.web.exporters import ENV, KEY, MODEL, document


def test_a_probe_shows_timings_answer_and_limits(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), "--module", "chat_stream", "--model", MODEL, env=ENV)
    assert (found.status, found.err) == (0, "")
    assert found.out.startswith(f"success  chat_stream on sim, {MODEL} in ")
    for text in ("Timing", "first token", "Answer", "request id", "Rate limits", "requests"):
        assert text in found.out


def test_a_probe_with_debug_prints_what_the_server_would_show(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), "--module", "chat", "--debug", env=ENV)
    assert (found.status, found.err) == (0, "")
    for part in (
        "Logs for the probe:",
        "probe_success 1",
        "Module configuration:",
        "Request:\nPOST ",
        "Reply:\nHTTP/1.1 200",
    ):
        assert part in found.out
    assert KEY not in found.out


def test_json_and_debug_are_not_given_together(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), "--json", "--debug", env=ENV)
    assert found.status == 2
    assert "cannot be used together" in found.err


def test_a_rate_limited_probe_shows_how_long_to_wait(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("rate_limit", "/v1/chat/completions", retry_after=42)
    found = cli("probe", "--config.file", str(file), "--module", "chat", env=ENV)
    assert found.status == 1
    told = " ".join(found.out.split())
    assert "Retry-After 42 s" in told
    assert "a running exporter would back off for 42 s" in told


def test_a_probe_as_json_holds_the_whole_result(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), "--module", "chat", "--json", env=ENV)
    result = json.loads(found.out)
    assert found.status == 0
    assert (result["outcome"], result["status_code"], result["key"]["model"]) == ("success", 200, MODEL)
    assert result["tokens"]["output"] > 0
    assert result["remedy"]


def test_a_probe_that_fails_says_why_and_what_to_do(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("insufficient_quota", "/v1/chat/completions")
    found = cli("probe", "--config.file", str(file), "--module", "chat", env=ENV)
    assert found.status == 1
    assert "billing" in found.out
    assert "\nLog\n" in found.out
    assert KEY not in found.out + found.err


def test_a_probe_keeps_its_deadline(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("hang", "/v1/chat/completions")
    found = cli("probe", "--config.file", str(file), "--module", "chat", "--timeout", "0.3", "--json", env=ENV)
    result = json.loads(found.out)
    assert found.status == 1
    assert result["timeout"] == pytest.approx(0.3, abs=0.01)
    assert result["duration"] < 1


def test_a_probe_needs_no_configuration(simulator: SimulatorControl) -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": simulator.api_url}
    found = cli("probe", "--module", "models", env=env)
    assert (found.status, found.err) == (0, "")
    assert "models listed" in found.out


def test_without_options_the_cheapest_probe_is_made(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), env=ENV)

    assert (0, True) == (found.status, found.out.startswith("success  models on sim in "))
    assert "the cheapest of 5 configured probes: --target sim --module models\n" == found.err


def test_where_no_probe_is_free_the_cheapest_is_found_by_its_price(tmp_path: Path, simulator: SimulatorControl) -> None:
    config = document(simulator.api_url)
    config["modules"] |= {"priced": {"endpoint": "chat", "price_per_call_usd": 0.0000001}}
    models = {"chat": ["gpt-6-sol"], "priced": ["odd-model", MODEL]}
    config["probes"] = [{"target": "sim", "module": name, "models": models[name]} for name in models]
    path = tmp_path / "exporter.yml"
    path.write_text(yaml.safe_dump(config))
    found = cli("probe", "--config.file", str(path), env=ENV)

    assert "the cheapest of 3 configured probes: --target sim --module priced --model odd-model\n" == found.err


def test_without_a_probe_it_says_where_to_add_one(tmp_path: Path, simulator: SimulatorControl) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(yaml.safe_dump(document(simulator.api_url, probes=[])))

    assert "no probes are configured; add some under `probes:`" in cli("probe", "--config.file", str(path), env=ENV).err


def test_on_a_terminal_the_model_is_asked_for(file: Path) -> None:
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "openai_exporter", "probe", "--config.file", str(file), "--module", "chat_stream"]
    process = subprocess.Popen(
        command, env={**os.environ, **ENV}, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, text=True
    )
    os.close(terminal)  # the program's alone, so that reading fails when that ends
    shown = ""
    with at_most(process):
        while "gpt-5.4-mini): " not in shown:
            shown += os.read(ours, 1000).decode()
    os.write(ours, b"gpt-5.4-mini\n")
    out, _ = process.communicate(timeout=60)
    os.close(ours)

    assert f"Model ({MODEL}, gpt-5.4-mini): " in shown
    assert out.startswith("success  chat_stream on sim, gpt-5.4-mini in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "sim"], "--module is missing; configured of target sim: models, chat, chat_stream, slow"),
        (
            ["--module", "chat_stream"],
            f"--model is missing; configured of module chat_stream on target sim: {MODEL}, gpt-5.4-mini",
        ),
        (["--module", "x"], "unknown module 'x'; configured of target sim: models, chat, chat_stream, slow"),
        (["--target", "x"], "unknown target 'x'; configured: sim"),
    ],
)
def test_a_probe_that_is_not_clear_lists_what_there_is(file: Path, arguments: list[str], message: str) -> None:
    found = cli("probe", "--config.file", str(file), *arguments, env=ENV)
    assert found.status == 2
    assert message in " ".join(found.err.split())

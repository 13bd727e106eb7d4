# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter probe`: what is printed, and the exit status."""

import json
from pathlib import Path

import pytest

from openai_simulator.testing import SimulatorControl
from tests.exporter.cli.commands import cli
from tests.exporter.web.exporters import ENV, KEY, MODEL


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
    assert "choose one" in found.err


def test_a_rate_limited_probe_shows_how_long_to_wait(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("rate_limit", "/v1/chat/completions", retry_after=42)
    found = cli("probe", "--config.file", str(file), "--module", "chat", env=ENV)
    assert found.status == 1
    told = " ".join(found.out.split())
    assert "Retry-After 42 s" in told
    assert "a running exporter would leave the API alone for 42 s" in told


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


def test_without_a_model_the_first_one_of_the_module_is_probed(file: Path) -> None:
    found = cli("probe", "--config.file", str(file), "--module", "chat_stream", "--json", env=ENV)

    assert 0 == found.status
    assert '"model": "gpt-6-luna"' in found.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--module is missing; configured of target sim: models, chat, chat_stream, slow"),
        (["--module", "x"], "unknown module 'x'; configured of target sim: models, chat, chat_stream, slow"),
        (["--target", "x"], "unknown target 'x'; configured: sim"),
    ],
)
def test_a_probe_that_is_not_clear_lists_what_there_is(file: Path, arguments: list[str], message: str) -> None:
    found = cli("probe", "--config.file", str(file), *arguments, env=ENV)
    assert found.status == 2
    assert message in " ".join(found.err.split())

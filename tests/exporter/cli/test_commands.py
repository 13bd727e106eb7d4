# SPDX-License-Identifier: Apache-2.0
"""The command line as people and scripts meet it: real processes, exit statuses, messages."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from openai_exporter import __version__
from openai_exporter.metrics import CATALOGUE
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.web.exporters import ENV, KEY, MODEL, document, run_cli


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


def _cli(*arguments: str, env: Mapping[str, str] | None = None) -> Outcome:
    process = run_cli(*arguments, env={"COLUMNS": "100", **(env or {})})
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


@pytest.fixture(scope="module")
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


def test_version() -> None:
    found = _cli("--version")
    assert (found.status, found.out.split(" (")[0]) == (0, f"openai-exporter {__version__}")


def test_help_lists_every_command_with_examples() -> None:
    found = _cli("--help")
    assert found.status == 0
    for name in ("serve", "check", "probe", "simulate", "demo", "schema", "metrics"):
        assert f"  {name} " in found.out
    for text in ("OPENAI_API_KEY=... OPENAI_ADMIN_KEY=... openai-exporter", "http_sd_configs"):
        assert text in found.out


@pytest.mark.parametrize("name", ["serve", "check", "probe", "simulate", "schema", "metrics"])
def test_each_command_explains_itself(name: str) -> None:
    found = _cli(name, "--help")
    assert (found.status, found.err) == (0, "")
    assert f"openai_exporter {name}" in found.out.splitlines()[0]


def test_flags_are_named_as_in_prometheus() -> None:
    found = _cli("serve", "--help").out
    for flag in (
        "--config.file", "--web.listen-address", "--web.config.file", "--web.external-url", "--web.route-prefix",
        "--web.max-requests", "--timeout-offset", "--history.limit", "--storage.path", "--log.level", "--log.format",
    ):  # fmt: skip
        assert flag in found
    for variable in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_BASE_URL",
        "HTTPS_PROXY",
        "OPENAI_EXPORTER_CONFIG_FILE",
    ):
        assert variable in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["--config.fil=x"], "No such option '--config.fil'"),
        (["serve", "--log.level=loud"], "'loud' is not one of 'debug', 'info', 'warn', 'error'"),
        (["serve", "--web.max-requests=0"], "0 is not in the range x>=1"),
        (["serve", "--web.external-url=example.org"], "'example.org' is not a URL such as https://"),
        (["serve", "--timeout-offset=-1"], "-1.0 is not in the range x>=0"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(arguments: list[str], message: str) -> None:
    found = _cli(*arguments)
    assert found.status == 2
    assert message in " ".join(found.err.split())
    assert "Traceback" not in found.err


BAD_STARTS: dict[str, tuple[list[str], str, dict[str, str]]] = {
    "no file": (["--config.file={folder}/gone.yml"], "gone.yml: cannot be read: No such file or directory", {}),
    "a folder": (["--config.file={folder}"], "cannot be read: Is a directory", {}),
    "no YAML": (["--config.file={folder}/broken.yml"], "broken.yml:1", {}),
    "no credentials": ([], "environment: no configuration file and no key: set OPENAI_API_KEY", {}),
    "a bad base URL": ([], "OPENAI_BASE_URL", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "ftp://x"}),
    "a bad address": (["--web.listen-address=9985"], "--web.listen-address: '9985' is not an address", {}),
    "no web file": (
        ["--web.config.file={folder}/gone.yml"], "gone.yml: cannot be read: No such file", {"OPENAI_API_KEY": KEY},
    ),
    "a bad web file": (
        ["--web.config.file={folder}/web.yml"], "web.yml:1: tls: unknown key", {"OPENAI_API_KEY": KEY},
    ),
    "a missing key file": (["--config.file={folder}/keyless.yml"], "keyless.yml:4: targets[0].api_key_file: ", {}),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message", "env"), BAD_STARTS.values(), ids=list(BAD_STARTS))
def test_a_start_that_cannot_be_is_told_in_a_line(
    tmp_path: Path, arguments: list[str], message: str, env: dict[str, str]
) -> None:
    (tmp_path / "broken.yml").write_text("targets: [}")
    (tmp_path / "web.yml").write_text("tls: {}")
    keyless = {"targets": [{"name": "a", "base_url": "http://127.0.0.1:1/v1", "api_key_file": "gone"}]}
    (tmp_path / "keyless.yml").write_text(yaml.safe_dump(keyless, sort_keys=False))
    address = [] if "address" in message else ["--web.listen-address=127.0.0.1:0"]
    found = _cli(*address, *(each.format(folder=tmp_path) for each in arguments), env=env)
    told = [line for line in found.err.splitlines() if line.startswith("openai-exporter: ")]
    assert found.status == 1
    assert len(told) == 1
    assert message in told[0]
    assert "Traceback" not in found.err
    assert KEY not in found.err


def test_a_start_that_cannot_be_is_a_record_among_json_records(tmp_path: Path) -> None:
    found = _cli(
        "--log.format=json", f"--config.file={tmp_path}/gone.yml", "--web.listen-address=127.0.0.1:0"
    )
    records = [json.loads(line) for line in found.err.splitlines()]
    assert found.status == 1
    assert ("error", f"cannot start: {tmp_path}/gone.yml: cannot be read: No such file or directory; "
            "name an existing file") == (records[-1]["level"], records[-1]["msg"])  # fmt: skip


def test_check_refuses_a_key_that_cannot_be_read_though_others_can(tmp_path: Path) -> None:
    targets = [
        {"name": "a", "base_url": "http://127.0.0.1:1/v1", "no_key": True, "provider": "compatible"},
        {"name": "b", "api_key_file": "gone"},
    ]
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump({"targets": targets}, sort_keys=False))
    found = _cli("check", str(tmp_path / "exporter.yml"))
    assert (found.status, found.out) == (1, "")
    assert "exporter.yml:7: targets[1].api_key_file: " in found.err


def test_check_notes_what_anybody_could_spend(tmp_path: Path) -> None:
    text = """
targets: [{name: a, api_key_env: KEY}]
modules:
  {free: {endpoint: models}, open: {endpoint: chat}, bounded: {endpoint: chat, stream: true, daily_cost_limit_usd: 1}}
probes: [{target: a, module: free}, {target: a, module: open, models: [m]}, {target: a, module: bounded, models: [m]}]
"""
    (tmp_path / "exporter.yml").write_text(text)
    found = _cli("check", str(tmp_path / "exporter.yml"), env={"KEY": KEY})
    notes = [line for line in found.out.splitlines() if "note:" in line]
    assert notes == [
        "  note: module bounded streams the default prompt's one word: no gaps between tokens to measure",
        "  note: module open has no min_interval and no daily_cost_limit_usd: every scrape is paid",
    ]


def test_check_notes_whose_cost_nobody_can_estimate(tmp_path: Path) -> None:
    text = """
organizations:
- name: acme
  admin_key_env: KEY
  usage: {completions: {group_by: [project_id]}, embeddings: {group_by: [model]}, images: {group_by: []}}
"""
    (tmp_path / "exporter.yml").write_text(text)
    found = _cli("check", str(tmp_path / "exporter.yml"), env={"KEY": KEY})
    notes = [line for line in found.out.splitlines() if "note:" in line]
    assert notes == [
        "  note: organization acme does not group completions by model: its cost is not estimated",
    ]


def test_check_says_what_a_good_file_does(file: Path) -> None:
    found = _cli("check", str(file), env=ENV)
    assert (found.status, found.err) == (0, "")
    assert found.out.splitlines()[:3] == [
        f"{file}: can be used",
        "  probes sim with models (models, within 9s500ms): all models",
        f"  probes sim with chat (chat, within 5s): {MODEL}",
    ]


def test_check_lists_every_mistake_on_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(
        "targets:\n- name: a\n  api_key_envv: X\nmodules:\n  m: {endpoint: chat, timeout: -1s}\nprobes: 3\n"
    )
    found = _cli("check", str(file), env=ENV)
    assert (found.status, found.out) == (1, "")
    lines = found.err.splitlines()
    assert len(lines) >= 3
    for line in lines:
        assert line.startswith(f"openai-exporter: {file}:")


def test_check_reads_a_web_configuration_too(file: Path, tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users: {alice: plain}")
    found = _cli("check", str(file), "--web.config.file", str(web), env=ENV)
    assert found.status == 1
    assert "not a bcrypt hash" in found.err


def test_schema_accepts_a_good_file_and_refuses_a_bad_one(file: Path) -> None:
    schema = json.loads(_cli("schema").out)
    good = yaml.safe_load(file.read_text())
    jsonschema.Draft202012Validator(schema).validate(good)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(good | {"extra": 1})


def test_metrics_prints_the_whole_catalogue() -> None:
    listed = json.loads(_cli("metrics", "--format", "json").out)
    assert list(CATALOGUE) == [each["name"] for each in listed]
    markdown = _cli("metrics").out
    assert sorted(CATALOGUE) == sorted(
        line.split("`")[1] for line in markdown.splitlines() if line[:3] == "| `"
    )


def test_a_probe_shows_timings_answer_and_limits(file: Path) -> None:
    found = _cli("probe", "--config.file", str(file), "--module", "chat_stream", "--model", MODEL, env=ENV)
    assert (found.status, found.err) == (0, "")
    assert found.out.startswith(f"success  chat_stream on sim, {MODEL} in ")
    for text in ("Timing", "first token", "Answer", "request id", "Rate limits", "requests"):
        assert text in found.out


def test_a_probe_with_debug_prints_what_the_server_would_show(file: Path) -> None:
    found = _cli("probe", "--config.file", str(file), "--module", "chat", "--debug", env=ENV)
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
    found = _cli("probe", "--config.file", str(file), "--json", "--debug", env=ENV)
    assert found.status == 2
    assert "choose one" in found.err


def test_a_rate_limited_probe_shows_how_long_to_wait(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("rate_limit", "/v1/chat/completions", retry_after=42)
    found = _cli("probe", "--config.file", str(file), "--module", "chat", env=ENV)
    assert found.status == 1
    told = " ".join(found.out.split())
    assert "Retry-After 42 s" in told
    assert "a running exporter would leave the API alone for 42 s" in told


def test_a_simulator_refuses_more_streams_than_keys_can_have() -> None:
    found = _cli("simulate", "--keys=1", "--streams=31", "--listen-address=127.0.0.1:0")
    assert found.status == 2
    assert "--streams: 31 is not within 0 and 30" in found.err


def test_a_probe_as_json_holds_the_whole_result(file: Path) -> None:
    found = _cli("probe", "--config.file", str(file), "--module", "chat", "--json", env=ENV)
    result = json.loads(found.out)
    assert found.status == 0
    assert (result["outcome"], result["status_code"], result["key"]["model"]) == ("success", 200, MODEL)
    assert result["tokens"]["output"] > 0
    assert result["remedy"]


def test_a_probe_that_fails_says_why_and_what_to_do(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("insufficient_quota", "/v1/chat/completions")
    found = _cli("probe", "--config.file", str(file), "--module", "chat", env=ENV)
    assert found.status == 1
    assert "billing" in found.out
    assert "\nLog\n" in found.out
    assert KEY not in found.out + found.err


def test_a_probe_keeps_its_deadline(file: Path, simulator: SimulatorControl) -> None:
    simulator.fault("hang", "/v1/chat/completions")
    found = _cli(
        "probe", "--config.file", str(file), "--module", "chat", "--timeout", "0.3", "--json", env=ENV
    )
    result = json.loads(found.out)
    assert found.status == 1
    assert result["timeout"] == pytest.approx(0.3, abs=0.01)
    assert result["duration"] < 1


def test_a_probe_needs_no_configuration(simulator: SimulatorControl) -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": simulator.api_url}
    found = _cli("probe", "--module", "models", env=env)
    assert (found.status, found.err) == (0, "")
    assert "models listed" in found.out


def test_without_a_model_the_first_one_of_the_module_is_probed(file: Path) -> None:
    found = _cli("probe", "--config.file", str(file), "--module", "chat_stream", "--json", env=ENV)

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
def test_a_probe_that_is_not_clear_lists_what_there_is(
    file: Path, arguments: list[str], message: str
) -> None:
    found = _cli("probe", "--config.file", str(file), *arguments, env=ENV)
    assert found.status == 2
    assert message in " ".join(found.err.split())


def test_serving_loads_no_heavy_library_before_it_listens() -> None:
    """What takes long to import is left for after the start."""
    code = (
        "import sys, openai_exporter.cli.serve, openai_exporter.web.server; "
        "print(*{'openai', 'requests', 'genai_prices', 'jinja2', 'rich', 'bcrypt'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_secrets_of_the_environment_are_in_no_repr() -> None:
    from openai_exporter.web.live import Settings

    proxies: dict[str, Any] = {"https": "http://user:hunter2@proxy"}
    text = repr(Settings(env={"OPENAI_API_KEY": KEY}, proxies=proxies))
    assert KEY not in text
    assert "hunter2" not in text

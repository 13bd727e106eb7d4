# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter check`, `schema` and `metrics`: what is printed, and the exit status."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from openai_exporter.metrics import CATALOGUE
from tests.exporter.cli.commands import cli
from tests.exporter.web.exporters import ENV, KEY, MODEL


def test_check_refuses_a_key_that_cannot_be_read_though_others_can(tmp_path: Path) -> None:
    targets = [
        {"name": "a", "base_url": "http://127.0.0.1:1/v1", "no_key": True, "provider": "compatible"},
        {"name": "b", "api_key_file": "gone"},
    ]
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump({"targets": targets}, sort_keys=False))
    found = cli("check", str(tmp_path / "exporter.yml"))
    assert (found.status, found.out) == (1, "")
    assert "exporter.yml:7: targets[1].api_key_file: " in found.err


ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "path",
    [
        "deploy/kubernetes/base/exporter.yml",
        "deploy/kubernetes/overlays/demo/exporter.yml",
        "deploy/systemd/exporter.yml",
        "exporter/exporter.yml",
    ],
)
def test_check_without_keys_passes_what_is_shipped_and_says_that_no_key_was_looked_for(path: str) -> None:
    found = cli("check", "--without-keys", str(ROOT / path))

    assert found.status == 0, found.err
    assert found.out.startswith(f"{ROOT / path}: can be used, if the keys are there: they were not looked for\n")


@pytest.mark.parametrize(
    ("target", "content", "told"),
    [
        ({"api_key_file": "gone"}, "", ""),
        ({"api_key_env": "NOT_SET"}, "", ""),
        ({"api_key_file": "key"}, "OPENAI_API_KEY=sk-1", "holds a quote or NAME="),
        ({"api_key_file": "key"}, "", "is empty"),
        ({"api_key_file": "gone", "base_ulr": "x"}, "", "base_ulr"),
        ({"api_key_file": "."}, "", "is not a regular file"),
    ],
)
def test_check_without_keys_still_tells_each_other_mistake(
    tmp_path: Path, target: dict[str, str], content: str, told: str
) -> None:
    (tmp_path / "key").write_text(content)
    document = {"targets": [{"name": "a", **target}], "status_pages": [{"name": "openai"}]}
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    found = cli("check", "--without-keys", str(tmp_path / "exporter.yml"))

    assert found.status == (1 if told else 0), found.err
    assert told in found.err


def test_check_notes_what_anybody_could_spend(tmp_path: Path) -> None:
    text = """
targets: [{name: a, api_key_env: KEY}]
modules:
  {free: {endpoint: models, min_interval: 61m}, open: {endpoint: chat},
   bounded: {endpoint: chat, stream: true, timeout: 6m, daily_cost_limit_usd: 1}}
probes: [{target: a, module: free}, {target: a, module: open, models: [m]}, {target: a, module: bounded, models: [m]}]
"""
    (tmp_path / "exporter.yml").write_text(text)
    found = cli("check", str(tmp_path / "exporter.yml"), env={"KEY": KEY})
    notes = [line for line in found.out.splitlines() if "note:" in line]
    assert notes == [
        "  note: module bounded streams the default prompt's one word: no gaps between tokens to measure",
        "  note: module bounded: timeout 6m makes scrapes rarer than one in 5m, after which Prometheus takes a sample "
        "for gone; alerts have gaps",
        "  note: module free: min_interval 1h1m is longer than the hour that alerts on results in a row cover; "
        "OpenAISLOMetricAbsent reports it",
        "  note: module open has no min_interval and no daily_cost_limit_usd: every scrape is paid",
    ]


@pytest.mark.parametrize(
    ("target", "note"),
    [
        (
            {"base_url": "https://x/v1/chat/completions"},
            "has the path of a call, /chat/completions; each call appends ",
        ),
        ({"base_url": "https://x/v1/chat/completions/"}, "each call appends its own: https://x/v1"),
        ({"base_url": "https://x/v1/completions"}, "/completions; each call appends its own: https://x/v1"),
        *(
            ({"base_url": f"https://x/v1/{path}"}, f"/{path}; each call appends its own: https://x/v1")
            for path in ("responses", "embeddings", "moderations", "models", "images/generations", "audio/speech")
        ),
        (
            {"provider": "azure", "base_url": "https://x/openai/deployments/d/chat/completions"},
            "has the path of a call, /deployments/d/chat/completions; each call appends its own: https://x/openai",
        ),
        (
            {"provider": "azure", "base_url": "https://x/openai/deployments/d"},
            "/deployments/d; each call appends its own",
        ),
        ({"base_url": "https://x"}, "base_url has no version; OpenAI's API has it: https://x/v1"),
        ({"base_url": "https://x/v1"}, ""),
        ({"base_url": "https://models/v1"}, ""),
        ({"base_url": "https://x/models/v1"}, ""),
        ({"provider": "azure", "base_url": "https://x"}, ""),
        ({"provider": "azure", "base_url": "https://x/openai/v1"}, ""),
        ({"provider": "compatible", "base_url": "https://api.example.com"}, ""),
    ],
)
def test_check_notes_a_base_url_that_is_more_than_a_root(tmp_path: Path, target: dict[str, str], note: str) -> None:
    document = {
        "targets": [{"name": "a", "api_key_env": "KEY", **target}],
        "modules": {"free": {"endpoint": "models"}},
        "probes": [{"target": "a", "module": "free"}],
    }
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump(document))
    found = cli("check", str(tmp_path / "exporter.yml"), env={"KEY": KEY})
    assert found.status == 0
    assert ("note:" in found.out) is bool(note)
    assert note in found.out


def test_check_notes_a_document_in_place_of_the_root_of_an_organization_or_a_status_page(tmp_path: Path) -> None:
    text = """
organizations: [{name: a, admin_key_env: KEY, base_url: https://x/v1/organization/usage}]
status_pages: [{name: p, url: https://s/api/v2/summary.json}]
"""
    (tmp_path / "exporter.yml").write_text(text)
    found = cli("check", str(tmp_path / "exporter.yml"), env={"KEY": KEY})
    notes = [line.strip() for line in found.out.splitlines() if "note:" in line]
    assert notes == [
        "note: organization a: base_url has the path of a call, /organization/usage; each call appends its own: https://x/v1",
        "note: status page p: url has the path of a call, /api/v2/summary.json; each call appends its own: https://s",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("serve", "--web.listen-address=127.0.0.1:0", "--log.level=error", "--config.file"),
        ("probe", "--module=free", "--config.file"),
        ("report", "--config.file"),
        ("backfill", "--from=2026-11-01", "--output=history.om", "--config.file"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_says_at_once_that_a_proxy_cannot_be_used(command: tuple[str, ...], tmp_path: Path) -> None:
    text = """
targets: [{name: a, api_key_env: KEY}]
modules: {free: {endpoint: models}}
probes: [{target: a, module: free}]
organizations: [{name: o, admin_key_env: KEY}]
"""
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    env = {"KEY": KEY, "HTTPS_PROXY": "socks5://user:hunter2@127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""}
    found = cli(*command, str(file), env=env)
    expected = "environment variable HTTPS_PROXY: proxies of scheme socks5 are not supported; use an http:// proxy"
    assert (found.status, found.out) == (1, "")
    assert expected in found.err
    assert "hunter2" not in found.err


def test_check_says_what_a_good_file_does(file: Path) -> None:
    found = cli("check", str(file), env=ENV)
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
    found = cli("check", str(file), env=ENV)
    assert (found.status, found.out) == (1, "")
    lines = found.err.splitlines()
    assert len(lines) >= 3
    for line in lines:
        assert line.startswith(f"openai-exporter: {file}:")


def test_check_reads_a_web_configuration_too(file: Path, tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users: {alice: plain}")
    found = cli("check", str(file), "--web.config.file", str(web), env=ENV)
    assert found.status == 1
    assert "not a bcrypt hash" in found.err


def test_schema_accepts_a_good_file_and_refuses_a_bad_one(file: Path) -> None:
    schema = json.loads(cli("schema").out)
    good = yaml.safe_load(file.read_text())
    jsonschema.Draft202012Validator(schema).validate(good)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(good | {"extra": 1})


def test_metrics_prints_the_whole_catalogue() -> None:
    listed = json.loads(cli("metrics", "--format", "json").out)
    assert list(CATALOGUE) == [each["name"] for each in listed]
    markdown = cli("metrics").out
    assert sorted(CATALOGUE) == sorted(line.split("`")[1] for line in markdown.splitlines() if line[:3] == "| `")

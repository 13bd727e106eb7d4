# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter serve`: flags, starts that fail, and what a start loads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter.web.live import Settings
from tests.exporter.cli.commands import cli
from tests.exporter.web.exporters import KEY


def test_flags_are_named_as_in_prometheus() -> None:
    found = cli("serve", "--help").out
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
    found = cli(*address, *(each.format(folder=tmp_path) for each in arguments), env=env)
    told = [line for line in found.err.splitlines() if line.startswith("openai-exporter: ")]
    assert found.status == 1
    assert len(told) == 1
    assert message in told[0]
    assert "Traceback" not in found.err
    assert KEY not in found.err


def test_a_start_that_cannot_be_is_a_record_among_json_records(tmp_path: Path) -> None:
    found = cli("--log.format=json", f"--config.file={tmp_path}/gone.yml", "--web.listen-address=127.0.0.1:0")
    records = [json.loads(line) for line in found.err.splitlines()]
    assert found.status == 1
    assert ("error", f"cannot start: {tmp_path}/gone.yml: cannot be read: No such file or directory; "
            "name an existing file") == (records[-1]["level"], records[-1]["msg"])  # fmt: skip


STATE = {
    "in the state folder": ([], {"XDG_STATE_HOME": "/state"}, "/state/openai-exporter"),
    "at home": ([], {"HOME": "/home/jo"}, "/home/jo/.local/state/openai-exporter"),
    "a relative folder is none": ([], {"XDG_STATE_HOME": "state", "HOME": "/r"}, "/r/.local/state/openai-exporter"),
    "by the variable": ([], {"OPENAI_EXPORTER_STORAGE_PATH": "/var/lib/x", "XDG_STATE_HOME": "/state"}, "/var/lib/x"),
    "off by the variable": ([], {"OPENAI_EXPORTER_STORAGE_PATH": "", "XDG_STATE_HOME": "/state"}, ""),
    "off by the flag": (["--storage.path="], {"XDG_STATE_HOME": "/state"}, ""),
    "by the flag": (["--storage.path=/mine"], {"OPENAI_EXPORTER_STORAGE_PATH": "/var/lib/x"}, "/mine"),
}  # fmt: skip


@pytest.mark.parametrize(("flags", "env", "folder"), STATE.values(), ids=list(STATE))
def test_where_state_is_kept_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], env: dict[str, str], folder: str
) -> None:
    monkeypatch.delenv("OPENAI_EXPORTER_STORAGE_PATH")
    found = cli("serve", f"--config.file={tmp_path}/gone.yml", *flags, env=env)
    said = f"state is kept in {folder}; --storage.path= keeps none" if folder else "no state is kept over a restart"
    assert said in found.err


def test_serving_loads_no_heavy_library_before_it_listens() -> None:
    """What takes long to import is left for after the start."""
    code = (
        "import sys, openai_exporter.cli.serve, openai_exporter.web.server; "
        "print(*{'openai', 'requests', 'genai_prices', 'jinja2', 'rich', 'bcrypt'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert found.stdout.strip() == ""


def test_secrets_of_the_environment_are_in_no_repr() -> None:
    proxies: dict[str, Any] = {"https": "http://user:hunter2@proxy"}
    text = repr(Settings(env={"OPENAI_API_KEY": KEY}, proxies=proxies))
    assert KEY not in text
    assert "hunter2" not in text

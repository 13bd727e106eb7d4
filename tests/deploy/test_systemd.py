# SPDX-License-Identifier: Apache-2.0
"""The systemd unit is well formed, shut tight, and starts what it says with what is mounted."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from openai_exporter.cli.serve import serve
from openai_exporter.config.load import parse_config

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNIT = FOLDER / "openai-exporter.service"
WORST = 2.0
"""Exposure that `systemd-analyze security` may find; 10 is a service without any protection."""


def directives(name: str) -> list[str]:
    """Every value of a directive, in order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def test_systemd_reads_every_line(tmp_path: Path) -> None:
    program = tmp_path / "openai-exporter"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/openai-exporter/bin/openai-exporter", str(program)))
    found = analyze("verify", str(unit))
    ours = [line for line in found.stderr.splitlines() if UNIT.name in line]
    assert (found.returncode, ours) == (0, [])


def test_it_leaves_little_exposed() -> None:
    found = analyze("security", "--offline=yes", "--no-pager", str(UNIT))
    rated = re.search(r"Overall exposure level for openai-exporter.service: ([\d.]+)", found.stdout)
    if rated is None:
        pytest.skip(f"this systemd-analyze cannot rate a unit file: {found.stderr.strip()}")
    assert float(rated[1]) <= WORST


def test_it_starts_with_flags_that_exist() -> None:
    (command,) = directives("ExecStart")
    known = {option for each in serve.params for option in each.opts}
    flags = {word.partition("=")[0] for word in command.split() if word.startswith("--")}
    assert "--config.file" in flags
    assert flags <= known
    assert f"/var/lib/{directives('StateDirectory')[0]}" in command


def test_keys_come_as_credentials_and_never_through_the_environment(tmp_path: Path) -> None:
    credentials = {each.partition(":")[0] for each in directives("LoadCredential")}
    text = (FOLDER / "exporter.yml").read_text(encoding="utf-8")
    folder = f"/run/credentials/{UNIT.name}"
    for name in credentials:
        (tmp_path / name).write_text("sk-test")
    config = parse_config(text.replace(folder, str(tmp_path)), "exporter.yml", {}, tmp_path)
    wanted = {str(each.api_key_file) for each in config.targets} | {
        str(each.admin_key_file) for each in config.organizations
    }
    assert wanted == {str(tmp_path / name) for name in credentials}
    assert directives("Environment") == ["OPENAI_EXPORTER_FLAGS="]


def test_the_guide_installs_every_file_and_names_the_rating() -> None:
    guide = (FOLDER / "README.md").read_text(encoding="utf-8")
    for each in (path.name for path in FOLDER.iterdir() if path.name != "README.md"):
        assert f"install -m 0644 {each} /etc/" in guide
    for each in directives("LoadCredential"):
        assert each.partition(":")[2] in guide

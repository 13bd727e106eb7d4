# SPDX-License-Identifier: Apache-2.0
"""Shells complete commands and flags."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openai_exporter.cli.main import COMMANDS
from tests.exporter.web.exporters import run_cli


def answer(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    program = Path(sys.executable).with_name("openai-exporter")
    assert program.is_file(), "the package is not installed beside this interpreter"
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "_OPENAI_EXPORTER_COMPLETE": "bash_complete",
    }
    found = subprocess.run(
        [program], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=True
    )
    return [each.partition(",")[2] for each in found.stdout.split()]


def test_commands_are_completed() -> None:
    assert answer("openai-exporter ") == list(COMMANDS)
    assert answer("openai-exporter pr") == ["probe"]


def test_flags_and_choices_are_completed() -> None:
    assert answer("openai-exporter serve --web.c") == ["--web.config.file"]
    assert answer("openai-exporter bundle --only k") == ["kubernetes"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_accepts_its_script(shell: str) -> None:
    process = run_cli("completion", shell)
    script, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "_OPENAI_EXPORTER_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is not parsed (Debian: apt-get install {shell})")
    subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=30)


def test_an_unknown_shell_is_answered_with_those_there_are() -> None:
    process = run_cli("completion", "tcsh")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in error

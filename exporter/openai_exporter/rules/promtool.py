# SPDX-License-Identifier: Apache-2.0
"""Runs Prometheus' own promtool where it is on PATH."""

import shutil
import subprocess
from pathlib import Path

from openai_exporter.errors import StartError

SECONDS = 300.0
_NOISE = ("Checking ", "FAILED")
_HEADING = "yaml: unmarshal errors:"
MISSING = "promtool is not on PATH; it comes with Prometheus (Debian: sudo apt-get install prometheus)"


def find() -> str | None:
    """Path of promtool, None when it is not on PATH."""
    return shutil.which("promtool")


def check_rules(promtool: str, path: Path) -> list[str]:
    """What promtool has against a rule file, one line each; empty when it accepts the file."""
    done = _run(promtool, "check", "rules", str(path))
    if done.returncode == 0:
        return []
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    said = [line.removeprefix(f"{path}: ") for line in lines if not line.startswith(_NOISE)]
    return [line for line in dict.fromkeys(said) if line and line != _HEADING] or ["promtool refuses it"]


def test_rules(promtool: str, path: Path) -> str | None:
    """What promtool prints when a test fails; None when all pass."""
    done = _run(promtool, "test", "rules", path.name, folder=path.parent)
    return None if done.returncode == 0 else done.stdout + done.stderr


def _run(promtool: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [promtool, *arguments], capture_output=True, text=True, timeout=SECONDS, cwd=folder, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"{promtool} cannot be run: {error}") from None

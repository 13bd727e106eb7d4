# SPDX-License-Identifier: Apache-2.0
"""promtool for the tests of this folder, and rule files for it."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter.rules.rule_file import find_promtool

PROMTOOL = os.environ.get("PROMTOOL_BINARY", "").partition(os.pathsep)[0] or find_promtool() or ""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")


def refused(folder: Path, rules: Sequence[dict[str, Any]]) -> list[bool]:
    """Whether promtool refuses each rule, each in a file of its own."""
    paths = []
    for number, rule in enumerate(rules):
        paths.append(folder / f"{number}.yml")
        paths[-1].write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}), encoding="utf-8")
    bad: set[str] = set()
    for part in _parts(paths):
        done = subprocess.run([PROMTOOL, "check", "rules", *part], capture_output=True, text=True, timeout=800)
        found = re.findall(rf"^{re.escape(str(folder))}/(\d+)\.yml:", done.stdout + done.stderr, re.MULTILINE)
        bad.update(found)
    return [str(number) in bad for number in range(len(rules))]


def _parts(paths: Sequence[Path]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), 300):
        yield [str(path) for path in paths[start : start + 300]]


def passes(folder: Path, rules: str, tests: Sequence[dict[str, Any]], interval: str = "1m") -> str:
    """What promtool prints when tests of a rule file fail; empty when they pass."""
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    document = {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": list(tests)}
    (folder / "test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, timeout=800
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr

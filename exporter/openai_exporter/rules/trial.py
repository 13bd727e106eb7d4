# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of thresholds.yml through promtool."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openai_exporter.config.duration import format_duration
from openai_exporter.rules import promtool as tool
from openai_exporter.rules.examples import Trial, trials
from openai_exporter.rules.output import as_yaml
from openai_exporter.rules.schema import ThresholdFile


def failures(file: ThresholdFile, promtool: str) -> list[tuple[int, int]]:
    """Index of threshold and example of each that does not hold, in the file's order.

    Raises:
        StartError: promtool cannot be run.
    """
    found: list[tuple[int, int]] = []
    by_threshold: dict[int, list[Trial]] = {}
    for trial in trials(file):
        by_threshold.setdefault(trial.place[0], []).append(trial)
    with tempfile.TemporaryDirectory(prefix="openai-exporter-rules-") as folder:
        for members in by_threshold.values():
            found += _failed(members, Path(folder), promtool)
    return found


def _failed(members: Sequence[Trial], folder: Path, promtool: str) -> list[tuple[int, int]]:
    if _passes(members, folder, promtool):
        return []
    return [each.place for each in members if not _passes([each], folder, promtool)]


def _passes(members: Sequence[Trial], folder: Path, promtool: str) -> bool:
    document: dict[str, Any] = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": format_duration(members[0].interval),
        "tests": [each.test for each in members],
    }
    (folder / "rules.yml").write_text(as_yaml(members[0].rules), encoding="utf-8")
    (folder / "test.yml").write_text(as_yaml(document), encoding="utf-8")
    return tool.test_rules(promtool, folder / "test.yml") is None

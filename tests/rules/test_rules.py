# SPDX-License-Identifier: Apache-2.0
"""Every rule against promtool: the cases of cases/*.yml."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mixin.bundle import PROMTOOLS, rule_files, run, version
from tests.mixin.lint.files import Files
from tests.rules.case import Case, cases
from tests.rules.harness import promtool_files

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")]


def failures(
    folder: Path, chosen: list[Case], files: Files | None = None, promtool: str = PROMTOOLS[0] if PROMTOOLS else ""
) -> dict[str, str]:
    """What promtool says of each file of cases that does not hold."""
    written = promtool_files(folder, chosen, files)
    with ThreadPoolExecutor(max_workers=2) as workers:
        found = workers.map(lambda path: run(promtool, "test", "rules", path), written.values())
    return {title: each.stdout + each.stderr for title, each in zip(written, found, strict=True) if each.returncode}


@pytest.mark.parametrize("file", sorted({case.file for case in cases()}))
@pytest.mark.parametrize("promtool", PROMTOOLS or [""], ids=version)
def test_every_case_holds(file: str, promtool: str, tmp_path: Path) -> None:
    chosen = [case for case in cases() if case.file == file]
    found = failures(tmp_path, chosen, promtool=promtool)

    assert not found, "\n".join(f"{title}\n{text}" for title, text in found.items())


CHANGES = {
    "one more bad probe": ("OpenAITargetDown", ">= 3", ">= 9"),
    "one bad probe less": ("OpenAITargetDown", ">= 3", ">= 2"),
    "a budget a little higher": ("OpenAIUserBudgetSpent", ">= 1", ">= 1.01"),
    "a budget a little lower": ("OpenAIUserBudgetSpent", ">= 1", ">= 0.99"),
    "a day less": ("OpenAIKeyExpiring", "14 * 86400", "13 * 86400"),
    "a moment that counts": ("OpenAIClockSkew", "> 30", ">= 30"),
    "the wrong state": ("OpenAIStatusIncident", "major|critical", "minor|critical"),
}


@pytest.mark.parametrize(("alert", "old", "new"), CHANGES.values(), ids=CHANGES)
def test_the_cases_notice_when_a_rule_changes(alert: str, old: str, new: str, tmp_path: Path) -> None:
    text = json.dumps(rule_files())
    changed = json.loads(text)
    touched = [
        rule | {"expr": rule["expr"].replace(old, new)}
        for document in changed.values()
        for group in document["groups"]
        for rule in group["rules"]
        if rule.get("alert") == alert and old in rule["expr"]
    ]
    for document in changed.values():
        for group in document["groups"]:
            group["rules"] = [next((each for each in touched if same(each, rule)), rule) for rule in group["rules"]]

    assert touched
    assert failures(tmp_path, [case for case in cases() if case.alert == alert], changed)


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether both are the same rule, whatever their expressions."""
    return one.get("alert") == other.get("alert") and one.get("labels") == other.get("labels")

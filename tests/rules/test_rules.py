# SPDX-License-Identifier: Apache-2.0
"""Every rule against promtool: the cases of cases/*.yml.

The newest version at hand runs all of them. Older ones differ from it in what lies on the edge of a range, which
decides where an alert counts a few samples: they run all cases at the pace of probes, and of those over hours and days
one for each alert, as the rules behind it have to load and evaluate there too.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mixin.bundle import PROMTOOLS, rule_files, run, version
from tests.mixin.lint.files import Files
from tests.mixin.lint.parser import seconds
from tests.rules.case import Case, cases
from tests.rules.harness import promtool_files

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")]


PACE = 300
"""Seconds between evaluations up to which a version's edges of ranges matter."""


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
    if promtool != PROMTOOLS[-1]:
        chosen = without_repetition(chosen)
    found = failures(tmp_path, chosen, promtool=promtool)

    assert not found, "\n".join(f"{title}\n{text}" for title, text in found.items())


def without_repetition(chosen: list[Case]) -> list[Case]:
    """All cases at the pace of probes, and of each alert's slower ones the first that fires, or the first."""
    slow = [case for case in chosen if seconds(case.evaluation) > PACE]
    first: dict[str, Case] = {}
    for case in sorted(slow, key=lambda case: not case.data.get("fires")):
        first.setdefault(case.alert or case.data["name"], case)
    return [case for case in chosen if case not in slow or case in first.values()]


def test_an_older_version_sees_every_alert() -> None:
    found = without_repetition(list(cases()))

    assert {case.alert for case in found} == {case.alert for case in cases()}
    assert len(found) < len(cases())


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

# SPDX-License-Identifier: Apache-2.0
"""Writes promtool's test files from the cases, each with just the generated rules that it needs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.mixin.bundle import rule_files
from tests.mixin.lint.files import Files, rules_of
from tests.mixin.lint.nodes import selectors
from tests.mixin.lint.parser import parse
from tests.rules.case import Case

Rules = tuple[tuple[str, dict[str, Any]], ...]
"""Group name and rule, in order of evaluation."""


def needed(case: Case, files: Files) -> Rules:
    """The rules that a case needs, recording rules first.

    Rules of other service levels or signals than that of the alert are left out; they would only cost time.
    """
    rules = list(enumerate(rules_of(_in_order(files))))
    chosen: dict[str, set[str]] = {
        label: {
            rule["labels"][label]
            for _, (_, rule) in rules
            if rule.get("alert") == case.alert and label in rule["labels"]
        }
        for label in ("slo", "anomaly")
    }
    if case.data.get("every_rule"):
        return tuple((group, dict(rule)) for _, (group, rule) in rules)
    wanted = {case.alert, *case.data.get("rules", ())}
    for each in case.data.get("values", ()):
        for selector in selectors(parse(case.expanded(each["expr"]))):
            wanted.add(selector.metric)
            for matcher in selector.matchers:
                if matcher.label in chosen:
                    chosen[matcher.label].add(matcher.value)
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    while wanted:
        name = wanted.pop()
        for number, (group, rule) in rules:
            labels = rule.get("labels", {})
            if any(values and labels.get(label, min(values)) not in values for label, values in chosen.items()):
                continue
            if name == (rule.get("record") or rule["alert"]) and number not in found:
                found[number] = (group, dict(rule))
                wanted |= {each.metric for each in selectors(parse(rule["expr"]))}
    return tuple(found[number] for number in sorted(found))


def _in_order(files: Files) -> dict[str, Mapping[str, Any]]:
    """Rule files such that each reads only what those before it record; Prometheus itself needs no order."""
    last = ("recording-anomalies.yml", "alerts-")
    return dict(sorted(files.items(), key=lambda item: [item[0].startswith(each) for each in last[::-1]]))


def promtool_files(folder: Path, cases: Iterable[Case], files: Files | None = None) -> dict[str, Path]:
    """Writes promtool's test files, one for all cases that share file, rules and evaluations: title -> path.

    `files` are the rule files to test, those of the bundle by default.
    """
    files = rule_files() if files is None else files
    grouped: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        names = ",".join(sorted({rule.get("record") or rule["alert"] for _, rule in needed(case, files)}))
        grouped.setdefault((case.file, case.evaluation, names), []).append(case)
    written = {}
    for number, ((file, evaluation, _), members) in enumerate(grouped.items()):
        groups: dict[str, list[dict[str, Any]]] = {}
        for group, rule in needed(members[0], files):
            groups.setdefault(group, []).append(rule)
        _write(folder / f"rules-{number}.yml", {"groups": [{"name": n, "rules": r} for n, r in groups.items()]})
        path = folder / f"{file}-{number}.yml"
        document = {
            "rule_files": [f"rules-{number}.yml"],
            "evaluation_interval": evaluation,
            "group_eval_order": list(groups),
            "tests": [case.tests() for case in members],
        }
        _write(path, document)
        written[f"{file} {number}: {members[0].alert or 'values'} every {evaluation}, {len(members)} cases"] = path
    return written


def _write(path: Path, document: dict[str, Any]) -> None:
    """JSON is YAML, and far quicker to write."""
    path.write_text(json.dumps(document))

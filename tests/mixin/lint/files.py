# SPDX-License-Identifier: Apache-2.0
"""Runs the checks over whole rule files, and finds what only several rules together show."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .checks import CHECKS, GROWTH, Context, Rule
from .labels import Inference
from .nodes import selectors
from .parser import PromQLError, parse, seconds

Files = Mapping[str, Mapping[str, Any]]
"""File name -> rule file as data."""

_LONGEST_INTERVAL = 300.0


def rules_of(files: Files) -> Iterator[tuple[str, Rule]]:
    """Each rule with the group that holds it."""
    for document in files.values():
        for group in document["groups"]:
            for rule in group["rules"]:
                yield group["name"], rule


def recorded_labels(files: Files) -> dict[str, frozenset[str]]:
    """Labels of every recorded series, found in as many rounds as the rules are deep."""
    found: dict[str, frozenset[str]] = {}
    records = [(rule["record"], rule) for _, rule in rules_of(files) if "record" in rule]
    for _ in range(len(records)):
        before = dict(found)
        for name, rule in records:
            labels = Inference(found).labels(parse(rule["expr"])) or frozenset()
            found[name] = found.get(name, frozenset()) | labels | set(rule.get("labels", {}))
        if found == before:
            break
    return found


def lint(files: Files, context: Context | None = None) -> list[str]:
    """Every problem as `group, rule: sentence`."""
    found = list(_duplicates(files)) + list(_groups(files))
    context = context or Context(recorded_labels(files))
    for group, rule in rules_of(files):
        name = rule.get("alert") or rule.get("record")
        try:
            tree = parse(rule["expr"])
        except PromQLError as error:
            found.append(f"{group}, {name}: {error}")
            continue
        for check in CHECKS:
            found += [f"{group}, {name}: {problem}" for problem in check(rule, tree, context)]
    return found


def used_series(files: Files) -> set[str]:
    """Names of all series that rules read."""
    return {selector.metric for _, rule in rules_of(files) for selector in selectors(parse(rule["expr"]))}


def _duplicates(files: Files) -> Iterator[str]:
    """rule/duplicate: the same name with the same labels twice."""
    seen = Counter(
        (rule.get("alert") or rule.get("record"), tuple(sorted(rule.get("labels", {}).items())))
        for _, rule in rules_of(files)
    )
    for (name, _), times in seen.items():
        if times > 1:
            yield f"{name}: defined {times} times with the same labels"


def _groups(files: Files) -> Iterator[str]:
    """group/interval: what is evaluated too rarely goes stale in between, growth aside; group names are unique."""
    names = Counter(group["name"] for document in files.values() for group in document["groups"])
    yield from (f"{name}: {times} groups have this name" for name, times in names.items() if times > 1)
    for document in files.values():
        for group in document["groups"]:
            growth = all(GROWTH.search(rule.get("record", "")) for rule in group["rules"])
            if seconds(group.get("interval", "0s")) >= _LONGEST_INTERVAL and not growth:
                yield f"{group['name']}: interval of five minutes or more leaves gaps"

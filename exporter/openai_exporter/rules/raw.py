# SPDX-License-Identifier: Apache-2.0
"""Raw Prometheus rule files: whether one can be loaded, and its groups as data."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from openai_exporter.config.base import parse_duration, unknown_key
from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.errors import ConfigError
from openai_exporter.files import read_text
from openai_exporter.rules.promql import PromQLError, check


class Doubt(Finding):
    """What promtool checks better than we do: expressions, and keys of newer versions."""


GROUP_KEYS = ("name", "interval", "limit", "rules")
RULE_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
"""What Prometheus 2.42 and 3 both know."""
_NEWER = {"query_offset": "2.53", "labels": "3.0"}
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def load_raw(path: Path, *, vouched: bool = False) -> list[dict[str, Any]]:
    """The groups of a rule file.

    Args:
        vouched: promtool accepts the file, so that only its shape is checked here.

    Raises:
        ConfigError: every mistake at once, with file, line and path; Prometheus would not load it, or may not.
    """
    document = Document(read_text(path, "a rule file"), str(path))
    findings = _file(document.data)
    problems = document.problems(each for each in findings if not (vouched and isinstance(each, Doubt)))
    if problems:
        raise ConfigError(problems)
    return [_plain_group(group) for group in document.data["groups"]]


def _file(data: Any) -> Iterator[Finding]:
    if not isinstance(data, dict):
        yield Finding((), f"{'is empty' if data is None else 'must be a mapping'}; start with `groups:`")
        return
    yield from _unknown((), data, ("groups",))
    groups = data.get("groups")
    if not isinstance(groups, list):
        yield Finding(("groups",), "must be a list of groups, each with name and rules")
        return
    names: set[str] = set()
    for index, group in enumerate(groups):
        yield from _group(("groups", index), group, names)


def _unknown(place: Place, data: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[Finding]:
    for key in data:
        newer = _NEWER.get(key) if allowed == GROUP_KEYS else None
        if newer:
            text = f"is new in Prometheus {newer}; rules here load in 2.42 too, remove it"
            yield Doubt((*place, key), text)
        elif key not in allowed:
            yield Finding((*place, key), unknown_key(key, allowed))


def _group(place: Place, group: Any, names: set[str]) -> Iterator[Finding]:
    if not isinstance(group, dict):
        yield Finding(place, "must be a mapping with name and rules")
        return
    yield from _unknown(place, group, GROUP_KEYS)
    name = group.get("name")
    if not isinstance(name, str) or not name:
        yield Finding((*place, "name"), "must be text; every group has a name")
    elif name in names:
        yield Finding((*place, "name"), "the file has this group twice; rename one", name)
    else:
        names.add(name)
    yield from _duration((*place, "interval"), group.get("interval"))
    limit = group.get("limit", 0)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        yield Finding((*place, "limit"), "must be a whole number of at least 0", limit)
    rules = group.get("rules")
    if rules is not None and not isinstance(rules, list):
        yield Finding((*place, "rules"), "must be a list of rules")
        return
    for index, rule in enumerate(rules or []):
        yield from _rule((*place, "rules", index), rule)


def _rule(place: Place, rule: Any) -> Iterator[Finding]:
    if not isinstance(rule, dict):
        yield Finding(place, "must be a mapping with record or alert, and expr")
        return
    yield from _unknown(place, rule, RULE_KEYS)
    record, alert = rule.get("record"), rule.get("alert")
    if (record is None) == (alert is None):
        yield Finding(place, "needs either record or alert")
    if record is not None and not (isinstance(record, str) and _METRIC.fullmatch(record)):
        text = "must be a metric name of letters, digits, underscores and colons"
        yield Finding((*place, "record"), text, record)
    if alert is not None and not (isinstance(alert, str) and alert):
        yield Finding((*place, "alert"), "must be text, the name of the alert")
    for key in ("for", "keep_firing_for", "annotations"):
        if record is not None and key in rule:
            yield Finding((*place, key), "is for alerts only; remove it from the recording rule")
    yield from _expression((*place, "expr"), rule.get("expr"))
    yield from _duration((*place, "for"), rule.get("for"))
    yield from _duration((*place, "keep_firing_for"), rule.get("keep_firing_for"))
    for key in ("labels", "annotations"):
        yield from _texts((*place, key), rule.get(key))


def _expression(place: Place, value: Any) -> Iterator[Finding]:
    if value is None or value == "" or not isinstance(value, str | int | float) or isinstance(value, bool):
        yield Finding(place, "must be a PromQL expression")
        return
    expression = _text(value)
    try:
        kind = check(expression)
    except PromQLError as error:
        yield Doubt(place, str(error), expression.strip())
        return
    if kind not in ("scalar", "instant vector"):
        yield Finding(place, f"is a {kind}; a rule needs an instant vector", expression.strip())


def _duration(place: Place, value: Any) -> Iterator[Finding]:
    if value is None or value == 0:
        return
    try:
        parse_duration(value if isinstance(value, str) else None)
    except ValueError as error:
        yield Finding(place, str(error), value)


def _texts(place: Place, value: Any) -> Iterator[Finding]:
    if value is None:
        return
    if not isinstance(value, dict):
        yield Finding(place, "must be a mapping of names to texts")
        return
    for name, text in value.items():
        if not _LABEL.fullmatch(name) or (place[-1] == "labels" and name == "__name__"):
            yield Finding((*place, name), "must be a name of letters, digits and underscores", name)
        if isinstance(text, float) or not isinstance(text, str | int):
            yield Finding((*place, name), "must be text; put it in quotes")


def _plain_group(group: dict[str, Any]) -> dict[str, Any]:
    made = {key: group[key] for key in (*GROUP_KEYS[:-1], *_NEWER) if group.get(key) is not None}
    return made | {"rules": [_plain_rule(rule) for rule in group.get("rules") or []]}


def _plain_rule(rule: dict[str, Any]) -> dict[str, Any]:
    made = {key: rule[key] for key in RULE_KEYS if rule.get(key) is not None}
    made["expr"] = _text(made["expr"])
    for key in ("labels", "annotations"):
        if key in made:
            made[key] = {name: _text(text) for name, text in made[key].items()}
    return made


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

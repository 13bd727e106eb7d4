# SPDX-License-Identifier: Apache-2.0
"""Hundreds of broken files of thresholds: each mistake is located; none gives a traceback or a broken rule file."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from openai_exporter.cli.rules import rules
from openai_exporter.errors import ConfigError
from openai_exporter.rules.compile import groups
from openai_exporter.rules.rule_file import as_yaml, load_raw
from openai_exporter.rules.thresholds import parse_thresholds

FULL: dict[str, Any] = {
    "name": "high latency",
    "metric": "p95_latency",
    "operator": ">",
    "threshold": "5s",
    "for": "2m",
    "window": "5m",
    "severity": "warning",
    "enabled": True,
    "team": "platform",
    "target": "openai",
    "endpoint": ["chat"],
    "model": ["gpt-6*"],
    "min_events": 2,
    "summary": "Too slow.",
    "description": "It took {{ $value | humanizeDuration }}.",
    "runbook_url": "https://runbooks.example.org/x",
    "examples": [{"value": "6s", "fires": True}],
}
SETTINGS: dict[str, Any] = {
    "selector": 'job="openai"',
    "interval": "60s",
    "min_events": 2,
    "grafana_url": "https://grafana.example.org",
    "runbook_url": "https://runbooks.example.org/%s",
}
JUNK: list[Any] = [
    None, [], {}, "", " ", -1, 0, 1e308, float("inf"), float("nan"), True, "yes", "}{", "{{ $value", "a\nb", "5 parsecs",
    [None], [[]], {"a": 1}, "é" * 3000, "sk-proj-abcdefghijklmnop",
]  # fmt: skip
REQUIRED = ("name", "metric", "operator", "threshold", "severity")
EDITS = [
    ("  - name", "\t- name"), ("name: high latency", "name: 'high latency"), ("name: high latency", "name: [high"),
    ("operator: '>'", "operator: >"), ("operator: '>'", "operator: >="), ("severity: warning", "severity warning"),
    ("severity: warning", "severity: warning: bad"), ("thresholds:", "thresholds"), ("thresholds:", "thresholds: &a *a"),
    ("thresholds:", "thresholds: *nosuch"), ("severity: warning", "severity: warning\n    severity: info"),
    ("enabled: true", "enabled: !!python/object:os.system x"), ("team: platform", "team: %platform"),
    ("team: platform", "team: @platform"), ("team: platform", "team: `p"), ("threshold: 5s", "threshold: 5s\n   - x"),
    ("threshold: 5s", "threshold: {5s"), ("threshold: 5s", "\x07threshold: 5s"), ("thresholds:", "---\n---\nthresholds:"),
    ("thresholds:", "thresholds:\n  name: x"), ("threshold: 5s", "threshold: !!int 5s"), ("threshold: 5s", "? threshold"),
    ("threshold: 5s", "threshold: " + "9" * 200), ("threshold: 5s", "threshold: " + "[" * 60 + "]" * 60),
    ("team: platform", "<<: 3"), ("team: platform", "tem: platform"), ("thresholds:", "threshold:"),
]  # fmt: skip


def dumped(entry: dict[str, Any], shared: dict[str, Any]) -> str:
    return yaml.safe_dump({"settings": shared, "thresholds": [entry]}, sort_keys=False, allow_unicode=True)


def variants() -> Iterator[tuple[str, Callable[[], str]]]:
    """(what was done, what makes the text) of each broken file."""
    for key in REQUIRED:
        left = {name: value for name, value in FULL.items() if name != key}
        yield f"without {key}", partial(dumped, left, SETTINGS)
    for key in FULL:
        for number, junk in enumerate(JUNK):
            yield f"{key}, junk {number}", partial(dumped, FULL | {key: junk}, SETTINGS)
        misspelt = {f"{name}x" if name == key else name: value for name, value in FULL.items()}
        yield f"{key} misspelt", partial(dumped, misspelt, SETTINGS)
    for key in SETTINGS:
        for number, junk in enumerate(JUNK):
            yield f"settings.{key}, junk {number}", partial(dumped, FULL, SETTINGS | {key: junk})
    whole = dumped(FULL, SETTINGS)
    for old, new in EDITS:
        if old in whole:
            yield f"{old} -> {new[:40]}", partial(whole.replace, old, new, 1)


def is_fine(text: str) -> bool:
    """Whether a variant happens to be no mistake, such as `min_events: 1` or an empty list of examples."""
    try:
        parse_thresholds(text, "thresholds.yml")
    except ConfigError:
        return False
    return True


VARIANTS = list(variants())


def test_there_are_more_than_two_hundred_variants_and_few_are_no_mistake() -> None:
    fine = sum(is_fine(text()) for _, text in VARIANTS)

    assert len(VARIANTS) - fine > 400
    assert fine < 40


@pytest.mark.parametrize(("what", "make"), VARIANTS, ids=[what for what, _ in VARIANTS])
def test_every_mistake_is_located(what: str, make: Callable[[], str], tmp_path: Path) -> None:
    text = make()
    if is_fine(text):
        return
    thresholds = tmp_path / "thresholds.yml"
    thresholds.write_text(text, encoding="utf-8")

    arguments = ["check", "--thresholds", thresholds, "--rules-dir", tmp_path / "none"]
    done = CliRunner().invoke(rules, [str(each) for each in arguments])

    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    lines = done.stderr.splitlines()
    assert lines
    for line in lines:
        assert re.match(rf"openai-exporter: {re.escape(str(thresholds))}(:\d+)?: \S", line), line
        assert not re.search(r"Traceback|Input should|pydantic|Value error|sk-proj-abcdef", line), line
    assert any(re.search(r"\.yml:\d+: ", line) for line in lines), lines


@settings(max_examples=200)
@given(data=st.data())
def test_a_random_edit_gives_a_located_mistake_or_rules_that_load(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = dumped(FULL, SETTINGS)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 8)))
        text = text[:start] + data.draw(st.text(max_size=5)) + text[end:]
    try:
        found = parse_thresholds(text, "thresholds.yml")
    except ConfigError as error:
        assert error.problems
        assert all(re.match(r"thresholds\.yml(:\d+)?(: |$)", each.place) and each.message for each in error.problems)
        return
    path = tmp_path_factory.mktemp("edited") / "rules.yml"
    path.write_text(as_yaml({"groups": groups(found)}), encoding="utf-8")
    assert len(load_raw(path)) == len(groups(found))

# SPDX-License-Identifier: Apache-2.0
"""Raw rule files: what is taken, and where each mistake is."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from openai_exporter.errors import ConfigError
from openai_exporter.rules.rule_file import load_raw

GOOD = """groups:
  - name: mine
    interval: 30s
    limit: 5
    rules:
      - record: target:probe_success:avg1h
        expr: avg by (target) (avg_over_time(probe_success[1h]))
        labels: {tier: 1, live: true}
      - alert: MyAlert
        expr: target:probe_success:avg1h < 0.9
        for: 5m
        keep_firing_for: 1m
        annotations:
          summary: '{{ $labels.target }} is at {{ $value | humanizePercentage }}'
"""


def load(text: str, folder: Path) -> list[dict[str, object]]:
    path = folder / "r.yml"
    path.write_text(text, encoding="utf-8")
    return load_raw(path)


def message_of(text: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, folder)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_rule_file_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    groups = load(GOOD, tmp_path)

    assert groups[0]["name"] == "mine"
    assert groups[0]["interval"] == "30s"
    rules = groups[0]["rules"]
    assert isinstance(rules, list)
    assert rules[0]["labels"] == {"tier": "1", "live": "true"}
    assert rules[1]["keep_firing_for"] == "1m"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("rules:", "rulez:", "r.yml:5: groups[0].rulez: unknown key 'rulez'; did you mean 'rules'? allowed: name, "
         "interval, limit, rules"),
        ("name: mine", "name: 5", "r.yml:2: groups[0].name: must be text; every group has a name"),
        ("interval: 30s", "interval: soon",
         "r.yml:3: groups[0].interval: 'soon': must be a duration such as 15s, 500ms or 1h30m"),
        ("limit: 5", "limit: many", "r.yml:4: groups[0].limit: 'many': must be a whole number of at least 0"),
        ("limit: 5", "query_offset: 5m", "r.yml:4: groups[0].query_offset: is new in Prometheus 2.53; rules here load "
         "in 2.42 too, remove it"),
        ("[1h]))", "[1h])", "r.yml:7: groups[0].rules[0].expr: 'avg by (target) (avg_over_time(probe_success[1h])': "
         "unclosed left parenthesis"),
        ("avg_over_time(probe_success[1h])", "rate(probe_success)", "r.yml:7: groups[0].rules[0].expr: "
         "'avg by (target) (rate(probe_success))': expected type matrix in call to function 'rate', got vector"),
        ("avg by (target) (avg_over_time(probe_success[1h]))", "up[5m]",
         "r.yml:7: groups[0].rules[0].expr: 'up[5m]': is a range vector; a rule needs an instant vector"),
        ("- alert: MyAlert", "- record: a b", "r.yml:9: groups[0].rules[1].record: 'a b': must be a metric name of "
         "letters, digits, underscores and colons\nr.yml:11: groups[0].rules[1].for: is for alerts only; remove it "
         "from the recording rule\nr.yml:12: groups[0].rules[1].keep_firing_for: is for alerts only; remove it from "
         "the recording rule\nr.yml:13: groups[0].rules[1].annotations: is for alerts only; remove it from the "
         "recording rule"),
        ("- alert: MyAlert", "- alert: MyAlert\n        record: x",
         "r.yml:9: groups[0].rules[1]: needs either record or alert\n"
         "r.yml:12: groups[0].rules[1].for: is for alerts only; remove it from the recording rule\n"
         "r.yml:13: groups[0].rules[1].keep_firing_for: is for alerts only; remove it from the recording rule\n"
         "r.yml:14: groups[0].rules[1].annotations: is for alerts only; remove it from the recording rule"),
        ("for: 5m", "for: 5q",
         "r.yml:11: groups[0].rules[1].for: '5q': must be a duration such as 15s, 500ms or 1h30m"),
        ("tier: 1", "a-b: 1",
         "r.yml:8: groups[0].rules[0].labels.a-b: 'a-b': must be a name of letters, digits and underscores"),
        ("tier: 1", "tier: 1.50", "r.yml:8: groups[0].rules[0].labels.tier: must be text; put it in quotes"),
        ("annotations:", "annotations: none #", None),
        ("groups:", "group:", None),
        ("  - name: mine", "  - name: mine\n  - name: mine", None),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line(old: str, new: str, expected: str | None, tmp_path: Path) -> None:
    assert old in GOOD
    message = message_of(GOOD.replace(old, new, 1), tmp_path)

    if expected is not None:
        assert expected == message
    assert all(line.startswith("r.yml:") for line in message.splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "r.yml: is empty; start with `groups:`"),
        ("- a", "r.yml:1: must be a mapping; start with `groups:`"),
        ("groups: {}", "r.yml:1: groups: must be a list of groups"),
        ("groups: [3]", "r.yml:1: groups[0]: must be a mapping with name and rules"),
        ("groups: [{name: a, rules: 3}]", "r.yml:1: groups[0].rules: must be a list of rules"),
        (
            "groups: [{name: a, rules: [3]}]",
            "r.yml:1: groups[0].rules[0]: must be a mapping with record or alert",
        ),
        (
            "groups: [{name: a, rules: [{alert: A}]}]",
            "r.yml:1: groups[0].rules[0].expr: must be a PromQL expression",
        ),
        (
            "groups: [{name: a}, {name: a}]",
            "r.yml:1: groups[1].name: 'a': the file has this group twice; rename one",
        ),
        ("groups: [\n", "r.yml:2: has a bracket"),
        (
            "groups: [{name: a, rules: [{alert: A, expr: up, labels: [x]}]}]",
            "labels: must be a mapping of names",
        ),
        ("groups: [{name: a, rules: [{alert: '', expr: up}]}]", "alert: must be text, the name of the alert"),
    ],
)
def test_what_is_no_rule_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    assert said in message_of(text, tmp_path)


def test_what_promtool_vouches_for_need_not_be_known_here(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(
        "groups: [{name: a, query_offset: 1m, rules: [{record: 'a:b:c', expr: 'limitk(1, up)'}]}]",
        encoding="utf-8",
    )

    with pytest.raises(ConfigError):
        load_raw(path)
    assert load_raw(path, vouched=True) == [
        {"name": "a", "query_offset": "1m", "rules": [{"record": "a:b:c", "expr": "limitk(1, up)"}]}
    ]


@given(start=st.integers(0, len(GOOD)), cut=st.integers(0, 6), piece=st.text(max_size=4))
def test_no_edit_gives_a_traceback(start: int, cut: int, piece: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = GOOD[:start] + piece + GOOD[start + cut :]
    try:
        load(text, tmp_path_factory.mktemp("edit"))
    except ConfigError as error:
        assert all(str(problem) for problem in error.problems)

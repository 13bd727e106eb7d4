# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml: what is read, the exact message for each kind of mistake, and label matchers."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from hypothesis import given, strategies as st

from openai_exporter.errors import ConfigError
from openai_exporter.rules.promql import check
from openai_exporter.rules.thresholds import (
    DEFAULT_SELECTOR,
    alert_name,
    an_instance,
    load_thresholds,
    matcher,
    matcher_of_others,
    parse_thresholds,
    pattern,
)
from tests.exporter.rules.documents import document

TEXT = """
thresholds:
  - name: high latency
    metric: p95_latency
    operator: '>'
    threshold: 5s
    for: 2m
    severity: warning
    model: gpt-6*
    endpoint: [chat, responses]
"""


def test_a_file_is_read() -> None:
    found = parse_thresholds(TEXT, "thresholds.yml")

    entry = found.thresholds[0]
    assert entry.name == "high latency"
    assert entry.hold == 120.0
    assert entry.model == ("gpt-6*",)
    assert entry.endpoint == ("chat", "responses")
    assert entry.enabled
    assert found.settings.interval == 60.0


def message_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_thresholds(text, "t.yml")
    return str(caught.value)


METRICS = (
    "p50_latency, p90_latency, p95_latency, p99_latency, mean_latency, time_to_first_token, error_rate, throughput, "
    "tokens_per_second, headroom, requests_per_hour, tokens_per_hour, cost_per_hour, cost_per_day, cost_per_month, "
    "probe_cost_per_day"
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "metric: p95_latency",
            "metric: p95_latencies",
            f"t.yml:4: thresholds[0].metric: 'p95_latencies': must be one of {METRICS}; did you mean 'p95_latency'?",
        ),
        (
            "operator: '>'",
            "operator: >",
            "t.yml:5: thresholds[0].operator: '': must be one of >, >=, <, <=; "
            "YAML reads a bare > as the start of a text, write it in quotes: '>'",
        ),
        ("operator: '>'", "operator: >=", "t.yml:5: has a bare >= or similar sign; write it in quotes: operator: '>='"),
        ("operator: '>'", "operator: over", "t.yml:5: thresholds[0].operator: 'over': must be one of >, >=, <, <="),
        (
            "threshold: 5s",
            "threshold: 5000",
            "t.yml:6: thresholds[0].threshold: 5000: must be a duration with its unit, such as 5s, 2.5s or 800ms; "
            "write threshold: 5000ms",
        ),
        (
            "threshold: 5s",
            "threshold:",
            "t.yml:6: thresholds[0].threshold: is empty (null); must be a number or a text with a unit, such as 5s, "
            "5% or 25 USD; give a value or remove the key",
        ),
        (
            "for: 2m",
            "for: two minutes",
            "t.yml:7: thresholds[0].for: 'two minutes': must be a duration such as 15s, 500ms or 1h30m",
        ),
        (
            "severity: warning",
            "severity: page",
            "t.yml:8: thresholds[0].severity: 'page': must be one of critical, warning, info; "
            "write severity: critical, which pages",
        ),
        (
            "severity: warning",
            "severity: Ticket",
            "t.yml:8: thresholds[0].severity: 'Ticket': must be one of critical, warning, info; "
            "write severity: warning, which notifies",
        ),
        (
            "threshold: 5s",
            "threshold: 10m",
            "t.yml:6: thresholds[0].threshold: '10m': no probe takes 10m: its deadline is below the interval of the "
            "probes, 1m; choose a limit below the deadline",
        ),
        (
            "severity: warning",
            "severty: warning",
            "t.yml:3: thresholds[0].severity: is missing; must be one of critical, warning, info\n"
            "t.yml:8: thresholds[0].severty: unknown key 'severty'; did you mean 'severity'? allowed: name, metric, "
            "operator, threshold, for, window, severity, enabled, team, target, endpoint, model, not_model, "
            "organization, project, min_events, summary, description, runbook_url, examples",
        ),
        (
            "model: gpt-6*",
            "model: gpt-6.*",
            "t.yml:9: thresholds[0].model: 'gpt-6.*': must be a name or a pattern with *, not a regular expression: "
            "* stands for anything, such as gpt-6*; give several as a list",
        ),
        (
            "model: gpt-6*",
            "model: 6.1",
            "t.yml:9: thresholds[0].model: 6.1: must be the name of a model, a pattern with *, or a list of them; "
            "put it in quotes: '6.1'",
        ),
        (
            "[chat, responses]",
            "[chat, completions]",
            "t.yml:10: thresholds[0].endpoint[1]: 'completions': must be one of chat, responses, embeddings, "
            "moderations, models, transcriptions, speech, images",
        ),
        (
            "model: gpt-6*",
            "project: proj_x",
            "t.yml:9: thresholds[0].project: metric p95_latency is not known by project; "
            "allowed: target, endpoint, model",
        ),
        (
            "for: 2m",
            "window: 1m",
            "t.yml:7: thresholds[0].window: '1m': must be at least 3m, 3 probes at the interval of 1m; "
            "else the alert can never fire",
        ),
        (
            "for: 2m",
            "description: '{{ $labels.tenant }}'",
            "t.yml:7: thresholds[0].description: names label tenant, which the alert does not carry; it carries job, "
            "target, module, endpoint, model, provider, severity, team, category",
        ),
        (
            "for: 2m",
            "summary: '{{ template }}'",
            "t.yml:7: thresholds[0].summary: has {{ template }}; allowed between braces: $value, $value | humanize, "
            "humanizeDuration or humanizePercentage, and $labels.NAME",
        ),
        (
            "for: 2m",
            "examples: [{value: 5s, values: [5s], fires: true}]",
            "t.yml:7: thresholds[0].examples[0]: needs value (one that lasts) or values (one per probe), not both",
        ),
        (
            "for: 2m",
            "examples: [{values: [fast x3], fires: true}]",
            "t.yml:7: thresholds[0].examples[0].values: 'fast': must be a duration with its unit, such as 5s, 2.5s "
            "or 800ms; or one of timeout, fail, none",
        ),
        (
            "\nthresholds:",
            "\nsettings: {interval: 1h}\nthresholds:",
            "t.yml:2: settings.interval: '1h': must be at most 5m; Prometheus takes an older sample for gone\n"
            "t.yml:4: thresholds[0].window: '5m': must be at least 3h, 3 probes at the interval of 1h; "
            "else the alert can never fire",
        ),
        (
            "\nthresholds:",
            "\nsettings: {selector: 'job='}\nthresholds:",
            "t.yml:2: settings.selector: 'job=': must be label matchers as PromQL writes them, such as "
            f"{DEFAULT_SELECTOR}: is not valid PromQL",
        ),
        (
            "\nthresholds:",
            "\nsettings: {selector: 'outcome!=\"internal\"'}\nthresholds:",
            't.yml:2: settings.selector: outcome!="internal": internal was renamed to exporter_error',
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_place_value_and_what_is_allowed(old: str, new: str, expected: str) -> None:
    assert old in TEXT
    assert expected == message_of(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"metric": "error_rate", "threshold": "100%"}, "error_rate > 100% is never true"),
        ({"metric": "error_rate", "threshold": "0%", "operator": ">="}, "error_rate >= 0% is always true"),
        ({"metric": "throughput", "threshold": "0/min", "operator": "<"}, "throughput < 0 per minute is never true"),
        ({"metric": "p95_latency", "threshold": "0s", "operator": ">="}, "p95_latency >= 0s is always true"),
        ({"metric": "headroom", "threshold": "100%", "operator": "<="}, "headroom <= 100% is always true"),
        ({"metric": "error_rate", "threshold": "5%", "operator": "<"}, "metric error_rate takes > or >="),
        ({"metric": "headroom", "threshold": "5%"}, "metric headroom takes < or <="),
        ({"metric": "cost_per_day", "threshold": 5, "operator": "<"}, "metric cost_per_day takes > or >="),
        ({"metric": "cost_per_day", "threshold": 5, "window": "1h"}, "is not for metric cost_per_day"),
        ({"metric": "cost_per_day", "threshold": 5, "model": "x"}, "not known by model; allowed: organization"),
        ({"metric": "headroom", "threshold": "5%", "operator": "<", "min_events": 3}, "counts no probes"),
        ({"min_events": 9}, "'5m': must be at least 9m, 9 probes"),
        ({"window": "16d"}, "must be at most 15d"),
        ({"for": "16d"}, "must be at most 15d"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_alert_that_cannot_fire_or_stay_silent_is_refused(entry: dict[str, Any], said: str) -> None:
    assert said in message_of(document(entry))


def test_names_may_repeat_with_another_severity_only() -> None:
    same = {"name": "Slow"}
    assert parse_thresholds(document(same, {"name": "slow", "severity": "critical"}), "t.yml")
    assert message_of(document(same, {"name": "slow"})) == (
        "t.yml:8: thresholds[1].name: 'slow': is alert OpenAISlow with severity warning again; "
        "give it another name or severity; first on line 2 (thresholds[0].name)"
    )


@pytest.mark.parametrize(
    ("names", "free"),
    [
        (["target_down"], "my_target_down"),
        (["OpenAI target down"], "my_OpenAI target down"),
        (["Target-Down", "my target down"], "my_my_Target-Down"),
        (["quota exhausted"], "my_quota exhausted"),
    ],
)
def test_a_name_of_a_shipped_alert_is_refused_with_one_that_is_free(names: list[str], free: str) -> None:
    text = message_of(document(*({"name": name, "threshold": f"{number + 1}s"} for number, name in enumerate(names))))

    assert text == (
        f"t.yml:2: thresholds[0].name: {names[0]!r}: is alert {alert_name(names[0])}, which the shipped rules have already; "
        f"use another name, such as {free}"
    )
    assert parse_thresholds(document({"name": free}), "t.yml").thresholds


def test_models_that_are_left_out_need_a_metric_that_knows_models() -> None:
    assert parse_thresholds(document({"not_model": "*-pro"}), "t.yml").thresholds
    assert matcher_of_others("model", ["*-pro", "o3"]) == 'model!~".*-pro|o3"'
    entry = {"metric": "cost_per_day", "threshold": "5 USD", "not_model": "o3"}
    assert "thresholds[0].not_model: metric cost_per_day is not known by model; remove it" in message_of(
        document(entry)
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = message_of(document({"metric": "latency"}, {"severity": "x", "for": -1}))
    assert [line.partition(": ")[0] for line in text.splitlines()] == ["t.yml:3", "t.yml:12", "t.yml:13"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.yml: is empty; start with `thresholds:`"),
        ("# nothing", "t.yml: is empty; start with `thresholds:`"),
        ("{}", "t.yml: is empty; start with `thresholds:`"),
        ("- name: a", "t.yml:1: must be a mapping; start with `thresholds:`"),
        ("word", "t.yml:1: 'word': must be a mapping; start with `thresholds:`"),
        ("thresholds: {a: b}", "t.yml:1: thresholds: must be a list of thresholds"),
        ("thresholds: [3]", "t.yml:1: thresholds[0]: 3: must be a mapping with keys of name, metric"),
        ("alerts: []", "t.yml:1: thresholds: is missing; must be a list of thresholds"),
        ("thresholds: [", "t.yml:1: has a bracket or brace that is not closed"),
    ],
)
def test_what_is_no_file_of_thresholds_is_refused(text: str, said: str) -> None:
    assert said in message_of(text)


def test_a_file_without_thresholds_is_fine() -> None:
    assert parse_thresholds("thresholds: []", "t.yml").thresholds == ()


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_thresholds(path)
    path.write_bytes(b"thresholds: []\n# caf\xe9")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text .byte 0xe9 on line 2."):
        load_thresholds(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_thresholds(path)


# Names and patterns to label matchers.


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["gpt-6-luna"], 'model="gpt-6-luna"'),
        (["gpt-5.4-mini"], 'model="gpt-5.4-mini"'),
        (["gpt-5.4*"], r'model=~"gpt-5\\.4.*"'),
        (["*"], 'model!=""'),
        (["*mini", "o5"], 'model=~".*mini|o5"'),
        (['a"b'], r'model="a\"b"'),
        (["ft:gpt-6:acme::x1"], 'model="ft:gpt-6:acme::x1"'),
    ],
)
def test_a_scope_becomes_a_matcher(patterns: list[str], expected: str) -> None:
    assert expected == matcher("model", patterns)


@pytest.mark.parametrize(
    "value", ["", "two words", "gpt-6.*", "gpt-6.+", "a|b", "(a)", "^a", "a$", "a\\b", "[ab]", "é", "a\n", "x" * 201]
)
def test_a_regular_expression_is_no_pattern(value: str) -> None:
    with pytest.raises(ValueError, match="must be a name or a pattern with"):
        pattern(value)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_matcher_is_promql_and_matches_what_its_patterns_stand_for(patterns: list[str]) -> None:
    try:
        patterns = [pattern(each) for each in patterns]
    except ValueError:
        return
    written = matcher("model", patterns)
    assert check(f"up{{{written}}}") == "instant vector"
    selector = promql_parser.parse(f"up{{{written}}}")
    assert isinstance(selector, promql_parser.VectorSelector)
    (read,) = selector.matchers.matchers
    regex = read.value if "=~" in written else None
    for each in patterns:
        name = an_instance(each)
        if regex is not None:
            assert re.fullmatch(regex, name)
            assert not re.fullmatch(regex, "\n")


@pytest.mark.parametrize(
    ("entry", "key", "value"),
    [
        ({"operator": "gt"}, "operator", ">"),
        ({"operator": "GTE"}, "operator", ">="),
        ({"operator": "at_least"}, "operator", ">="),
        ({"operator": "lt", "metric": "tokens_per_second", "threshold": 20}, "operator", "<"),
        ({"operator": "lte", "metric": "tokens_per_second", "threshold": 20}, "operator", "<="),
        ({"endpoint": "chat/completions"}, "endpoint", ("chat",)),
        ({"endpoint": ["/v1/embeddings", "/v1/audio/speech"]}, "endpoint", ("embeddings", "speech")),
        ({"for": ..., "duration_seconds": 120}, "hold", 120.0),
        ({"for": ..., "duration_seconds": 90.5}, "hold", 90.5),
        ({"for": ..., "duration_seconds": 0}, "hold", 0.0),
        ({"for": ..., "duration_seconds": "120"}, "hold", 120.0),
        ({"for": ..., "duration_seconds": "2m"}, "hold", 120.0),
        ({"for": 0}, "hold", 0.0),
        ({"enabled": "no"}, "enabled", False),
        ({"enabled": "Yes"}, "enabled", True),
        ({"metric": "cost_per_month", "threshold": "1,000 USD"}, "threshold", "1,000 USD"),
        ({"metric": "tokens_per_hour", "threshold": "2,000,000"}, "threshold", "2,000,000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_people_write_elsewhere_is_understood(entry: dict[str, Any], key: str, value: object) -> None:
    assert getattr(parse_thresholds(document(entry), "t.yml").thresholds[0], key) == value


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"for": 5}, "for: 5: must be a duration such as 5m; write 5m or 5s"),
        ({"window": 10}, "window: 10: must be a duration such as 5m; write 10m or 10s"),
        ({"for": "2m", "duration_seconds": 120}, "unknown key 'duration_seconds'; write only a duration"),
        ({"for": ..., "duration_seconds": "soon"}, "for: must be a duration such as 15s"),
        ({"metric": "latency_p95"}, "did you mean 'p95_latency'?"),
        ({"for": ..., "duration_seconds": float("inf")}, "unknown key 'duration_seconds'"),
        ({"for": ..., "duration_seconds": [5]}, "unknown key 'duration_seconds'"),
        ({"threshold": 5000.0}, "such as 5s, 2.5s or 800ms; write threshold: 5000ms"),
        ({"threshold": "3"}, "such as 5s, 2.5s or 800ms; write threshold: 3s"),
        ({"metric": "throughput", "operator": "lt", "threshold": 10}, "2/s or 6/h; write threshold: 10/min"),
        ({"metric": "cost_per_month", "threshold": "1,5 USD"}, "must be an amount in US dollars"),
        ({"metric": "cost_per_day", "threshold": 25, "model": "gpt-6"}, "known by model: cost_per_hour"),
        ({"endpoint": "chat/completion"}, "endpoint: 'chat/completion': must be one of chat, responses"),
        ({"name": "slow (prod)"}, "that starts with a letter; did you mean 'slow prod'?"),
        ({"operator": "=>"}, "did you mean '>='?"),
        ({"enabled": "maybe"}, "enabled: 'maybe': must be true or false"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_understood_is_refused_with_what_to_write(entry: dict[str, Any], message: str) -> None:
    assert message in message_of(document(entry))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "min_events: 2",
            "min_events: 2: 2 bad probes must not page, and severity critical pages; use 5 or more, or severity: warning",
        ),
        (
            "window: 4m",
            "window: '4m': must be at least 5m, 5 probes at the interval of 1m; else the alert can never fire",
        ),
        (
            "metric: throughput, operator: '<', threshold: 0.7/min",
            "threshold: '0.7/min': fewer than 5 failed probes of 15m would page; use at most 0.667 per minute, a longer window, "
            "or severity: warning",
        ),
    ],
)
def test_a_page_needs_enough_bad_probes_whoever_writes_it(lines: str, expected: str) -> None:
    what = "" if "metric" in lines else "metric: p95_latency, operator: '>', threshold: 5s, "
    entry = f"thresholds: [{{name: a, {what}severity: critical, {lines}}}]"

    assert expected in message_of(entry)
    assert parse_thresholds(entry.replace("critical", "warning"), "t.yml").thresholds

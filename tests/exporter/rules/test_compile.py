# SPDX-License-Identifier: Apache-2.0
"""Compiled rules: names, labels, texts, and that every measure fires and stays silent at its edges."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from openai_exporter.metrics import CATALOGUE
from openai_exporter.rules.compile import groups
from openai_exporter.rules.examples import failures
from openai_exporter.rules.measures import MEASURES
from openai_exporter.rules.promql import check
from openai_exporter.rules.rule_file import as_yaml
from openai_exporter.rules.thresholds import DEFAULT_SELECTOR, parse_thresholds
from tests.exporter.rules.documents import document
from tests.exporter.rules.prometheus import PROMTOOL, needs_promtool, passes, refused


def compiled(*entries: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    """Every rule of a file with these thresholds."""
    file = parse_thresholds(document(*entries, **settings), "thresholds.yml")
    return [rule for group in groups(file) for rule in group["rules"]]


def one(entry: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return compiled(entry, **settings)[0]


LIMITS = {"ratio": "50%", "per minute": "1/min", "per second": 20, "per hour": "2M", "USD": 25, "seconds": "5s"}
OPERATORS = [
    (name, operator) for name, measure in MEASURES.items() for operator in (">", ">=", "<", "<=")
    if operator in measure.operators
]  # fmt: skip


def entry_of(metric: str, operator: str, **more: Any) -> dict[str, Any]:
    limit = LIMITS[MEASURES[metric].kind.value]
    return {"metric": metric, "operator": operator, "threshold": limit} | more


ALL = [entry_of(name, operator, name=f"entry {number}") for number, (name, operator) in enumerate(OPERATORS)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("high_latency", "OpenAIHighLatency"),
        ("High latency", "OpenAIHighLatency"),
        ("p95-latency of chat", "OpenAIP95LatencyOfChat"),
        ("highLatency", "OpenAIHighLatency"),
        ("OpenAI slow", "OpenAISlow"),
        ("openai_slow", "OpenAISlow"),
    ],
)
def test_an_alert_is_named_after_its_threshold(name: str, expected: str) -> None:
    assert expected == one({"name": name})["alert"]


def test_an_alert_carries_what_routes_and_people_need() -> None:
    rule = one({"model": "gpt-6*", "team": "research"}, grafana_url="https://g.example.org")

    assert rule["for"] == "2m"
    assert rule["labels"] == {
        "severity": "warning",
        "team": "research",
        "category": "latency",
        "threshold_metric": "p95_latency",
    }
    notes = rule["annotations"]
    assert notes["summary"] == "The p95 latency is above 5s."
    assert notes["runbook_url"].endswith("/alerting/runbooks/OpenAILatencyBudgetBurn.md")
    assert notes["dashboard_url"] == (
        "https://g.example.org/d/openai-probes"
        "?from=now-6h&to=now&viewPanel=9{{ with $labels.target }}&var-target={{ . | urlquery }}{{ end }}"
        "{{ with $labels.model }}&var-model={{ . | urlquery }}{{ end }}"
    )


def test_own_texts_replace_the_usual_ones() -> None:
    own = {"summary": "Slow.", "description": "It is {{ $value }}.", "runbook_url": "https://r.example.org"}

    notes = one(own)["annotations"]

    assert own == {name: notes[name] for name in own}


def test_there_is_one_group_per_metric_and_none_for_what_is_not_enabled() -> None:
    file = parse_thresholds(
        document({}, {"metric": "error_rate", "threshold": "5%"}, {}, {"metric": "headroom", "operator": "<",
        "threshold": "5%", "enabled": False}), "t.yml"
    )  # fmt: skip

    assert [(group["name"], len(group["rules"])) for group in groups(file)] == [
        ("openai-user-p95-latency", 2),
        ("openai-user-error-rate", 1),
    ]


def test_cost_goes_to_finops_and_carries_the_category_that_routes_know() -> None:
    labels = one({"metric": "cost_per_day", "threshold": "25 USD"})["labels"]

    assert labels == {"severity": "warning", "team": "finops", "category": "cost", "threshold_metric": "cost_per_day"}


@pytest.mark.parametrize(
    ("metric", "series"),
    [("cost_per_day", "openai_costs_day_usd"), ("cost_per_month", "openai_costs_month_to_date_usd")],
)
def test_billed_cost_is_summed_as_it_is_narrowed(metric: str, series: str) -> None:
    everything = one({"metric": metric, "threshold": "25 USD"})["expr"]
    assert everything.startswith("sum by (job, organization) (max without (instance) (max_over_time(")
    each = one({"metric": metric, "threshold": "25 USD", "project": "*"})["expr"]
    assert each.startswith("sum by (job, organization, project_id) (max without (instance) (max_over_time(")
    named = one({"metric": metric, "threshold": "25 USD", "project": "proj_a"})["expr"]
    assert 'project_id="proj_a"' in named
    assert f"max_over_time({series}{{" in named


def test_a_threshold_that_names_something_gets_an_alert_for_matching_nothing() -> None:
    rules = compiled({"model": "gpt-6-luna"}, {})

    assert [rule["alert"] for rule in rules][2:] == ["OpenAIThresholdMatchesNothing"]
    assert rules[2]["labels"]["threshold"] == "entry 0"
    assert rules[2]["expr"] == (
        f'absent(probe_duration_seconds{{{DEFAULT_SELECTOR}, model="gpt-6-luna"}})\n'
        f"and on ()\ncount(probe_duration_seconds{{{DEFAULT_SELECTOR}}}) > 0\n"
    )


def test_every_expression_is_an_instant_vector_over_metrics_of_the_catalogue() -> None:
    for rule in compiled(*(each | {"enabled": True} for each in ALL)):
        assert check(rule["expr"]) == "instant vector"
        names = set(re.findall(r"\b(?:openai|probe)_\w+(?=\{)", rule["expr"]))
        assert names
        assert names <= CATALOGUE.keys()


def test_every_runbook_belongs_to_an_alert_of_the_bundle() -> None:
    bundle = Path(__file__).parents[3] / "prometheus" / "rules"
    alerts = {
        rule["alert"]
        for path in bundle.glob("alerts-*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }
    assert {measure.runbook for measure in MEASURES.values()} <= alerts


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", 'up{model="a"}'),
        (" ", 'up{model="a"}'),
        ('job="x",', 'up{job="x", model="a"}'),
        ('job="x" , ', 'up{job="x", model="a"}'),
    ],
)
def test_a_selector_may_be_empty_or_end_with_a_comma(selector: str, expected: str) -> None:
    expression = one({"model": "a"}, selector=selector)["expr"]

    assert expected.replace("up{", "probe_duration_seconds{") in expression
    assert check(expression)


@given(st.text(max_size=20))
def test_no_selector_makes_an_expression_that_is_none(selector: str) -> None:
    try:
        found = parse_thresholds(document({"model": "a"}, {}, selector=selector), "t.yml")
    except ValueError as error:
        raise AssertionError from error
    except Exception as error:
        assert "settings.selector" in str(error)
        return
    for group in groups(found):
        assert all(check(rule["expr"]) for rule in group["rules"])


@needs_promtool
@pytest.mark.stack
def test_promtool_takes_every_measure_with_every_operator_and_scope(tmp_path: Path) -> None:
    scoped = [
        each | dict.fromkeys(MEASURES[each["metric"]].scope, ["a*", "b"] if key != "endpoint" else "chat")
        for each in ALL
        for key in [next(iter(MEASURES[each["metric"]].scope))]
        if "endpoint" not in MEASURES[each["metric"]].scope
    ]
    probes = [
        each | {"target": "a", "model": ["b*", "c.d"], "endpoint": ["chat", "models"]}
        for each in ALL
        if "endpoint" in MEASURES[each["metric"]].scope
    ]
    rules = compiled(*({**each, "name": f"n{index}"} for index, each in enumerate([*ALL, *scoped, *probes])))

    assert len(rules) > 100
    assert refused(tmp_path, rules) == [False] * len(rules)


def amounts(kind: str) -> tuple[Any, Any, Any]:
    """Below, at and above the limit of `LIMITS`."""
    return {
        "seconds": ("4.9s", "5s", "5.1s"),
        "ratio": ("49%", "50%", "51%"),
        "per second": (19.9, 20, 20.1),
        "per hour": ("1.9M", "2M", "2.1M"),
        "USD": (24.9, 25, 25.1),
    }[kind]


FIRES = {">": (False, False, True), ">=": (False, True, True), "<": (True, False, False), "<=": (True, True, False)}
COUNTERS = ("requests_per_hour", "tokens_per_hour", "cost_per_hour", "probe_cost_per_day")
"""Extrapolated increases are not exact, so that these have no edge."""
RESULTS = {
    ("error_rate", ">"): [("ok", False), ("fail", True)],
    ("error_rate", ">="): [("ok", False), ("fail", True)],
    ("throughput", ">"): [("ok", True), ("fail", False)],
    ("throughput", ">="): [("ok", True), ("fail", False)],
    ("throughput", "<"): [("ok", False), ("fail", True)],
    ("throughput", "<="): [("ok", False), ("fail", True)],
}
"""Lasting results at one probe per minute."""


def edges(name: str, operator: str) -> list[dict[str, Any]]:
    """Examples at the edges of a measure."""
    if (name, operator) in RESULTS:
        return [{"value": value, "fires": fires} for value, fires in RESULTS[name, operator]]
    pairs = zip(amounts(MEASURES[name].kind.value), FIRES[operator], strict=True)
    found = [{"value": value, "fires": fires} for value, fires in pairs]
    return [found[0], found[2]] if name in COUNTERS else found


@needs_promtool
@pytest.mark.stack
@pytest.mark.parametrize(("name", "operator"), OPERATORS)
def test_every_measure_fires_beyond_its_limit_and_is_silent_before(name: str, operator: str) -> None:
    window = {} if MEASURES[name].fixed_window else {"window": "15m"}
    more = {"throughput": {"threshold": "0.5/min", "window": "10m"}}.get(name, window)
    entry = entry_of(name, operator, **more, examples=edges(name, operator))

    file = parse_thresholds(document(entry), "t.yml")

    assert failures(file, PROMTOOL) == []


@needs_promtool
@pytest.mark.stack
@pytest.mark.parametrize(
    ("entry", "values", "fires"),
    [
        ({}, ["1s x10", "20s", "1s x10"], False),
        ({}, ["1s x10", "20s x4", "1s"], True),
        ({}, ["1s x3", "timeout", "1s x10"], False),
        ({}, ["1s x3", "timeout x4"], True),
        ({}, ["fail x20"], False),
        ({}, ["1s x10", "none x30", "1s"], False),
        ({"min_events": 4}, ["1s x10", "20s x3", "1s x10"], False),
        ({"min_events": 4}, ["1s x10", "20s x6", "1s x10"], True),
        ({"metric": "mean_latency"}, ["1s x10", "60s", "1s x10"], False),
        ({"metric": "mean_latency"}, ["1s x10", "60s", "1s", "60s x2", "1s x3"], True),
        ({"metric": "mean_latency"}, ["timeout x10"], True),
        ({"metric": "time_to_first_token"}, ["1s", "timeout x10"], True),
        ({"metric": "time_to_first_token"}, ["fail x10"], False),
        ({"metric": "error_rate", "threshold": "5%", "for": "5m"}, ["ok x10", "fail", "ok x20"], False),
        ({"metric": "error_rate", "threshold": "5%", "for": "5m"}, ["ok x10", "fail x7"], True),
        ({"metric": "error_rate", "threshold": "5%", "for": "5m"}, ["none x5", "fail x10"], True),
        ({"metric": "throughput", "threshold": "0.5/min", "operator": "<"}, ["ok x5"], False),
        ({"metric": "throughput", "threshold": "0.5/min", "operator": "<"}, ["fail x60"], True),
        ({"metric": "throughput", "threshold": "0.5/min", "operator": "<"}, ["ok x20", "none x60"], False),
        ({"metric": "tokens_per_hour", "threshold": "1k", "operator": "<", "window": "15m"}, ["0 x10"], False),
        ({"metric": "tokens_per_hour", "threshold": "1k", "operator": "<", "window": "15m"}, ["0 x60"], True),
        ({"metric": "headroom", "threshold": "10%", "operator": "<"}, ["50%", "5% x10", "50%", "5% x10"], False),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_courses_of_values(entry: dict[str, Any], values: list[str], fires: bool) -> None:
    examples = [{"values": values, "fires": fires}]

    file = parse_thresholds(document({**entry, "examples": examples}), "t.yml")

    assert failures(file, PROMTOOL) == []


LABELS = 'job="openai",target="openai",module="chat",endpoint="chat",model="gpt-6",provider="openai"'


def series(metric: str, values: str, instance: str = "a", more: str = "") -> dict[str, str]:
    return {"series": f'{metric}{{{LABELS},instance="{instance}"{more}}}', "values": values}


def firing(rule: dict[str, Any], at: str, **texts: str) -> dict[str, Any]:
    """promtool's expectation of one alert with these annotations and the rule's others."""
    labels = dict(part.split("=") for part in LABELS.replace('"', "").split(","))
    notes = rule["annotations"] | texts
    notes["dashboard_url"] = notes["dashboard_url"].partition("{{")[0] + "&var-target=openai&var-model=gpt-6"
    alerts = [{"exp_labels": labels | rule["labels"], "exp_annotations": notes}]
    return {"eval_time": at, "alertname": rule["alert"], "exp_alerts": alerts}


@needs_promtool
@pytest.mark.stack
@pytest.mark.parametrize(
    ("entry", "found", "description"),
    [
        (
            {},
            [
                ("probe_duration_seconds", "6.5x20"),
                ("probe_success", "1x20"),
                ("openai_probe_availability_good", "1x20"),
            ],
            "The p95 latency of chat on openai (gpt-6) is 6.5s over 5m; it alerts above 5s for 2m.",
        ),
        (
            {},
            [
                ("probe_duration_seconds", "9.5x20"),
                ("openai_probe_availability_good", "0x20"),
                ("openai_probe_availability_valid", "1x20"),
                ("openai_probe_outcome", "1x20", ',outcome="timeout_total"'),
            ],
            "The p95 latency of chat on openai (gpt-6) is beyond the deadline of the probes over 5m; "
            "it alerts above 5s for 2m.",
        ),
        (
            {},
            [
                ("probe_duration_seconds", "6.5x20"),
                ("probe_success", "1x20"),
                ("openai_probe_last_result_timestamp_seconds", "5+60x20"),
            ],
            "The p95 latency of chat on openai (gpt-6) is 6.5s over 5m; it alerts above 5s for 2m.",
        ),
        (
            {"metric": "error_rate", "threshold": "5%"},
            [("openai_probe_availability_valid", "1x20"), ("openai_probe_availability_good", "1 0 1 0 0x16")],
            "The error rate of chat on openai (gpt-6) is 100% over 5m; it alerts above 5% for 2m.",
        ),
    ],
    ids=["latency", "timeout", "results that another Prometheus asks for", "errors"],
)
def test_descriptions_name_the_probe_and_the_value(
    entry: dict[str, Any], found: list[tuple[str, ...]], description: str, tmp_path: Path
) -> None:
    rule = one(entry)
    inputs = [series(name, values, more="".join(more)) for name, values, *more in found]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": [firing(rule, "15m", description=description)]}

    rules = as_yaml({"groups": [{"name": "g", "rules": [rule]}]})
    assert passes(tmp_path, rules, [test]) == ""


@needs_promtool
@pytest.mark.stack
@pytest.mark.parametrize(
    ("entry", "found"),
    [
        # A failure that the cache repeats for as long as the probe backs off is one failed request.
        (
            {"metric": "error_rate", "threshold": "5%", "for": "5m"},
            [("probe_success", "1x10 0x20"), ("openai_probe_availability_good", "1x10 0 stale")],
        ),
        # The duration of an answer from the cache is not measured again.
        (
            {"for": "0s"},
            [
                ("probe_duration_seconds", "1x10 20x20"),
                ("probe_success", "1x30"),
                ("openai_probe_availability_good", "1x10 1 stale"),
                ("openai_probe_last_result_timestamp_seconds", "5+60x10 600x20"),
            ],
        ),
        # Another job's probes are none of ours.
        (
            {"for": "0s", "settings": {"selector": 'job="other"'}},
            [
                ("probe_duration_seconds", "20x30"),
                ("probe_success", "1x30"),
                ("openai_probe_availability_good", "1x30"),
            ],
        ),
    ],
    ids=["repeated failure", "cached answer", "other job"],
)
def test_what_must_not_alert_stays_silent(entry: dict[str, Any], found: list[tuple[str, str]], tmp_path: Path) -> None:
    rule = one({k: v for k, v in entry.items() if k != "settings"}, **entry.get("settings", {}))
    inputs = [series(name, values) for name, values in found]
    silent = [{"eval_time": f"{at}m", "alertname": rule["alert"]} for at in range(1, 31)]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": silent}

    assert passes(tmp_path, as_yaml({"groups": [{"name": "g", "rules": [rule]}]}), [test]) == ""


@needs_promtool
@pytest.mark.stack
def test_replicas_of_the_exporter_make_one_alert_and_count_usage_once(tmp_path: Path) -> None:
    slow = one({})
    usage = one({"metric": "tokens_per_hour", "threshold": "150k", "name": "use", "window": "30m", "for": "0s"})
    inputs = [series(name, "6x60" if "duration" in name else "1x60", instance)
              for name in ("probe_duration_seconds", "probe_success", "openai_probe_availability_good") for instance in "ab"]  # fmt: skip
    inputs += [
        {"series": f'{name}{{job="openai",organization="acme",operation="{operation}",instance="{instance}"}}',
         "values": "0+1000x60"}
        for instance in "ab"
        for name, operation in [
            ("openai_usage_input_tokens_total", "completions"), ("openai_usage_output_tokens_total", "completions"),
        ]
    ]  # fmt: skip
    count = f'count(ALERTS{{alertname="{slow["alert"]}", alertstate="firing"}})'
    test = {
        "interval": "1m",
        "input_series": inputs,
        # 1000 in and 1000 out each minute are 120k per hour; counted twice they would be 240k.
        "alert_rule_test": [{"eval_time": "55m", "alertname": usage["alert"]}],
        "promql_expr_test": [
            {"expr": count, "eval_time": "55m", "exp_samples": [{"labels": "{}", "value": 1}]},
            {
                "expr": f"round({usage['expr'].partition(' > ')[0]})",
                "eval_time": "55m",
                "exp_samples": [{"labels": '{job="openai",organization="acme"}', "value": 120000}],
            },
        ],
    }
    rules = as_yaml({"groups": [{"name": "g", "rules": [slow, usage]}]})
    assert passes(tmp_path, rules, [test]) == ""


@needs_promtool
@pytest.mark.stack
def test_matching_nothing_alerts_after_an_hour_only_where_there_are_other_probes(tmp_path: Path) -> None:
    rule = compiled({"model": "gpt-7"})[1]
    others = {"interval": "1m", "input_series": [series("probe_duration_seconds", "1x100")]}
    none = {"interval": "1m", "input_series": [{"series": 'up{job="openai"}', "values": "1x100"}]}
    labels = {"model": "gpt-7"} | rule["labels"]
    alert = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}]
    tests = [
        others | {"alert_rule_test": [{"eval_time": "59m", "alertname": rule["alert"]},
                                      {"eval_time": "61m", "alertname": rule["alert"], "exp_alerts": alert}]},
        none | {"alert_rule_test": [{"eval_time": "90m", "alertname": rule["alert"]}]},
    ]  # fmt: skip

    assert passes(tmp_path, as_yaml({"groups": [{"name": "g", "rules": [rule]}]}), tests) == ""

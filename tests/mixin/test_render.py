# SPDX-License-Identifier: Apache-2.0
"""The mixin renders, alike in both engines, and follows its settings everywhere."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mixin.bundle import JSONNETFMT, ROOT, alert_rules, evaluate, mixin, rule_files
from tests.mixin.lint.checks import GROWTH
from tests.mixin.lint.files import Files, lint, recorded_labels, rules_of, used_series
from tests.mixin.lint.nodes import selectors
from tests.mixin.lint.parser import parse, seconds

SOURCES = sorted([ROOT / "mixin.libsonnet", *(ROOT / "alerting").rglob("*.libsonnet")])
RULES = "{r: m.prometheusRules, a: m.prometheusAlerts, f: m.prometheusRuleFiles, c: m.alertmanagerConfig}"


def files_with(settings: str) -> dict[str, Any]:
    found: dict[str, Any] = mixin("prometheusRuleFiles", settings)
    return found


def rule(files: Files, name: str, **labels: str) -> dict[str, Any]:
    found = [
        dict(each)
        for _, each in rules_of(files)
        if name in (each.get("alert"), each.get("record")) and labels.items() <= each.get("labels", {}).items()
    ]
    assert found, f"no rule {name} {labels}"
    return found[0]


def test_both_engines_give_the_same() -> None:
    other = pytest.importorskip("_gojsonnet", reason="the package gojsonnet is not installed")
    import _jsonnet

    expression = f"local m = import 'mixin.libsonnet'; {RULES}"
    ours, theirs = (
        json.loads(engine.evaluate_snippet(str(ROOT / "test"), expression, jpathdir=[str(ROOT)]))
        for engine in (_jsonnet, other)
    )

    assert ours == theirs


def test_the_mixin_has_the_fields_that_mixins_have() -> None:
    groups = {each["name"] for each in mixin("prometheusRules")["groups"] + mixin("prometheusAlerts")["groups"]}
    of_files = {group["name"] for document in rule_files().values() for group in document["groups"]}

    assert of_files == groups
    assert evaluate("std.isObject((import 'mixin.libsonnet').grafanaDashboards)")


def test_another_importer_can_add_groups() -> None:
    added = mixin("prometheusAlerts + { groups+: [{ name: 'more', rules: [] }] }")

    assert added["groups"][-1]["name"] == "more"


def test_others_import_it_from_their_vendor_folder(tmp_path: Path) -> None:
    engine = pytest.importorskip("_gojsonnet", reason="the package gojsonnet is not installed")
    (tmp_path / "openai-exporter").symlink_to(ROOT)
    settings = "{ _config+:: { selector: 'job=\"llm\"', grafanaUrl: 'https://g.example.org' } }"
    text = f"local m = (import 'openai-exporter/mixin.libsonnet') + {settings};\n"
    text += "{ a: m.prometheusAlerts, r: m.prometheusRules, d: std.objectFields(m.grafanaDashboards) }"
    found = json.loads(engine.evaluate_snippet("theirs.jsonnet", text, jpathdir=[str(tmp_path)]))

    assert 'job="llm"' in found["a"]["groups"][0]["rules"][-1]["expr"]
    assert "https://g.example.org/d/" in json.dumps(found["a"])
    assert "http://localhost:3000" not in json.dumps(found["a"])
    assert len(found["d"]) >= 7


def test_the_selector_reaches_every_metric_of_the_exporter() -> None:
    files = files_with("{ selector: 'job=\"llm\"' }")
    missed = [
        f"{name}: {selector.metric}"
        for name, each in rules_of(files)
        for selector in selectors(parse(each["expr"]))
        if selector.metric.startswith(("openai_", "probe_")) or selector.metric == "up"
        if ("job", "=", "llm") not in {(m.label, m.op, m.value) for m in selector.matchers}
    ]

    assert ":" not in "".join(missed), missed
    assert 'job=~"openai' not in json.dumps(files)


def test_replicas_are_told_apart_by_the_labels_that_are_set() -> None:
    files = files_with("{ instanceLabels: 'instance, pod' }")

    assert "without (instance, pod)" in rule(files, "probe:openai_sli_events:sum1h", slo="availability")["expr"]


def test_objectives_follow_their_patterns_and_the_first_match_wins() -> None:
    objectives = "[{ match: { model: 'gpt-6.*' }, objective: 0.99 }, { objective: 0.995 }]"
    settings = f"{{ slo+: {{ availability+: {{ objectives: {objectives} }} }} }}"
    expr = rule(files_with(settings), "probe:openai_objective:ratio", slo="availability")["expr"]
    first, second = expr.split("\nor\n")

    assert first.endswith('{slo="availability", model=~"gpt-6.*"} + 0.99')
    assert second.endswith('{slo="availability"} + 0.995')


def test_samples_are_taken_at_the_pace_of_the_probes() -> None:
    files = files_with("{ probeInterval: '30s' }")
    found = [group for document in files.values() for group in document["groups"] if group["name"] == "openai-samples"]

    assert found[0]["interval"] == "30s"


def test_rules_record_exactly_the_windows_that_alerts_read() -> None:
    row = "{ severity: 'critical', long: '2h', short: '10m', factor: 10, 'for': '2m', minBad: 4 }"
    files = files_with(f"{{ slo+: {{ burn: [{row}] }} }}")
    windows = {
        name.rsplit("ratio")[-1] for name in recorded_labels(files) if name.startswith("probe:openai_sli_error:")
    }

    assert windows == {"10m", "2h", "30d"}
    assert [problem for problem in lint(files) if "no such" in problem] == []


def test_time_can_be_compressed_for_demos() -> None:
    files = files_with("{ timeScale: 0.1 }")
    burn = rule(files, "OpenAIAvailabilityBudgetBurn", severity="critical")
    events = rule(files, "probe:openai_sli_events:sum1h", slo="availability")

    assert burn["for"] == "12s"
    assert "[6m]" in events["expr"]


def test_what_is_not_wanted_can_be_left_out() -> None:
    files = files_with("{ prometheusSelector: '', alertmanagerSelector: '', expectProbes: false }")
    names = {each["alert"] for _, each in rules_of(files) if "alert" in each}
    gone = {each["alert"] for each in alert_rules()} - names

    assert gone == {"OpenAIRuleEvaluationFailing", "OpenAIAlertDeliveryFailing", "OpenAIProbesMissing"}


def test_a_level_that_does_not_page_has_no_critical_row() -> None:
    severities = {
        name: {each["labels"]["severity"] for each in alert_rules() if each["labels"].get("slo") == name}
        for name in ("availability", "latency", "first_token", "freshness")
    }

    assert severities == {
        "availability": {"critical", "warning"},
        "latency": {"critical", "warning"},
        "first_token": {"warning"},
        "freshness": {"warning"},
    }


def test_links_follow_the_urls_that_are_set() -> None:
    settings = "{ grafanaUrl: 'https://g.example.org', runbookUrlPattern: 'https://r.example.org/%s' }"
    notes = rule(files_with(settings), "OpenAITargetDown")["annotations"]

    assert re.fullmatch(
        r"https://g\.example\.org/d/openai-probes\?from=now-6h&to=now&viewPanel=\d+"
        r"\{\{ with \$labels\.target \}\}&var-target=\{\{ \. \| urlquery \}\}\{\{ end \}\}",
        notes["dashboard_url"],
    )
    assert notes["runbook_url"] == "https://r.example.org/OpenAITargetDown"


def test_no_rule_waits_less_than_it_says() -> None:
    shortest = min(seconds(each["for"]) for each in alert_rules() if each["labels"]["severity"] != "none")

    assert shortest >= 60


def test_long_ranges_read_few_series() -> None:
    """A range of days over the many series of the usage pages would exceed what Prometheus loads at once.

    Growth remembers a day, each five minutes, so that an outage of a night loses nothing; docs/sizing.md has its cost.
    """
    wide = [
        f"{name}: {selector.metric}"
        for name, each in rules_of(rule_files())
        for selector in selectors(parse(each["expr"]))
        if (selector.range or 0) > (86_400 if GROWTH.search(each.get("record", "")) else 3600)
        and selector.metric.startswith("openai_usage_")
    ]

    assert wide == []
    assert "model:openai_usage_requests:increase1h" in used_series(rule_files())


@pytest.mark.skipif(JSONNETFMT is None, reason="jsonnetfmt is not installed")
def test_sources_are_formatted() -> None:
    style = ["-n", "2", "--max-blank-lines", "2", "--string-style", "s", "--comment-style", "s", "--test"]
    wrong = [
        path.name
        for path in SOURCES
        if subprocess.run([str(JSONNETFMT), *style, path], check=False, timeout=600).returncode
    ]

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(Path(path).relative_to(ROOT)))
def test_a_source_opens_with_its_licence_and_its_purpose(path: Path) -> None:
    lines = path.read_text().splitlines()

    assert lines[0] == "// SPDX-License-Identifier: Apache-2.0"
    assert lines[1].startswith("// ")
    assert len(lines) <= 240

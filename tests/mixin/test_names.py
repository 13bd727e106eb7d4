# SPDX-License-Identifier: Apache-2.0
"""Rules name what exists: metrics, recorded series, outcomes, dashboards; and they record nothing in vain."""

from fnmatch import fnmatch

import pytest

from openai_exporter.metrics import CATALOGUE
from openai_exporter.metrics.usage import RECORDED
from tests.mixin.bundle import ROOT, alert_rules, evaluate, mixin, rule_files
from tests.mixin.lint.files import recorded_labels, rules_of, used_series
from tests.mixin.lint.nodes import selectors
from tests.mixin.lint.parser import parse
from tests.mixin.lint.schema import EXPOSED

EXPORTED: dict[str, str] = evaluate("(import 'alerting/lib/series.libsonnet').exported")


def test_every_series_that_rules_read_is_exposed_or_recorded() -> None:
    own = {"up", "ALERTS", "ALERTS_FOR_STATE"}
    unknown = used_series(rule_files()) - set(EXPOSED) - set(recorded_labels(rule_files())) - own

    assert unknown == set()


def test_every_recorded_series_is_read_by_a_rule_or_exported_on_purpose() -> None:
    unused = set(recorded_labels(rule_files())) - used_series(rule_files())
    in_vain = [name for name in sorted(unused) if not any(fnmatch(name, pattern) for pattern in EXPORTED)]

    assert in_vain == []


@pytest.mark.parametrize("pattern", EXPORTED)
def test_what_is_exported_on_purpose_is_recorded_and_says_why(pattern: str) -> None:
    assert [name for name in recorded_labels(rule_files()) if fnmatch(name, pattern)]
    assert len(EXPORTED[pattern]) > 10


def test_every_recorded_name_comes_from_the_shared_names() -> None:
    """The list of plain names in series.libsonnet has no entry that no rule records."""
    shared = "local s = import 'alerting/lib/series.libsonnet';"
    names = f"{shared} [s[k] for k in std.objectFieldsAll(s) if std.isString(s[k])]"

    assert [name for name in evaluate(names) if name not in recorded_labels(rule_files())] == []


def test_an_import_writes_growth_under_the_names_and_labels_of_the_rules() -> None:
    rules = recorded_labels(rule_files())
    added = {"cluster", "job", "organization"}
    written = {metric.name: added.union(metric.labels) for levels in RECORDED.values() for metric in levels}

    assert written == {name: set(labels) for name, labels in rules.items() if name.endswith(":growth10m")}


def test_state_sets_are_asked_for_states_that_exist() -> None:
    outcomes = set(pytest.importorskip("openai_exporter.probe.judge").OUTCOMES)
    asked = {
        value
        for _, rule in rules_of(rule_files())
        for selector in selectors(parse(rule["expr"]))
        for matcher in selector.matchers
        if matcher.label == "outcome"
        for value in matcher.value.split("|")
    }

    assert asked <= outcomes


def test_every_outcome_that_is_ours_to_repair_has_an_alert() -> None:
    """What does not count against availability would go unseen otherwise."""
    outcomes = pytest.importorskip("openai_exporter.probe.judge").OUTCOMES
    kinds = evaluate("(import 'alerting/lib/outcomes.libsonnet').kinds")
    ours = {name for name, fact in outcomes.items() if not fact.valid}

    assert ours == {name for names in kinds.values() for name in names}


def test_the_metrics_of_a_budget_share_the_labels_on_which_rules_join_them() -> None:
    limit, spent, warn = (
        set(CATALOGUE[f"openai_budget_{name}"].labels) for name in ("limit_usd", "spent_usd", "warn_ratio")
    )

    assert limit == warn
    assert spent - limit == {"basis"}


def test_every_category_has_a_team_and_every_dashboard_a_uid_of_its_own() -> None:
    config = mixin("_config { alertmanager:: null }")
    categories = {rule["labels"]["category"] for rule in alert_rules()}
    uids = list(config["dashboards"].values())

    assert categories == set(config["teams"])
    assert len(uids) == len(set(uids))
    assert all(len(uid) <= 40 for uid in uids)


def test_links_to_dashboards_lead_to_uids_that_are_configured() -> None:
    uids = set(mixin("_config.dashboards").values())
    linked = {rule["annotations"]["dashboard_url"].split("/d/")[1].split("?")[0] for rule in alert_rules()}

    assert linked <= uids


def test_the_readme_names_every_alert_and_no_other() -> None:
    text = (ROOT / "alerting" / "README.md").read_text()
    table = text.split("## Alerts")[1].split("## Routing")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ") and "alerts |" not in line]
    named = {name.strip() for row in rows for name in row.replace(";", ",").split(",")}

    assert named == {rule["alert"].removeprefix("OpenAI") for rule in alert_rules()}

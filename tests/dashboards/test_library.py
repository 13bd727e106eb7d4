# SPDX-License-Identifier: Apache-2.0
"""The Jsonnet library: mistakes on a page do not compile, and its files are formatted."""

import pytest

from tests.dashboards.pages import ROOT, config
from tests.mixin.bundle import JSONNETFMT, evaluate, run

_G = "local g = import 'dashboards/lib/g.libsonnet'; "
_PROMQL = "local q = (import 'dashboards/lib/promql.libsonnet')((import 'mixin.libsonnet')._config); "
_METRIC = "local m = import 'dashboards/lib/metric.libsonnet'; "


def test_a_row_whose_last_line_is_not_full_is_refused() -> None:
    with pytest.raises(RuntimeError, match='row "Latency": its last line is 20 of 24 columns wide'):
        evaluate(_G + "g.row.new('Latency', 8, [[12, {}], [8, {}]]).height")


def test_a_metric_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"[fF]ield does not exist: succes"):
        evaluate(_METRIC + "m.probe.succes")


def test_panels_flow_from_the_left_and_rows_stand_below_each_other() -> None:
    rows = "[g.row.new('One', 4, [[12, {}], [12, {}], [24, {}]]), g.row.new('Two', 8, [[24, {}]])]"
    panels = evaluate(_G + f"g.dashboard.withRows({rows}).panels")
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"], panel["gridPos"]["w"]) for panel in panels]

    assert places == [(0, 0, 24), (0, 1, 12), (12, 1, 12), (0, 5, 24), (0, 9, 24), (0, 10, 24)]


def test_selectors_carry_the_mixin_s_own_matcher_and_the_page_s_variables() -> None:
    chosen = 'target=~"$target",model=~"$model"'

    assert evaluate(_PROMQL + "q.probe('x', 'a=\"b\"')") == f'x{{{config()["selector"]},{chosen},a="b"}}'


def test_replicas_are_joined_before_they_are_summed() -> None:
    assert evaluate(_PROMQL + "q.sum('x', 'model')") == "sum by (model) (max without (instance) (x))"


def test_other_settings_reach_the_page() -> None:
    """Another retention period, objective or threshold changes rules, alerts and pages together."""
    table = evaluate(
        "local m = (import 'mixin.libsonnet') + { _config+:: { thresholds+: { keyUnusedDays: 30 } } };"
        "[p.description for p in m.grafanaDashboards['models.json'].panels if p.title == 'Unused']"
    )

    assert "not used for 30 days" in table[0]


@pytest.mark.skipif(JSONNETFMT is None, reason="jsonnetfmt is not installed")
def test_files_are_formatted() -> None:
    files = sorted((ROOT / "dashboards").rglob("*.libsonnet"))
    style = ["-n", "2", "--max-blank-lines", "2", "--string-style", "s", "--comment-style", "s"]

    assert files
    assert [str(path) for path in files if run(str(JSONNETFMT), "--test", *style, path).returncode != 0] == []

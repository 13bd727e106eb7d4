# SPDX-License-Identifier: Apache-2.0
"""The past of the simulated organization: when it is filled in, and what is said when it cannot be."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from openai_exporter.demo.history import Part, Past, fill, levels, record
from openai_exporter.demo.plan import Plan, Planner
from openai_exporter.demo.processes import PROMETHEUS, PROMTOOL, Program
from openai_exporter.errors import StartError


def planned(folder: Path, found: dict[Program, str], days: int = 30, real: bool = False) -> Plan:
    planner = Planner(folder, found, folder, 1, days)
    try:
        return planner.plan(real=real)
    finally:
        planner.ports.close()


def test_without_promtool_the_demo_begins_now_and_says_how_to_get_it(tmp_path: Path) -> None:
    plan = planned(tmp_path, {PROMETHEUS: "prometheus"})

    assert plan.past is None
    assert any("without promtool (Debian: part of the package prometheus)" in note for note in plan.notes)


def test_a_past_is_made_for_the_simulated_organization_only(tmp_path: Path) -> None:
    programs = {PROMETHEUS: "prometheus", PROMTOOL: "promtool"}

    assert planned(tmp_path, programs).past is not None
    assert planned(tmp_path, programs, days=0).past is None
    assert planned(tmp_path, programs, real=True).past is None


def test_the_past_has_the_instance_of_the_live_series(tmp_path: Path) -> None:
    plan = planned(tmp_path, {PROMETHEUS: "prometheus", PROMTOOL: "promtool"})

    assert plan.past is not None
    assert f"http://{plan.past.instance}" == plan.exporter


def test_what_cannot_be_filled_in_is_told_and_stops_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "exporter.yml"
    past = Past("promtool", "prometheus", "127.0.0.1:9985", (), tmp_path, 30)
    told: list[str] = []

    problem = fill(past, told.append, lambda: False)

    assert told == ["usage and costs of 30 days"]
    assert problem.startswith("the pages begin now, without a past: ")
    assert str(missing) in problem


# Recording rules over a past that is there already: in the order they need each other, by a real Prometheus.

RECORDED_PROMETHEUS, RECORDED_PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
FIRST = {"record": "a:x:sum", "expr": "sum(x)"}
SECOND = {"record": "b:x:ratio", "expr": "a:x:sum / 4", "labels": {"kind": "quarter"}}
START = 1_700_000_100


def test_a_rule_comes_after_those_that_it_reads_and_alerts_are_left_out() -> None:
    assert levels([SECOND, {"alert": "A", "expr": "b:x:ratio"}, FIRST]) == [[FIRST], [SECOND]]


def test_a_rule_may_read_its_own_earlier_samples() -> None:
    usual = {"record": "c:x:avg7d", "expr": "last_over_time(c:x:avg7d[1h]) or a:x:sum"}

    assert levels([usual, FIRST]) == [[FIRST], [usual]]


def test_rules_that_need_each_other_are_refused_by_name() -> None:
    with pytest.raises(StartError, match="a:x:sum, c:x:sum"):
        levels([{"record": "a:x:sum", "expr": "c:x:sum"}, {"record": "c:x:sum", "expr": "a:x:sum"}])


@pytest.mark.skipif(
    RECORDED_PROMETHEUS is None or RECORDED_PROMTOOL is None, reason="prometheus and promtool are not installed"
)
def test_each_level_is_evaluated_on_what_the_one_before_recorded(tmp_path: Path) -> None:
    lines = [f'x{{of="{of}"}} {value} {START + 300 * n}' for of, value in (("a", 8), ("b", 4)) for n in range(3)]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [FIRST, SECOND]}]}))
    _imported("\n".join([*lines, "# EOF\n"]), tmp_path)

    parts = [Part(START, START + 600, 300)]
    found = []
    for number, total in record(str(RECORDED_PROMETHEUS), tmp_path / "data", tmp_path, [rules], parts):
        text = (tmp_path / "recorded.om").read_text()
        found.append((number, total, text.splitlines()[0]))
        _imported(text, tmp_path)

    assert found == [(1, 2, f"a:x:sum{{}} 12 {START}"), (2, 2, f'b:x:ratio{{kind="quarter"}} 3 {START}')]


def _imported(text: str, folder: Path) -> None:
    (folder / "import.om").write_text(text)
    argv = [str(RECORDED_PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", "import.om", "data"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)

# SPDX-License-Identifier: Apache-2.0
"""Historical data of the simulated organization: when it is imported, what is evaluated, and where it never goes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from openai_exporter.demo.history import Part, Past, Rule, Step, fill, fill_new, levels, record, with_history
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


def past(folder: Path, promtool: str = "promtool") -> Past:
    database = folder / "database"
    database.mkdir()
    exporter = "http://127.0.0.1:9"
    return Past(promtool, "prometheus", exporter, folder / "exporter.yml", folder, database, database / "tmp", 30)


def test_what_cannot_be_imported_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    missing = past(tmp_path)
    reported: list[str] = []

    problem = fill(missing, reported.append, lambda: False)

    assert reported == ["usage, costs and probes of 30 days"]
    assert problem.startswith("no historical data, dashboards begin now: ")
    assert str(missing.config) in problem


@pytest.mark.parametrize("used", ["wal/00000000", "01M8H1ZWP94BRHJJJ2MDDN60NA/meta.json"])
def test_a_database_that_holds_data_stays_as_it_is(tmp_path: Path, used: str) -> None:
    """Data of a real organization, or the history of an earlier start."""
    new = past(tmp_path)
    file = new.database / used
    file.parent.mkdir()
    file.write_text("precious")

    problem = fill_new(new, lambda text: None)

    assert problem == f"{new.database} holds data already, nothing is imported"
    assert [path for path in new.database.rglob("*") if path.is_file()] == [file]


def test_an_import_that_fails_leaves_a_new_database_empty(tmp_path: Path) -> None:
    new = past(tmp_path)
    (new.database / "tmp").mkdir()
    (new.database / "tmp" / "of an import that was cut off").touch()

    assert fill_new(new, lambda text: None).startswith("no historical data, dashboards begin now: ")
    assert list(new.database.iterdir()) == []


# Recording rules over a past that is there already: in the order they need each other, by a real Prometheus.

RECORDED_PROMETHEUS, RECORDED_PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
FIRST = {"record": "a:x:sum", "expr": "sum(x)"}
SECOND = {"record": "b:x:ratio", "expr": "a:x:sum / 4", "labels": {"kind": "quarter"}}
START = 1_700_000_100
WHEN = [Part(START, START + 600, 300)]


def steps(*rules: Rule) -> list[Step]:
    return [(rule, WHEN) for rule in rules]


def names(ordered: list[list[Step]]) -> list[list[str]]:
    return [[rule["record"] for rule, _ in level] for level in ordered]


def test_what_is_drawn_or_looked_back_at_has_a_history_with_all_that_it_needs() -> None:
    rules = [
        {"record": "a:x:sum", "expr": "sum(x)"},
        {"record": "b:x:ratio", "expr": "a:x:sum / 4"},
        {"record": "c:x:max", "expr": "max_over_time(d:x:now{kind='e'}[1h])"},
        {"record": "d:x:now", "expr": "x"},
        {"record": "e:x:now", "expr": "x"},
    ]

    assert with_history(rules, ["b:x:ratio > 1"]) == {"a:x:sum", "b:x:ratio", "d:x:now"}


def test_a_rule_comes_after_those_that_it_reads() -> None:
    assert names(levels(steps(SECOND, FIRST))) == [["a:x:sum"], ["b:x:ratio"]]


def test_a_rule_may_read_its_own_earlier_samples() -> None:
    usual = {"record": "c:x:avg7d", "expr": "last_over_time(c:x:avg7d[1h]) or a:x:sum"}

    assert names(levels(steps(usual, FIRST))) == [["a:x:sum"], ["c:x:avg7d"]]


def test_rules_that_need_each_other_are_refused_by_name() -> None:
    with pytest.raises(StartError, match="a:x:sum, c:x:sum"):
        levels(steps({"record": "a:x:sum", "expr": "c:x:sum"}, {"record": "c:x:sum", "expr": "a:x:sum"}))


@pytest.mark.skipif(
    RECORDED_PROMETHEUS is None or RECORDED_PROMTOOL is None, reason="prometheus and promtool are not installed"
)
def test_each_level_is_evaluated_on_what_the_one_before_recorded(tmp_path: Path) -> None:
    lines = [f'x{{of="{of}"}} {value} {START + 300 * n}' for of, value in (("a", 8), ("b", 4)) for n in range(3)]
    _imported("\n".join([*lines, "# EOF\n"]), tmp_path)

    found = []
    for number, total in record(str(RECORDED_PROMETHEUS), tmp_path / "data", tmp_path, steps(FIRST, SECOND)):
        text = (tmp_path / "recorded.om").read_text()
        found.append((number, total, text.splitlines()[0]))
        _imported(text, tmp_path)

    assert found == [(1, 2, f"a:x:sum{{}} 12 {START}"), (2, 2, f'b:x:ratio{{kind="quarter"}} 3 {START}')]


def _imported(text: str, folder: Path) -> None:
    (folder / "import.om").write_text(text)
    argv = [str(RECORDED_PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", "import.om", "data"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=800)

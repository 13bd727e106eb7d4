# SPDX-License-Identifier: Apache-2.0
"""The past of the simulated organization: when it is filled in, and what is said when it cannot be."""

from pathlib import Path

from openai_exporter.demo.history import Past, fill
from openai_exporter.demo.plan import Plan, Planner
from openai_exporter.demo.programs import PROMETHEUS, PROMTOOL, Program


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
    past = Past("promtool", "prometheus", missing, {}, "127.0.0.1:9985", (), tmp_path, 30)
    told: list[str] = []

    problem = fill(past, told.append, lambda: False)

    assert told == ["usage and costs of 30 days"]
    assert problem.startswith("the pages begin now, without a past: ")
    assert str(missing) in problem

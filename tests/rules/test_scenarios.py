# SPDX-License-Identifier: Apache-2.0
"""The scenarios of scenarios/*.yml end as their entries say, and docs/scenarios.md shows what came of them."""

import pytest

from tests.mixin.bundle import PROMTOOL
from tests.mixin.lint.parser import seconds
from tests.rules.scenarios import HEAD, PAGE, Played, Scenario, batches, notifications, page, played, scenarios

pytestmark = [pytest.mark.stack, pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")]
ALL = scenarios()


@pytest.mark.parametrize("batch", batches().values(), ids=batches())
def test_scenarios_end_as_they_should(batch: list[Scenario]) -> None:
    wrong = [fault for each in played(batch) if (fault := fault_of(each))]

    assert not wrong, "\n".join(wrong)


def fault_of(found: Played) -> str:
    scenario, sent = found.scenario, (found.pages or found.tickets)
    if (len(found.pages), len(found.tickets)) != (scenario.data["pages"], scenario.data["tickets"]):
        return f"{scenario.name}: {found.row()} {found.sent}"
    if "first" in scenario.data and sent[0].at - scenario.fault > seconds(scenario.data["first"]):
        return f"{scenario.name}: first after {sent[0].at - scenario.fault:g}s, {sent[0]}"
    return "" if found.row() in PAGE.read_text() else f"{scenario.name}: run `python -m tests.rules.scenarios`"


def test_the_page_has_these_scenarios_and_no_others() -> None:
    titles = [entry.name for _, entry in ALL]
    rows = [line.split(" | ")[0][2:] for line in PAGE.read_text().splitlines() if line.startswith("| ")]

    assert PAGE.read_text().startswith(HEAD)
    assert [row for row in rows if row != "scenario"] == titles
    assert len(set(titles)) == len(titles)


OFFICE = [{"weekdays": ["monday:friday"], "times": [{"start_time": "08:00", "end_time": "18:00"}]}]
ROUTES = {
    "inhibit_rules": [
        {"source_matchers": ['alertname="Down"'], "target_matchers": ['alertname="Burn"'], "equal": ["target"]}
    ],
    "time_intervals": [{"name": "day", "time_intervals": OFFICE}],
    "route": {
        "receiver": "notify",
        "group_by": ["alertname"],
        "group_interval": "5m",
        "routes": [{"matchers": ['severity="cost"'], "receiver": "cost", "active_time_intervals": ["day"]}],
    },
}
DOWN = {"alertname": "Down", "target": "a", "severity": "critical"}
BURN = {"alertname": "Burn", "target": "a", "severity": "critical"}


def test_what_is_inhibited_is_sent_once_its_cause_is_gone() -> None:
    sent = notifications({0: [DOWN, BURN], 60: [BURN]}, 60, 600, ROUTES)

    assert [(each.at, each.names) for each in sent] == [(0, ("Down",))]
    assert [each.names for each in notifications({0: [BURN], 60: [DOWN, BURN]}, 60, 60, ROUTES)] == [
        ("Burn",),
        ("Down",),
    ]


def test_members_that_join_wait_for_the_next_look_at_their_group() -> None:
    other = DOWN | {"target": "b"}
    firing = {0: [DOWN], **{60 * minute: [DOWN, other] for minute in range(1, 11)}}

    assert [each.at for each in notifications(firing, 60, 600, ROUTES)] == [0, 300]


def test_office_hours_hold_back_what_waits_for_them() -> None:
    firing = {60 * minute: [{"alertname": "Cost", "severity": "cost"}] for minute in range(1440)}

    assert [each.at for each in notifications(firing, 60, 86_400, ROUTES)] == [8 * 3600]


def test_a_page_of_no_scenario_is_its_head() -> None:
    assert page([]) == HEAD

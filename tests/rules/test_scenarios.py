# SPDX-License-Identifier: Apache-2.0
"""The scenarios of scenarios/*.yml end as their entries say, and docs/scenarios.md shows what came of them."""

import os
from typing import Any

import pytest

from tests.mixin.bundle import PROMTOOLS
from tests.mixin.lint.parser import seconds
from tests.rules.scenarios import (
    HEAD,
    PAGE,
    PARTS,
    Played,
    Scenario,
    batches,
    notifications,
    page,
    play,
    played,
    scenarios,
)

pytestmark = [pytest.mark.stack, pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")]
ALL = scenarios()


@pytest.mark.parametrize("batch", batches("Probes").values(), ids=batches("Probes"))
def test_scenarios_end_as_they_should(batch: list[Scenario]) -> None:
    wrong = [fault for each in played(batch) if (fault := fault_of(each))]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(1, PARTS) if os.environ.get("EVERY_KEY") else [])
def test_every_key_of_a_healthy_organization_is_quiet_for_two_weeks(part: int) -> None:
    entry = next(entry for _, entry in ALL if entry.name.startswith("A healthy organization"))
    (found,) = played([Scenario({**entry.data, "organization": {**entry.data["organization"], "part": part}})])

    assert not found.sent, found.row()


def fault_of(found: Played) -> str:
    scenario, sent = found.scenario, (found.pages or found.tickets)
    if (len(found.pages), len(found.tickets)) != (scenario.data["pages"], scenario.data["tickets"]):
        return f"{scenario.name}: {found.row()} {found.sent}"
    if "first" in scenario.data and sent[0].at - scenario.fault > seconds(scenario.data["first"]):
        return f"{scenario.name}: first after {sent[0].at - scenario.fault:g}s, {sent[0]}"
    return "" if found.row() in PAGE.read_text() else f"{scenario.name}: run `python -m tests.rules.scenarios`"


def test_the_page_has_these_scenarios_and_no_others() -> None:
    titles = [entry.name for _, entry in ALL]
    tables = PAGE.read_text().removeprefix(HEAD)
    rows = [line.split(" | ")[0][2:] for line in tables.splitlines() if line.startswith("| ")]

    assert PAGE.read_text().startswith(HEAD)
    assert [row for row in rows if row != "scenario"] == titles
    assert len(set(titles)) == len(titles)


CAUSES = {
    "server_error": "OpenAITargetDown",
    "auth": "OpenAICredentialsRejected",
    "quota_exhausted": "OpenAIQuotaExhausted",
    "spend_limit": "OpenAISpendLimitReached",
    "model_not_found": "OpenAIModelUnavailable",
}
MINUTE = 60.0


@pytest.mark.parametrize(
    ("pace", "least"),
    [
        ("15s", "0s"),
        ("1m", "0s"),
        ("2m", "0s"),
        ("5m", "0s"),
        ("15m", "0s"),
        ("1m", "2m"),
        ("1m", "5m"),
        ("1m", "15m"),
        ("2m", "60m"),
    ],
)
def test_a_cause_is_seen_after_five_minutes_or_three_results_at_any_pace(pace: str, least: str) -> None:
    between = max(seconds(pace), seconds(least))
    due = max(5 * MINUTE, 3 * between)
    healthy, bad = 4 * max(between, MINUTE), due + 5 * MINUTE
    bad += -bad % between
    story = "ok {:.0f}s, {} {:.0f}s, ok {:.0f}s"
    scenario = Scenario({
        "name": f"pace {pace}, min_interval {least}",
        "areas": ["availability"],
        "alerts": list(CAUSES.values()),
        "thresholds": False,
        "step": min(pace, "1m", key=seconds),
        "probes": [
            {
                "story": story.format(healthy, outcome, bad, healthy),
                "pace": pace,
                "min_interval": least,
                "labels": {"target": outcome},
            }
            for outcome in CAUSES
        ],
    })  # fmt: skip
    firing = play([scenario])[0]

    first: dict[tuple[str, str], float] = {}
    for at in sorted(firing):
        for each in firing[at]:
            first.setdefault((each["target"], each["alertname"]), at - healthy)
    assert first.keys() == set(CAUSES.items())
    assert all(0 < at <= due for at in first.values()), first


OFFICE = [{"weekdays": ["monday:friday"], "times": [{"start_time": "08:00", "end_time": "18:00"}]}]
ROUTES: dict[str, Any] = {
    "inhibit_rules": [
        {"source_matchers": ['alertname="Down"'], "target_matchers": ['alertname="Burn"'], "equal": ["target"]}
    ],
    "time_intervals": [{"name": "day", "time_intervals": OFFICE}],
    "route": {
        "receiver": "notify",
        "group_by": ["alertname"],
        "group_wait": "0s",
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


def test_members_that_join_while_their_group_waits_are_in_its_first_notification() -> None:
    routes = {**ROUTES, "route": {**ROUTES["route"], "group_wait": "2m"}}
    firing = {0: [DOWN], **{60 * minute: [DOWN, DOWN | {"target": "b"}] for minute in range(1, 11)}}

    assert [each.at for each in notifications(firing, 60, 600, routes)] == [120]


def test_office_hours_hold_back_what_waits_for_them() -> None:
    firing = {60 * minute: [{"alertname": "Cost", "severity": "cost"}] for minute in range(1440)}

    assert [each.at for each in notifications(firing, 60, 86_400, ROUTES)] == [8 * 3600]


def test_a_page_of_no_scenario_is_its_head() -> None:
    assert page([]) == HEAD

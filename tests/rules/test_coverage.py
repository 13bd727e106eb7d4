# SPDX-License-Identifier: Apache-2.0
"""No alert without a case that fires, a case that stays silent, and a text that was rendered."""

import pytest

from tests.mixin.bundle import alert_rules
from tests.rules.case import Case, cases

ALERTS = sorted({rule["alert"] for rule in alert_rules()})
ALWAYS_FIRES = {"Watchdog"}
"""Alerts that cannot be silent, by design."""


def identity(rule: dict[str, dict[str, str]]) -> tuple[str, ...]:
    return (str(rule["alert"]), *(f"{name}={value}" for name, value in sorted(rule["labels"].items())))


def of(alert: str) -> list[Case]:
    return [case for case in cases() if case.alert == alert]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_that_fires_for_each_of_its_rules(alert: str) -> None:
    rules = {identity(rule) for rule in alert_rules() if rule["alert"] == alert}
    fired = {identity(rule) for case in of(alert) for rule in case.fired()}

    assert rules == fired


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_in_which_it_stays_silent(alert: str) -> None:
    silent = any(case.data.get("silent") for case in of(alert))

    assert silent != (alert in ALWAYS_FIRES)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_text_of_an_alert_was_rendered(alert: str) -> None:
    texts = [each["description"] for case in of(alert) for each in case.data.get("fires", ()) if "description" in each]

    assert texts
    assert [text for text in texts if "{{" in text or "<no value>" in text or "%!" in text] == []


def test_every_case_is_about_something_and_has_a_name_of_its_own() -> None:
    names = [(case.file, case.alert, case.data["name"]) for case in cases()]
    empty = [case.data["name"] for case in cases() if not {"silent", "fires", "values"} & set(case.data)]

    assert len(names) == len(set(names))
    assert empty == []


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints how much is covered."""
    found = cases()
    silent = sum(len(case.data.get("silent", ())) for case in found)
    fires = sum(len(case.data.get("fires", ())) for case in found)
    values = sum(len(case.data.get("values", ())) for case in found)
    with capsys.disabled():
        print(
            f"\n{len(ALERTS)} alerts in {len(alert_rules())} rules: {len(found)} cases with "
            f"{fires} firings, {silent} silences and {values} values"
        )

    assert fires > len(alert_rules())
    assert silent > len(ALERTS)

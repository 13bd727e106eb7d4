# SPDX-License-Identifier: Apache-2.0
"""The catalogue of alerts is whole and says what the rules say."""

import re

from tools import alerts

from .documents import ROOT

PAGE = (ROOT / alerts.PAGE).read_text(encoding="utf-8")


def test_every_alert_with_a_runbook_is_in_the_catalogue_once() -> None:
    listed = re.findall(r"^\| \[(\w+)\]", PAGE, re.MULTILINE)
    runbooks = {path.stem for path in (ROOT / "alerting/runbooks").glob("*.md") if path.stem[0].isupper()}
    assert sorted(listed) == sorted(runbooks)


def test_alerts_of_one_name_share_a_line() -> None:
    def rule(severity: str, **more: str) -> dict[str, object]:
        labels = {"severity": severity, "category": "cost", "team": "finops"}
        return {"alert": "OpenAIx", "labels": labels, "annotations": {"summary": "Much | more."}, **more}

    groups = [
        {"name": "a", "rules": [rule("warning", **{"for": "5m"}), {"record": "a:b:c", "expr": "1"}, rule("critical")]}
    ]
    text = alerts.catalogue(groups)
    assert "\n## Cost\n" in text
    assert text.splitlines()[-1] == (
        "| [OpenAIx](../alerting/runbooks/OpenAIx.md) | critical, warning | 5m or at once | finops | Much \\| more. |"
    )

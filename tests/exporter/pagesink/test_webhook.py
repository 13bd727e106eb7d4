# SPDX-License-Identifier: Apache-2.0
"""Posted JSON to pages."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.pagesink.page import Page, from_json
from openai_exporter.pagesink.webhook import page_of

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "OpenAITargetDown", "severity": "critical", "target": "openai"},
    "annotations": {"summary": "Every probe of a target fails.", "description": "No probe has succeeded."},
    "startsAt": "2026-11-21T08:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "abc",
}
NOTIFICATION: dict[str, Any] = {
    "version": "4",
    "groupKey": "{}",
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "page",
    "groupLabels": {},
    "commonLabels": {},
    "commonAnnotations": {"summary": "Every probe of a target fails."},
    "externalURL": "http://alertmanager",
    "alerts": [ALERT],
}


def page(data: object) -> Page:
    return page_of(json.dumps(data).encode())


def test_a_notification_of_alertmanager_is_a_page_with_its_alerts() -> None:
    found = page(NOTIFICATION)

    assert (found.channel, found.status, found.severity, found.receiver) == (
        "webhook",
        "firing",
        "critical",
        "page",
    )
    assert (found.title, found.text) == ("OpenAITargetDown", "Every probe of a target fails.")
    assert found.alerts[0].labels["target"] == "openai"
    assert found.alerts[0].ends_at == ""
    assert found.alerts[0].generator_url == "http://prometheus/graph"


def test_the_worst_severity_and_every_name_stand_for_a_group() -> None:
    mild = ALERT | {"labels": {"alertname": "OpenAIHighLatency", "severity": "warning"}}
    found = page(NOTIFICATION | {"alerts": [mild, ALERT, mild], "commonAnnotations": {}})

    assert found.severity == "critical"
    assert found.title == "OpenAIHighLatency, OpenAITargetDown"


def test_a_resolved_alert_has_its_end() -> None:
    over = ALERT | {"status": "resolved", "endsAt": "2026-11-21T09:00:00Z"}
    found = page(NOTIFICATION | {"status": "resolved", "alerts": [over]})

    assert (found.status, found.alerts[0].ends_at) == ("resolved", "2026-11-21T09:00:00Z")


def test_a_message_for_slack_is_understood() -> None:
    attachment = {"title": "[critical] OpenAITargetDown openai", "text": "No probe.", "color": "#c62828"}
    found = page({"channel": "#openai", "username": "x", "attachments": [attachment]})

    assert (found.channel, found.severity, found.status) == ("slack", "critical", "firing")
    assert (found.title, found.text, found.receiver) == (attachment["title"], "No probe.", "#openai")


def test_an_event_for_pagerduty_is_understood_and_its_key_is_not_kept() -> None:
    found = page(
        {
            "routing_key": "0123456789abcdef0123456789abcdef",
            "event_action": "resolve",
            "payload": {"summary": "[resolved] X", "severity": "critical", "custom_details": {"text": "t"}},
        }
    )

    assert (found.channel, found.status, found.severity) == ("pagerduty", "resolved", "critical")
    assert "0123456789abcdef" not in repr(found)


def test_other_json_is_shown_without_its_secrets() -> None:
    found = page({"message": "hello", "api_token": "hunter22", "deep": [{"Secret": "hunter22"}]})

    assert found.channel == "json"
    assert "hello" in found.text
    assert "hunter22" not in repr(found)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON"),
        (b"status=firing", "the body is not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"alerts": 3}', "alerts: input should be a valid list"),
        (b'{"alerts": [{"labels": {}}]}', "alerts.0.status: field required"),
        (b'{"alerts": [{"status": "firing", "labels": {"a": 1}}]}', "alerts.0.labels.a: input should be"),
        (b'{"attachments": [3]}', "attachments.0: input should be"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_page_is_refused_with_the_reason(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        page_of(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(NOTIFICATION)), inner),
    max_leaves=20,
)


@given(JSON)
def test_no_json_raises_anything_else_and_every_page_survives_a_restart(data: object) -> None:
    try:
        found = page(data)
    except ValueError:
        return
    assert found == from_json(json.loads(json.dumps(found.as_json())))

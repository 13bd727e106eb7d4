# SPDX-License-Identifier: Apache-2.0
"""A running Alertmanager: what people read by mail, Slack and webhook."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.mixin.bundle import ALERTMANAGER, ALERTMANAGER_BINARY, AMTOOLS, run
from tests.mixin.desk import ALWAYS, NEVER, OTHER, PROBE, Desk, alert, desk

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(ALERTMANAGER_BINARY is None, reason="prometheus-alertmanager is not installed"),
]


@pytest.fixture(scope="module")
def awake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """In office hours."""
    with ExitStack() as stack:
        yield desk(tmp_path_factory.mktemp("awake"), stack, officeHours=ALWAYS, quietTimes=NEVER)


def test_in_office_hours_cost_comes_by_mail_as_html_and_text(awake: Desk) -> None:
    awake.alertmanager.post([alert("OpenAIBudgetSpent", "warning", organization="acme", budget="all")])
    awake.alertmanager.wait(lambda: mails(awake, "OpenAIBudgetSpent"), "a mail")
    message = mails(awake, "OpenAIBudgetSpent")[0]
    parts = {part.get_content_type(): content(part) for part in message.walk() if not part.is_multipart()}

    assert message["Subject"] == "[warning] OpenAIBudgetSpent acme: It is wrong."
    assert message["To"] == "oncall@example.org"
    assert set(parts) == {"text/plain", "text/html"}
    assert "a < b & c > d\n" in parts["text/plain"]
    assert "Runbook: https://r.example.org/x\n" in parts["text/plain"]
    assert "a &lt; b &amp; c &gt; d" in parts["text/html"]
    assert '<a href="https://r.example.org/x">Runbook</a>' in parts["text/html"]
    assert "border-top:6px solid #ef6c00" in parts["text/html"]
    assert "ZgotmplZ" not in parts["text/html"], "html/template refused a value"


def mails(found: Desk, name: str) -> list[Message]:
    return [each for each in found.mail.messages if name in str(each["Subject"])]


def content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def test_a_page_comes_by_slack_with_colour_text_and_links(awake: Desk) -> None:
    awake.alertmanager.post([alert("OpenAITargetDown", target="openai", provider="openai")])
    awake.alertmanager.wait(lambda: slack(awake, "OpenAITargetDown"), "a message to Slack")
    message = slack(awake, "OpenAITargetDown")[0]
    links = {action["text"]: action["url"] for action in message["actions"]}

    assert message["title"] == "[critical] OpenAITargetDown openai: It is wrong."
    assert message["color"] == "#c62828"
    assert re.fullmatch(
        r"https://g\.example\.org/d/x\?from=\d{13}&to=now&viewPanel=7&var-target=openai&var-model=gpt-6",
        message["title_link"],
    )
    assert ":rotating_light: a &lt; b &amp; c &gt; d (<https://g.example.org/d/x" in message["text"]
    assert links["Runbook"] == "https://r.example.org/x"
    assert "/#/silences/new?filter=%7B" in links["Silence"]
    assert "alertname%3D%22OpenAITargetDown%22%7D" in links["Silence"]


def slack(found: Desk, name: str) -> list[dict[str, Any]]:
    bodies = found.http.received.get("/slack", [])
    return [part for body in bodies for part in body["attachments"] if name in part["title"]]


@pytest.mark.parametrize("link", ["!channel", "<!channel>", " <!channel>|x", "https://g.example.org/<!channel>"])
def test_no_text_of_a_label_or_link_calls_people_in_slack_or_turns_its_direction(awake: Desk, link: str) -> None:
    target, hostile = f"{len(link)}-of-it", "<!channel>\u202e\x1b[2J\r\nx"
    evil = alert("OpenAITargetDown", target=f"{hostile}{target}", provider="openai")
    awake.alertmanager.post([evil], summary=hostile, description=hostile, dashboard_url=link)
    awake.alertmanager.wait(lambda: slack(awake, target), "a message to Slack")
    message = slack(awake, target)[0]

    assert message["title"] == message["fallback"]
    assert message["title"].count("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}!channel") == 2
    assert not {*"<>\u202e\x1b\r\n"} & {*message["title"]}
    assert not re.search(r"<[\s<]*[!@#]|<!channel", message["text"])


def test_two_models_make_one_notification_and_its_end_is_told(awake: Desk) -> None:
    both = [alert("OpenAIModelUnavailable", **PROBE | {"model": model}) for model in ("gpt-6", "gpt-5")]
    awake.alertmanager.post(both)
    awake.alertmanager.wait(lambda: slack(awake, "x2] OpenAIModelUnavailable"), "one message for both")
    awake.alertmanager.post(both, resolved=True)
    awake.alertmanager.wait(lambda: slack(awake, "[resolved x2] OpenAIModelUnavailable"), "its end")
    ended = slack(awake, "[resolved x2] OpenAIModelUnavailable")[0]

    assert ended["color"] == "#2e7d32"
    assert ended["text"].count(":white_check_mark:") == 2
    awake.alertmanager.wait(
        lambda: "OpenAIModelUnavailable" in awake.http.alerts("/webhook", "resolved"), "the webhook"
    )


def test_models_that_join_an_outage_in_its_first_minutes_are_one_notification(tmp_path: Path) -> None:
    """A minute is a second; what is more urgent, another problem or a later one is told all the same."""
    name = "OpenAIAvailabilityBudgetBurn"
    with ExitStack() as stack:
        found = desk(tmp_path, stack, groupWait={"page": "0s", "notify": "5s"}, groupInterval="10s")
        began = f"{datetime.now(UTC):%FT%TZ}"  # only now: a group waits for nobody who began before its wait
        send, wait = found.alertmanager.post, found.alertmanager.wait
        models = [alert(name, "critical", **PROBE | {"model": model}) for model in ("gpt-6", "gpt-5", "o3", "o4")]
        burning = [alert(name, severity, **PROBE | OTHER) for severity in ("warning", "critical")]
        for each in models[:3]:
            send([each], began=began)
        send(burning[:1])
        send([alert("OpenAITargetDown", target="third")], began=began)
        wait(lambda: slack(found, f"{name} openai"), "the models")
        wait(lambda: slack(found, "OpenAITargetDown third"), "another problem")
        wait(lambda: slack(found, f"[warning] {name} azure"), "a warning")
        send(burning[1:])
        send(models[3:])
        wait(lambda: slack(found, f"[critical] {name} azure"), "what is more urgent")
        wait(lambda: slack(found, f"[critical x4] {name} openai"), "a model that joins later")
        send(models, resolved=True)
        wait(lambda: slack(found, f"[resolved x4] {name} openai"), "its end")
        titles = [each["title"].split(":")[0] for each in slack(found, f"{name} openai")]

    assert titles == [
        f"[{what} x{count}] {name} openai" for what, count in (("critical", 3), ("critical", 4), ("resolved", 4))
    ]


def test_environments_share_no_notification_and_none_waits_for_the_group_of_another(tmp_path: Path) -> None:
    """An hour lies between two notifications of one group."""
    labels, name = ("job", "cluster", "env", "environment", "region", "namespace"), "OpenAIAvailabilityBudgetBurn"
    expected: list[str] = []
    with ExitStack() as stack:
        found = desk(tmp_path, stack, groupWait={"page": "0s", "notify": "5s"}, groupInterval="1h")

        def sent() -> bool:
            return len(slack(found, name)) == len(expected)

        for environment in ("staging", "production"):
            probes = [PROBE | {"target": f"of-{each}", each: environment} for each in labels]
            models = [alert(name, "critical", **probe | {"model": model}) for probe in probes for model in ("a", "b")]
            shown = [f"{each}={environment} of-{each}" if each != "job" else "of-job" for each in labels]
            expected += [f"[critical x2] {name} {each}: It is wrong." for each in shown]
            found.alertmanager.post(models, began=f"{datetime.now(UTC):%FT%TZ}")
            found.alertmanager.wait(sent, environment)
        titles = [each["title"] for each in slack(found, name)]

    assert sorted(titles) == sorted(expected)


def test_a_webhook_gets_its_token_and_sms_gets_pages_only(awake: Desk) -> None:
    awake.alertmanager.post([alert("OpenAIQuotaExhausted", target="openai"), alert("OpenAIProbeInvalid", **PROBE)])
    awake.alertmanager.wait(
        lambda: awake.http.alerts("/webhook", "firing") >= {"OpenAIQuotaExhausted", "OpenAIProbeInvalid"}, "both"
    )
    awake.alertmanager.wait(lambda: "OpenAIQuotaExhausted" in awake.http.alerts("/sms", "firing"), "the page")

    assert awake.http.headers["/webhook"]["Authorization"] == "Bearer t0ken"
    assert "OpenAIProbeInvalid" not in awake.http.alerts("/sms", "firing")


def test_the_watchdog_calls_outside_and_nobody_else(awake: Desk) -> None:
    awake.alertmanager.post([alert("Watchdog")])
    awake.alertmanager.wait(lambda: "Watchdog" in awake.http.alerts("/watchdog", "firing"), "the call")

    assert "Watchdog" not in awake.http.alerts("/webhook", "firing")


def test_more_than_ten_alerts_are_cut_short(awake: Desk) -> None:
    awake.alertmanager.post([alert("OpenAIProbeNearDeadline", **PROBE | OTHER | {"model": f"m{n}"}) for n in range(12)])
    awake.alertmanager.wait(lambda: slack(awake, "x12] OpenAIProbeNearDeadline"), "one message")
    text = slack(awake, "x12] OpenAIProbeNearDeadline")[0]["text"]

    assert text.count(":warning:") == 10
    assert "More in Alertmanager: http" in text


def rendered(folder: Path, template: str, *alerts: dict[str, str], kind: str = "text", ended: bool = False) -> str:
    """A template for one group, as amtool renders it."""
    status, end = ("resolved", "2026-01-01T02:00:00Z") if ended else ("firing", "0001-01-01T00:00:00Z")
    notes = {"summary": "It is wrong.", "description": "a", "dashboard_url": "https://g/d/x?from=now-6h&to=now"}
    common = dict(set.intersection(*(set(labels.items()) for labels in alerts)))
    data = {
        "status": status,
        "alerts": [
            {"status": status, "labels": each, "annotations": notes, "startsAt": "2026-01-01T01:00:00Z", "endsAt": end}
            for each in alerts
        ],
        "commonLabels": common,
        "commonAnnotations": notes,
        "externalURL": "http://am",
    }
    (folder / "data.json").write_text(json.dumps(data))
    done = run(
        AMTOOLS[0], "template", "render", f"--template.glob={ALERTMANAGER}/templates/*.tmpl", f"--template.type={kind}",
        f"--template.data={folder / 'data.json'}", f'--template.text={{{{ template "{template}" . }}}}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


ONE = {"alertname": "A", "organization": "acme inc", "budget": "all", "threshold": "half", "severity": "info"}
TWO = ONE | {"threshold": "full", "severity": "warning"}
OF_ANOTHER = ONE | {"budget": "team", "severity": "critical"}


@pytest.mark.parametrize(
    ("group", "title", "color", "pagerduty"),
    [
        ([ONE], "[info] A acme inc", "#1565c0", "info"),
        ([ONE, TWO], "[warning x2] A acme inc", "#ef6c00", "warning"),
        ([OF_ANOTHER, TWO, ONE], "[critical x3] A acme inc", "#c62828", "critical"),
        ([{"alertname": "A"}], "[firing] A", "#1565c0", "error"),
    ],
    ids=["info", "a warning too", "a critical one too", "none"],
)
def test_a_group_shows_its_highest_severity(
    group: list[dict[str, str]], title: str, color: str, pagerduty: str, tmp_path: Path
) -> None:
    assert rendered(tmp_path, "openai.title", *group).strip().startswith(title)
    assert rendered(tmp_path, "openai.color", *group).strip() == color
    assert rendered(tmp_path, "openai.pagerduty.severity", *group).strip() == pagerduty
    assert rendered(tmp_path, "openai.title", *group, ended=True).strip().startswith("[resolved")


@pytest.mark.parametrize("template", ["openai.slack.text", "openai.text"])
def test_alerts_about_one_thing_are_one_line_with_their_count(template: str, tmp_path: Path) -> None:
    text = rendered(tmp_path, template, ONE, TWO, OF_ANOTHER)

    assert text.count("https://g/d/x") == 2
    assert text.count("x2") == 1


def test_links_lead_to_the_time_of_the_alert_and_silences_work_with_spaces(tmp_path: Path) -> None:
    began = 1767229200000
    for kind, template in (("text", "openai.text"), ("html", "openai.email.html")):
        text = html.unescape(rendered(tmp_path, template, ONE, kind=kind))
        over = html.unescape(rendered(tmp_path, template, ONE, kind=kind, ended=True))

        assert f"https://g/d/x?from={began - 3_600_000}&to=now" in text
        assert f"https://g/d/x?from={began - 3_600_000}&to={began + 3_600_000 + 900_000}" in over
        assert "organization%3D%22acme%20inc%22%2C" in text

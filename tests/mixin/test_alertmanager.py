# SPDX-License-Identifier: Apache-2.0
"""The Alertmanager configuration: what is configured is rendered, and nothing else; secrets are files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.mixin.alerting import CHANNELS, KINDS, configured, matches, written
from tests.mixin.bundle import AMTOOLS, ROOT, alert_rules, errors_of, mixin, run, version
from tests.mixin.lint.parser import seconds

EXAMPLES = CHANNELS | {"teams": {"webhook_url_file": "/run/secrets/teams_url"}}


def kinds(document: dict[str, Any]) -> set[str]:
    return {key for receiver in document["receivers"] for key in receiver} - {"name"}


def receiver(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(each) for each in document["receivers"] if each["name"] == name)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [each for part in value.values() for each in texts(part)]
    if isinstance(value, list):
        return [each for part in value for each in texts(part)]
    return [str(value)]


def test_without_channels_nobody_is_notified_and_the_file_is_valid_all_the_same() -> None:
    assert kinds(mixin("alertmanagerConfig")) == set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_one_channel_renders_its_own_integration_only(name: str) -> None:
    document = configured({name: EXAMPLES[name]}, version="0.28")

    assert kinds(document) == {KINDS[name]}


def test_pages_reach_every_channel_and_warnings_wake_nobody() -> None:
    document = configured()

    assert set(receiver(document, "page")) - {"name"} == {KINDS[name] for name in CHANNELS}
    assert set(receiver(document, "notify")) - {"name"} == {"slack_configs", "webhook_configs", "email_configs"}
    assert set(receiver(document, "cost")) - {"name"} == {"email_configs", "webhook_configs"}
    assert set(receiver(document, "info")) == {"name"}
    assert len(receiver(document, "page")["webhook_configs"]) == 2


def test_cost_without_mail_falls_back_to_what_there_is() -> None:
    document = configured({"slack": EXAMPLES["slack"]})

    assert "slack_configs" in receiver(document, "cost")


def test_a_team_has_its_own_channels_over_the_common_ones() -> None:
    document = configured(teams={"research": {"slack": {"channel": "#research"}}})
    slack = receiver(document, "notify-research")["slack_configs"][0]

    assert slack["channel"] == "#research"
    assert slack["api_url_file"] == "/run/secrets/slack_url"
    assert receiver(document, "notify")["slack_configs"][0]["channel"] == "#openai"


def test_the_watchdog_goes_where_it_is_told_and_never_says_resolved() -> None:
    document = configured({}, watchdog={"url": "https://watchdog.example.org/ping"})

    assert receiver(document, "watchdog")["webhook_configs"] == [
        {"url": "https://watchdog.example.org/ping", "send_resolved": False}
    ]
    assert document["route"]["routes"][0]["repeat_interval"] == "1m"


def test_groups_have_each_label_once_whatever_tells_environments_apart() -> None:
    grouped = configured(environmentLabels=["env", "target", "job", "env"])["route"]["group_by"]

    assert sorted(grouped) == ["alertname", "env", "job", "organization", "slo", "target"]


def test_secrets_are_absolute_paths_of_files() -> None:
    text = json.dumps(configured(version="0.28", channels=EXAMPLES))
    files = re.findall(r'"(\w+_file)": "([^"]+)"', text)

    assert len(files) >= 6
    assert [path for _, path in files if not path.startswith("/")] == []
    assert re.findall(r'"(api_url|routing_key|api_key|auth_password|credentials|webhook_url)":', text) == []


REFUSED = {
    "a secret itself": (
        {"slack": {"api_url": "https://hooks.slack.com/x"}},
        "slack.api_url: unknown setting; allowed: api_url_file, channel (secrets come from files)",
    ),
    "a password": ({"email": {"to": "a@b", "auth_password": "x"}}, "email.auth_password: unknown setting"),
    "a relative path": (
        {"pagerduty": {"routing_key_file": "secrets/key"}},
        "pagerduty.routing_key_file: must be an absolute path",
    ),
    "an unknown channel": (
        {"pigeon": {"url": "x"}},
        "alertmanager.channels.pigeon: unknown setting; allowed: email, opsgenie, pagerduty, slack, sms",
    ),
    "a channel that is too new": (
        {"teams": {"webhook_url_file": "/x"}},
        "teams.webhook_url_file: needs Alertmanager 0.28; set alertmanager.version to what you run (it is 0.25)",
    ),
    "half a channel": (
        {"slack": {"api_url_file": "/x"}},
        "slack.channel: is missing; set it in channels.slack, or in each team that has this channel of its own",
    ),
    "a receiver that is nowhere": ({"webhook": {"send_resolved": False}}, "webhook.url or url_file: is missing"),
    "a setting that is too new": ({"webhook": {"url_file": "/x"}}, "webhook.url_file: needs Alertmanager 0.26"),
}


@pytest.mark.parametrize(("channels", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(channels: dict[str, Any], message: str) -> None:
    settings = f"{{ alertmanager+: {{ channels+: {json.dumps(channels)} }} }}"

    assert message in errors_of(settings, "alertmanagerConfig")


@pytest.mark.parametrize(
    ("team", "missing"),
    [
        ({"slack": {"channel": "#r"}}, "slack.api_url_file"),
        ({"email": {"to": "r@example.org"}}, "email.from"),
        ({"sms": {"bearer_token_file": "/x"}}, "sms.url or url_file"),
    ],
    ids=["slack", "email", "sms"],
)
def test_a_team_may_not_have_a_part_of_a_channel_alone(team: dict[str, Any], missing: str) -> None:
    found = errors_of(f"{{ alertmanager+: {{ teams: {{ research: {json.dumps(team)} }} }} }}", "alertmanagerConfig")

    assert f"{missing}: is missing" in found


def test_an_unknown_channel_of_an_audience_is_refused() -> None:
    found = errors_of("{ alertmanager+: { audiences+: { info: ['irc'] } } }", "alertmanagerConfig")

    assert 'channel "irc" is unknown' in found


@pytest.mark.stack
@pytest.mark.skipif(not AMTOOLS, reason="amtool is not installed")
@pytest.mark.parametrize("amtool", AMTOOLS or [""], ids=version)
def test_amtool_accepts_every_channel_at_once(amtool: str, tmp_path: Path) -> None:
    document = configured(
        teams={"research": {"slack": {"channel": "#research"}}},
        watchdog={"url": "https://watchdog.example.org/ping"},
        quietTimes=[{"weekdays": ["sunday"]}],
    )
    found = run(amtool, "check-config", written(document, tmp_path))

    assert found.returncode == 0, found.stdout + found.stderr


def test_repetitions_fit_the_groups_and_what_alertmanager_remembers() -> None:
    """A repeat interval is rounded up to the next group interval, and forgotten after --data.retention (120h)."""
    route = mixin("alertmanagerConfig.route")
    interval = seconds(route["group_interval"])
    repeats = [seconds(each["repeat_interval"]) for each in route["routes"][2:] if "repeat_interval" in each]

    monthly = seconds(mixin("_config.alertmanager.repeat.budget"))

    assert [each for each in repeats if each % interval or each >= 120 * 3600] == [monthly]
    assert monthly % interval == 0
    assert f"--data.retention={24 * 32}h" in (ROOT / "docker-compose.yml").read_text()
    assert monthly < 32 * 86_400


def test_inhibitions_name_alerts_that_exist() -> None:
    names = {rule["alert"] for rule in alert_rules()}
    text = " ".join(texts(mixin("alertmanagerConfig.inhibit_rules")))
    named = set(re.findall(r"OpenAI[A-Z]\w+", text))

    assert named
    assert named <= names


def test_no_alert_is_source_and_target_of_one_inhibition() -> None:
    """Such an alert could mute itself or its twin."""
    both = [
        (rule["alert"], number)
        for number, each in enumerate(mixin("alertmanagerConfig.inhibit_rules"))
        for rule in alert_rules()
        if matches(each["source_matchers"], rule["labels"] | {"alertname": rule["alert"]})
        and matches(each["target_matchers"], rule["labels"] | {"alertname": rule["alert"]})
    ]

    assert both == []


def test_nothing_mutes_an_outage_but_a_dead_exporter() -> None:
    """Pages on the API or on money that the API withholds are held back by OpenAIExporterDown alone.

    A key that spends for its organization pages in its place.
    """
    pages = [rule for rule in alert_rules() if rule["labels"]["severity"] == "critical"]
    allowed = {"OpenAITargetDown", "OpenAIExporterDown", "OpenAICredentialsRejected", "OpenAIKeySpendSpike"}
    muted = {
        (rule["alert"], source)
        for each in mixin("alertmanagerConfig.inhibit_rules")
        for rule in pages
        if matches(each["target_matchers"], rule["labels"] | {"alertname": rule["alert"]})
        for source in re.findall(r'alertname=~?"([^"]*)"', " ".join(each["source_matchers"]))
    }
    by_others = {pair for pair in muted if not set(pair[1].split("|")) & allowed and not pair[0].endswith("BudgetBurn")}

    assert by_others == set()

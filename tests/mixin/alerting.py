# SPDX-License-Identifier: Apache-2.0
"""Alertmanager configurations for tests: every channel configured, written where the tools read them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.mixin.bundle import ALERTMANAGER, mixin

Labels = Mapping[str, str]

CHANNELS: dict[str, dict[str, Any]] = {
    "slack": {"api_url_file": "/run/secrets/slack_url", "channel": "#openai"},
    "email": {
        "to": "oncall@example.org",
        "from": "alerts@example.org",
        "smarthost": "mail.example.org:587",
        "auth_username": "alerts",
        "auth_password_file": "/run/secrets/smtp_password",
    },
    "pagerduty": {"routing_key_file": "/run/secrets/pagerduty_key"},
    "opsgenie": {"api_key_file": "/run/secrets/opsgenie_key"},
    "webhook": {"url": "http://receiver.example.org/alerts", "bearer_token_file": "/run/secrets/webhook_token"},
    "sms": {"url": "http://sms.example.org/send"},
}
"""Every channel that Alertmanager 0.25 knows."""

MERGED = frozenset({"channels", "teams", "audiences", "groupWait", "repeat"})
"""Settings that tests lay over the defaults; the others they replace."""

KINDS = {
    "slack": "slack_configs",
    "email": "email_configs",
    "pagerduty": "pagerduty_configs",
    "opsgenie": "opsgenie_configs",
    "teams": "msteamsv2_configs",
    "webhook": "webhook_configs",
    "sms": "webhook_configs",
}


def configured(channels: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The configuration with these channels (all, by default) and further settings of `alertmanager`."""
    settings = {"channels": CHANNELS if channels is None else channels, **more}
    over = ", ".join(f"{key}{'+' * (key in MERGED)}: {json.dumps(value)}" for key, value in settings.items())
    document: dict[str, Any] = mixin("alertmanagerConfig", f"{{ alertmanager+: {{ {over} }} }}")
    return document


def written(document: Mapping[str, Any], folder: Path) -> Path:
    """The configuration as a file, with the templates of the bundle."""
    path = folder / "alertmanager.yml"
    templates = {"templates": [str(ALERTMANAGER / "templates" / "*.tmpl")]}
    path.write_text(yaml.safe_dump(dict(document) | templates, sort_keys=False))
    return path


def matches(matchers: list[str], labels: Labels) -> bool:
    """Whether labels satisfy matchers as Alertmanager reads them; an absent label is empty."""
    for each in matchers:
        found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', each)
        assert found, each
        label, op, value = found.groups()
        actual = labels.get(label, "")
        equal = re.fullmatch(value, actual) is not None if "~" in op else actual == value
        if equal == op.startswith("!"):
            return False
    return True

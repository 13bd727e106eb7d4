# SPDX-License-Identifier: Apache-2.0
"""A running Alertmanager with Slack, mail and webhooks on loopback, and alerts as the rules make them."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mixin.alerting import configured, written
from tests.mixin.bundle import alert_rules
from tests.mixin.live import Alertmanager, running_alertmanager
from tests.mixin.sinks import HttpSink, MailSink, running

ALWAYS = [{"weekdays": ["sunday:saturday"]}]
NEVER = [{"years": ["1999"]}]
PROBE = {"job": "openai", "target": "openai", "provider": "openai", "module": "chat", "model": "gpt-6"}
OTHER = {"target": "azure", "provider": "azure"}


def alert(name: str, /, severity: str | None = None, **labels: str) -> dict[str, str]:
    """An alert as its rule makes it: static labels of the rule, then those of the series."""
    wanted = {"severity": severity} if severity else {}
    static: dict[str, str] = next(
        rule["labels"] for rule in alert_rules() if rule["alert"] == name and wanted.items() <= rule["labels"].items()
    )
    return {"alertname": name} | labels | static


@dataclass(frozen=True, slots=True)
class Desk:
    """An Alertmanager with the receivers that it sends to."""

    alertmanager: Alertmanager
    http: HttpSink
    mail: MailSink


def desk(folder: Path, stack: ExitStack, **settings: Any) -> Desk:
    """Start it all in a folder, with further settings of `alertmanager`; it ends with the stack."""
    http, mail = HttpSink(), MailSink()
    stack.enter_context(running(http))
    stack.enter_context(running(mail))
    (folder / "slack_url").write_text(http.url("/slack"))
    (folder / "token").write_text("t0ken")
    channels = {
        "slack": {"api_url_file": str(folder / "slack_url"), "channel": "#openai"},
        "email": {
            "to": "oncall@example.org",
            "from": "a@example.org",
            "smarthost": mail.smarthost,
            "require_tls": False,
        },
        "webhook": {"url": http.url("/webhook"), "bearer_token_file": str(folder / "token")},
        "sms": {"url": http.url("/sms")},
    }
    quick = {"groupWait": {"page": "0s", "notify": "0s"}, "groupInterval": "1s", **settings}
    document = configured(channels, watchdog={"url": http.url("/watchdog")}, **quick)
    started = stack.enter_context(running_alertmanager(written(document, folder)))
    return Desk(started, http, mail)

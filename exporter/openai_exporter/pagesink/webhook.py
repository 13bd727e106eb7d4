# SPDX-License-Identifier: Apache-2.0
"""JSON that Alertmanager posts, to pages: its webhook (version 4), Slack, PagerDuty, or anything else."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openai_exporter.config.masking import MASK, mask_keys
from openai_exporter.pagesink.page import FIRING, RESOLVED, Alert, Page, worst

_LONGEST = 4000
_NO_END = "0001-"
_SECRET = re.compile(r"(?i)(key|token|secret|password)$")
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED}


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: str = ""  # noqa: N815 - the payload's name
    endsAt: str = ""  # noqa: N815
    generatorURL: str = ""  # noqa: N815

    def plain(self) -> Alert:
        ended = "" if self.endsAt.startswith(_NO_END) or self.status == FIRING else self.endsAt
        return Alert(self.status, self.labels, self.annotations, self.startsAt, ended, self.generatorURL)


class _Notification(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str = ""
    receiver: str = ""
    alerts: list[_Alert]
    commonAnnotations: dict[str, str] = Field(default_factory=dict)  # noqa: N815


class _Attachment(BaseModel):
    model_config = ConfigDict(extra="ignore")

    title: str = ""
    fallback: str = ""
    text: str = ""


class _Slack(BaseModel):
    model_config = ConfigDict(extra="ignore")

    channel: str = ""
    text: str = ""
    attachments: list[_Attachment] = Field(default_factory=list)


def page_of(body: bytes) -> Page:
    """The page that a posted body is.

    Raises:
        ValueError: no JSON object, or not of the shape that its keys promise; the message says what.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON; post what Alertmanager's webhook_configs send") from None
    if not isinstance(data, dict):
        raise ValueError("the body is not a JSON object; post what Alertmanager's webhook_configs send")
    try:
        if "alerts" in data:
            return _notification(_Notification.model_validate(data))
        if "attachments" in data:
            return _slack(_Slack.model_validate(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if isinstance(data.get("payload"), dict) and "event_action" in data:
        return _pagerduty(data)
    return Page("json", "", "", "JSON", _shown(data))


def _notification(found: _Notification) -> Page:
    alerts = tuple(alert.plain() for alert in found.alerts)
    names = list(dict.fromkeys(alert.name for alert in alerts if alert.name))
    summaries = dict.fromkeys(alert.annotations.get("summary", "") for alert in alerts)
    text = found.commonAnnotations.get("summary") or "\n".join(each for each in summaries if each)
    return Page(
        channel="webhook",
        status=found.status,
        severity=worst([alert.severity for alert in alerts]),
        title=", ".join(names) or "alerts without a name",
        text=text,
        receiver=found.receiver,
        alerts=alerts,
    )


def _slack(found: _Slack) -> Page:
    first = found.attachments[0] if found.attachments else _Attachment()
    title = first.title or first.fallback or found.text
    status, severity = read_words(title)
    text = "\n".join(each.text for each in found.attachments) or found.text
    return Page("slack", status, severity, title, text, found.channel)


def _pagerduty(data: Mapping[str, Any]) -> Page:
    payload = data["payload"]
    status = _ACTIONS.get(str(data["event_action"]), "")
    details = payload.get("custom_details")
    text = _shown(details) if isinstance(details, dict) else ""
    return Page("pagerduty", status, str(payload.get("severity", "")), str(payload.get("summary", "")), text)


def read_words(title: str) -> tuple[str, str]:
    """Status and severity as a title says them, such as `[FIRING:1]`, `[critical x2]` or `[resolved]`."""
    words = [word.lower() for word in re.findall(r"[A-Za-z]+", title)]
    status = RESOLVED if "resolved" in words else FIRING if words else ""
    return status, worst([word for word in words if word in ("critical", "warning", "info")])


def _shown(data: Mapping[str, Any]) -> str:
    """JSON for people, without values that are secrets by their name or form."""
    return mask_keys(json.dumps(_masked(data), indent=2, ensure_ascii=False))[:_LONGEST]


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if _SECRET.search(name) else _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value

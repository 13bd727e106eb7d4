# SPDX-License-Identifier: Apache-2.0
"""What a page is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SEVERITIES = ("critical", "warning", "info")
FIRING, RESOLVED = "firing", "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification.

    Attributes:
        status: `firing` or `resolved`.
        starts_at, ends_at: RFC 3339; `ends_at` is empty while it fires.
    """

    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: str = ""
    ends_at: str = ""
    generator_url: str = ""

    @property
    def name(self) -> str:
        """Name of the alert; empty when it has none."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """Label severity; empty when it has none."""
        return self.labels.get("severity", "")


@dataclass(frozen=True, slots=True)
class Page:
    """One notification.

    Attributes:
        channel: `webhook`, `slack`, `pagerduty`, `json` or `email`.
        status: `firing`, `resolved`, or empty when it does not say.
        severity: the worst one of it, empty when it does not say.
        receiver: Alertmanager's receiver, the channel, or the recipients of a mail.
        id: number in the order of arrival, from 1.
        received: Unix seconds.
    """

    channel: str
    status: str
    severity: str
    title: str
    text: str
    receiver: str = ""
    alerts: tuple[Alert, ...] = ()
    id: int = 0
    received: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def from_json(data: Mapping[str, Any]) -> Page:
    """A page from what `as_json` made.

    Raises:
        TypeError, KeyError: it is something else.
    """
    alerts = tuple(Alert(**alert) for alert in data["alerts"])
    return Page(**{**data, "alerts": alerts})


def worst(severities: list[str]) -> str:
    """The worst of some severities; the first unknown one when none is known, empty of none."""
    known = [each for each in SEVERITIES if each in severities]
    return (known or [each for each in severities if each] or [""])[0]

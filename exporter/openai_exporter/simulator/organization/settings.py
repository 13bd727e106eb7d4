# SPDX-License-Identifier: Apache-2.0
"""Spend limits, alerts and rate limits as they are set, with believable first values. Answers no requests."""

from dataclasses import dataclass, field
from typing import Any

from openai_exporter.simulator.catalogue import MODELS, Model
from openai_exporter.simulator.organization.ids import generator, identifier
from openai_exporter.simulator.organization.seed import Roster

_ORGANIZATION_ALERTS = (800_000, 1_200_000)  # cents
_ORGANIZATION_LIMIT = 5_000_000


@dataclass(frozen=True, slots=True)
class SpendAlert:
    """A mail that is sent when a month's spend passes `cents`."""

    id: str
    cents: int
    recipients: tuple[str, ...]
    subject_prefix: str | None = None

    def shown(self, kind: str) -> dict[str, Any]:
        """The JSON object; `kind` is organization or project."""
        channel = {"type": "email", "recipients": [*self.recipients], "subject_prefix": self.subject_prefix}
        return {
            "id": self.id,
            "object": f"{kind}.spend_alert",
            "threshold_amount": self.cents,
            "currency": "USD",
            "interval": "month",
            "notification_channel": channel,
        }


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A project's limits for one model; None for what the model does not have."""

    id: str
    model: str
    max_requests_per_1_minute: int
    max_tokens_per_1_minute: int
    max_images_per_1_minute: int | None = None
    max_audio_megabytes_per_1_minute: int | None = None
    max_requests_per_1_day: int | None = None
    batch_1_day_max_input_tokens: int | None = None

    def shown(self) -> dict[str, Any]:
        """The JSON object, without the limits that do not apply."""
        limits = {
            "max_requests_per_1_minute": self.max_requests_per_1_minute,
            "max_tokens_per_1_minute": self.max_tokens_per_1_minute,
            "max_images_per_1_minute": self.max_images_per_1_minute,
            "max_audio_megabytes_per_1_minute": self.max_audio_megabytes_per_1_minute,
            "max_requests_per_1_day": self.max_requests_per_1_day,
            "batch_1_day_max_input_tokens": self.batch_1_day_max_input_tokens,
        }
        present = {name: limit for name, limit in limits.items() if limit is not None}
        return {"object": "project.rate_limit", "id": self.id, "model": self.model, **present}


@dataclass(slots=True)
class LimitSettings:
    """What is set now. Keys are project ids, None for the organization; spend limits are in cents."""

    seed: int
    spend_limits: dict[str | None, int] = field(default_factory=dict)
    alerts: dict[str | None, list[SpendAlert]] = field(default_factory=dict)
    _rate_limits: dict[str, list[RateLimit]] = field(default_factory=dict)

    @classmethod
    def seeded(cls, seed: int, roster: Roster) -> "LimitSettings":
        """A limit and two alerts for the organization, and one of each for every third project."""
        owner = roster.users[0].email
        settings = cls(seed, {None: _ORGANIZATION_LIMIT})
        settings.alerts[None] = [
            SpendAlert(identifier("alert_", seed, cents), cents, (owner, "finance@example.com"), "[OpenAI]")
            for cents in _ORGANIZATION_ALERTS
        ]
        for number, project in enumerate(roster.projects):
            if number % 3 == 1:
                cents = generator(seed, "limit", number).randrange(5, 15) * 100_000
                settings.spend_limits[project.id] = cents
                alert = SpendAlert(identifier("alert_", seed, project.id), cents * 8 // 10, (owner,))
                settings.alerts[project.id] = [alert]
        return settings

    def rate_limits(self, project_id: str) -> list[RateLimit]:
        """The project's rate limits, one per model (by its undated name)."""
        if project_id not in self._rate_limits:
            share = generator(self.seed, "rates", project_id).choice((1, 2, 5))
            families = [
                model for model in MODELS.values() if model.id == model.snapshot or model.id in _FAMILIES
            ]
            undated = [model for model in families if model.id not in _DATED]
            self._rate_limits[project_id] = [_rate_limit(model, share) for model in undated]
        return self._rate_limits[project_id]


_DATED = {model.snapshot for model in MODELS.values() if model.id != model.snapshot}
_FAMILIES = {model.id for model in MODELS.values() if model.id != model.snapshot}


def _rate_limit(model: Model, share: int) -> RateLimit:
    return RateLimit(
        id=f"rl-{model.id}",
        model=model.id,
        max_requests_per_1_minute=model.requests_per_minute // share,
        max_tokens_per_1_minute=model.tokens_per_minute // share,
        max_images_per_1_minute=model.requests_per_minute // share if model.kind == "image" else None,
        max_audio_megabytes_per_1_minute=600 // share if model.kind == "transcription" else None,
        batch_1_day_max_input_tokens=model.tokens_per_minute * 40 // share if model.kind == "chat" else None,
    )

# SPDX-License-Identifier: Apache-2.0
"""What is set at the API for the organization and each project: spend limit, spend alerts, rate limits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from openai_exporter.client.organization import Params
from openai_exporter.config.base import listing, nearest
from openai_exporter.config.secret import shown
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.model import Answer
from openai_exporter.usage import names
from openai_exporter.usage.limits import API
from openai_exporter.usage.pages import Item, identified, inner, number, read_list, text
from openai_exporter.usage.rows import MalformedError

Value = Mapping[str, Any]
"""What one setting is, as the journal keeps it; None in its place where nothing is set."""
Get = Callable[[str, Params], Answer]

T = TypeVar("T")

ORGANIZATION = ""
"""In place of a project's id."""
WHOLE = names.Project(ORGANIZATION, "", "active")
"""The organization, in place of a project."""
RATES: Mapping[str, str] = {
    "requests_per_minute": "max_requests_per_1_minute",
    "tokens_per_minute": "max_tokens_per_1_minute",
    "images_per_minute": "max_images_per_1_minute",
    "audio_megabytes_per_minute": "max_audio_megabytes_per_1_minute",
    "requests_per_day": "max_requests_per_1_day",
    "batch_input_tokens_per_day": "batch_1_day_max_input_tokens",
}
"""Our names for rate limits, and the API's (official description, ProjectRateLimit)."""


@dataclass(frozen=True, slots=True)
class SpendAlert:
    """An e-mail that OpenAI sends when the month's spend passes `cents`."""

    id: str
    cents: int
    recipients: tuple[str, ...]
    subject_prefix: str | None = None

    @property
    def value(self) -> Value:
        """Without the id."""
        return {"cents": self.cents, "recipients": [*self.recipients], "subject_prefix": self.subject_prefix}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Limits of a project for one model and its snapshots, by the API's names."""

    id: str
    model: str
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set for a project, or for the organization.

    Attributes:
        spend_limit: cents a month; None where none is set.
        enforcing: whether the API rejects requests because of it now.
    """

    project_id: str
    name: str
    spend_limit: int | None
    enforcing: bool
    alerts: tuple[SpendAlert, ...]
    rates: tuple[RateLimit, ...]

    def rate(self, model: str) -> RateLimit:
        """The rate limit of a model.

        Raises:
            StartError: it has none.
        """
        for rate in self.rates:
            if rate.model == model:
                return rate
        known = [rate.model for rate in self.rates]
        hint = nearest(model, known)
        raise StartError(
            f"{shown(model)}: project {self.name} has no rate limit for this model; {hint}it has: {listing(known)}"
        )


def base(project_id: str) -> str:
    """The path below which settings of a project, or of the organization, are."""
    return f"/organization/projects/{project_id}" if project_id else "/organization"


class Reader:
    """Reads settings; every call may raise UpstreamError, also for an answer that is not as described."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def projects(self) -> tuple[names.Project, ...]:
        """All projects, archived ones included."""
        return tuple(self._list("/organization/projects", names.project, [("include_archived", "true")]))

    def settings(self, project_id: str, name: str) -> Settings:
        """What is set for a project, or for the organization, which has no rate limits of its own."""
        limit, enforcing = self.spend_limit(project_id)
        of_models = self.rates(project_id) if project_id else ()
        return Settings(project_id, name, limit, enforcing, self.alerts(project_id), of_models)

    def spend_limit(self, project_id: str) -> tuple[int | None, bool]:
        """Cents a month, None where none is set (HTTP 404), and whether it is enforced now."""
        path = f"{base(project_id)}/spend_limit"
        try:
            body = self._get(path, ()).body
        except UpstreamError as error:
            if error.status == 404:
                return None, False
            raise
        with _described(path):
            return _cents(body), text(inner(body, "enforcement"), "status") == "enforcing"

    def alerts(self, project_id: str) -> tuple[SpendAlert, ...]:
        """The spend alerts, cheapest first."""
        alerts = self._list(f"{base(project_id)}/spend_alerts", alert)
        return tuple(sorted(alerts, key=lambda alert: (alert.cents, alert.id)))

    def rates(self, project_id: str) -> tuple[RateLimit, ...]:
        """The rate limits of a project."""
        return tuple(self._list(f"{base(project_id)}/rate_limits", rate_limit))

    def _list(self, path: str, take: Callable[[Item], T], params: Params = ()) -> Iterator[T]:
        with _described(path):
            for page in read_list(lambda query: self._get(path, query).body, API, params):
                yield from (take(identified(item)) for item in page)


@contextmanager
def _described(path: str) -> Iterator[None]:
    """Turn an answer that is not as described into a failure of the API."""
    try:
        yield
    except MalformedError as error:
        raise UpstreamError(f"{path}: {error}", api=API, reason="malformed") from None


def alert(item: Item) -> SpendAlert:
    """A spend alert of the API."""
    channel = inner(item, "notification_channel")
    recipients = channel.get("recipients") or []
    if not isinstance(recipients, list) or not all(isinstance(address, str) for address in recipients):
        raise MalformedError("notification_channel.recipients: expected an array of strings")
    return SpendAlert(text(item, "id"), _cents(item), tuple(recipients), text(channel, "subject_prefix") or None)


def rate_limit(item: Item) -> RateLimit:
    """A rate limit of the API, without what it does not limit."""
    limits = {field: number(item, field) for field in RATES.values()}
    return RateLimit(text(item, "id"), text(item, "model"), {name: n for name, n in limits.items() if n is not None})


def _cents(item: Item) -> int:
    cents = number(item, "threshold_amount")
    if cents is None or text(item, "currency").upper() not in ("USD", ""):
        raise MalformedError("threshold_amount: expected cents in USD")
    return cents


def find_project(projects: tuple[names.Project, ...], wanted: str) -> names.Project:
    """The active project of that id or name.

    Raises:
        StartError: there is none, there are several of the name, or it is archived.
    """
    named = [project for project in projects if project.id == wanted] or [
        project for project in projects if project.name == wanted
    ]
    active = [project for project in named if project.status == "active"]
    if len(active) == 1:
        return active[0]
    if active:
        ids = ", ".join(project.id for project in active)
        raise StartError(f"{shown(wanted)}: {len(active)} projects have this name; give the id, one of {ids}")
    if named:
        raise StartError(f"{shown(wanted)}: this project is archived; nothing of it can be changed")
    known = [project.name or project.id for project in projects if project.status == "active"]
    raise StartError(f"{shown(wanted)}: unknown project; {nearest(wanted, known)}there are: {listing(known)}")

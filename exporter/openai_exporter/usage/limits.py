# SPDX-License-Identifier: Apache-2.0
"""Limits that are set at the API: spend limits and alerts of the organization and its projects, rate limits."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from openai_exporter.client.calls import Calls
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import Metric
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Dataset
from openai_exporter.usage.lists import Item, everything, inner, number, optional, text, wrong
from openai_exporter.usage.walk import Walk

API = "limits"
_CENTS = 100

Projects = Callable[[], tuple[str, ...] | None]


@dataclass(slots=True)
class Limits:
    """Samples of each metric: label values and value."""

    samples: dict[str, list[tuple[tuple[str, ...], float]]] = field(default_factory=dict)

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Append a sample."""
        self.samples.setdefault(metric.name, []).append((labels, value))


_METRICS = (
    metrics.SPEND_LIMIT,
    metrics.SPEND_LIMIT_ENFORCING,
    metrics.SPEND_ALERT_THRESHOLD,
    metrics.PROJECT_RPM,
    metrics.PROJECT_TPM,
)


class LimitsDataset:
    """Spend limits, spend alerts and project rate limits.

    Args:
        projects: ids of the active projects as the names know them; None when they are not read.
    """

    name = API

    def __init__(self, organization: Organization, projects: Projects) -> None:
        self.interval = organization.names_interval
        self._projects = projects
        self._walk = Walk()
        self._found = Limits()

    @property
    def models(self) -> dict[str, set[str]]:
        """Models that have a rate limit, by project."""
        found: dict[str, set[str]] = {}
        for metric in (metrics.PROJECT_RPM, metrics.PROJECT_TPM):
            for (project_id, model), _ in self._found.samples.get(metric.name, []):
                found.setdefault(project_id, set()).add(model)
        return found

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read all limits, in portions."""
        return self._walk.go(functools.partial(self._steps, calls))

    def adopt(self, other: Dataset) -> bool:
        """Take over the limits."""
        if not isinstance(other, LimitsDataset):
            return False
        self._found = other._found
        return True

    def families(self) -> Iterator[Family]:
        """What is set; nothing where nothing is set."""
        for metric in _METRICS:
            yield Family(metric, [*self._found.samples.get(metric.name, [])])

    def _steps(self, calls: Calls) -> Iterator[None]:
        found = Limits()
        yield from _spend(calls, "/organization", ("organization", ""), found)
        for project_id in self._projects() or list(_listed(calls)):
            try:
                yield from _of_project(calls, project_id, found)
            except UpstreamError as error:
                # A project may be archived while the limits are read.
                if error.status != 404:
                    raise
        self._found = found


def _of_project(calls: Calls, project_id: str, found: Limits) -> Iterator[None]:
    base = f"/organization/projects/{project_id}"
    yield from _spend(calls, base, ("project", project_id), found)
    for page in everything(calls, f"{base}/rate_limits", API):
        for item in page:
            _rate_limit(item, project_id, found)
        yield


def _listed(calls: Calls) -> Iterator[str]:
    for page in everything(calls, "/organization/projects", API):
        for item in page:
            yield item["id"]


def _spend(calls: Calls, base: str, scope: tuple[str, str], found: Limits) -> Iterator[None]:
    """The spend limit, absent (404) where none is set, and the alerts of one scope."""
    answer = optional(calls, f"{base}/spend_limit", API)
    yield
    if answer is not None:
        limit = _dollars(answer.body)
        status = text(inner(answer.body, "enforcement", API), "status", API)
        if limit is not None:
            found.add(metrics.SPEND_LIMIT, limit, *scope)
            found.add(metrics.SPEND_LIMIT_ENFORCING, int(status == "enforcing"), *scope)
    for page in everything(calls, f"{base}/spend_alerts", API):
        for item in page:
            threshold = _dollars(item)
            if threshold is not None:
                found.add(metrics.SPEND_ALERT_THRESHOLD, threshold, *scope, item["id"])
        yield


def _dollars(item: Item) -> float | None:
    """threshold_amount (cents) in dollars; None in another currency."""
    cents = number(item, "threshold_amount", API)
    if cents is None:
        raise wrong("threshold_amount: is missing", API)
    return cents / _CENTS if text(item, "currency", API).lower() in ("usd", "") else None


def _rate_limit(item: Item, project_id: str, found: Limits) -> None:
    model = text(item, "model", API)
    for metric, name in (
        (metrics.PROJECT_RPM, "max_requests_per_1_minute"),
        (metrics.PROJECT_TPM, "max_tokens_per_1_minute"),
    ):
        value = number(item, name, API)
        if value is not None:
            found.add(metric, value, project_id, model)

# SPDX-License-Identifier: Apache-2.0
"""Limits that are set at the API: spend limits, alerts, rate limits; and the peak minute beside them."""

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from openai_exporter.client.organization import Calls
from openai_exporter.client.reply import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import Metric
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset, Walk
from openai_exporter.usage.pages import (
    Item,
    Query,
    Sink,
    Take,
    everything,
    inner,
    number,
    optional,
    read,
    text,
    wrong,
)
from openai_exporter.usage.rows import OPERATIONS, Operation, RowDecoder

# Limits that are set at the API: spend limits and alerts of the organization and its projects, rate limits.

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


# Dated snapshots, fine-tuned models, and the models that they are of. Pure.

_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")
_DATED_SHORT = re.compile(r"(.+)-\d{4}")


def undated(model: str) -> str:
    """The alias of a dated snapshot (`gpt-5.4-2026-03-05` is one of `gpt-5.4`); any other model as it is."""
    found = _DATED.fullmatch(model)
    return found[1] if found else model


def limited_as(model: str, known: Collection[str]) -> str:
    """The model whose rate limit holds for a model: itself if it has one, or the one that it is made of.

    Args:
        known: models with a rate limit.
    """
    candidates = list(_candidates(model))
    return next((each for each in candidates if each in known), candidates[-1])


def _candidates(model: str) -> Iterator[str]:
    """From the model itself to the broadest; the last is what it is called where no limit is known."""
    yield model
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    short = _DATED_SHORT.fullmatch(base)
    if short and undated(base) == base:
        yield short[1]
    yield base
    yield f"{undated(base)}-latest"
    yield undated(base)


# The peak minute of each project and model, beside the rate limits: read by the minute, and only where asked for.
# Rate limits are for an alias and all its snapshots together, so usage is summed by the limit's model first.

PEAK_API = "peak_minute"
_MINUTE = 60
_MOST_MINUTES = 1440
_GROUP_BY = ("project_id", "model")

Limited = Callable[[], Mapping[str, Collection[str]]]
"""Models with a rate limit, by project."""
_Key = tuple[str, str]
_Counts = tuple[int, int]


class PeakDataset:
    """Most requests and tokens in one minute.

    Args:
        limited: told anew for each reading.
    """

    name = PEAK_API

    def __init__(self, organization: Organization, context: Context, limited: Limited) -> None:
        assert organization.peak_minute is not None
        self.interval = organization.peak_minute.refresh_interval
        self._window = organization.peak_minute.window
        self._operations = tuple(
            OPERATIONS[name]
            for name in organization.usage
            if name in OPERATIONS and OPERATIONS[name].pricing in ("tokens", "input")
        )
        self._context = context
        self._limited = limited
        self._peaks: dict[_Key, _Counts] = {}

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the window of all token endpoints."""
        now = self._context.clock.now()
        start = int((now - self._window) // _MINUTE) * _MINUTE
        minutes: dict[int, dict[_Key, _Counts]] = {}
        for operation in self._operations:
            read(calls, self._query(operation, start), self._taker(operation, minutes))
        self._peaks = _peaks(minutes)
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over the peaks of the same window and endpoints."""
        if not isinstance(other, PeakDataset):
            return False
        if (other._window, other._operations) != (self._window, self._operations):
            return False
        self._peaks = other._peaks
        return True

    def families(self) -> Iterator[Family]:
        """The peaks; nothing for what had no usage in the window."""
        yield Family(metrics.PEAK_RPM, [(key, requests) for key, (requests, _) in self._peaks.items()])
        yield Family(metrics.PEAK_TPM, [(key, tokens) for key, (_, tokens) in self._peaks.items()])

    def _taker(
        self, operation: Operation, minutes: dict[int, dict[_Key, _Counts]]
    ) -> Callable[[Reply], Sink]:
        decoder = RowDecoder(operation, _GROUP_BY, lambda result, start: ())
        names = [column.name for column in operation.sources]
        places = [names.index(name) for name in ("input_tokens", "output_tokens") if name in names]
        requests = names.index("requests")
        limited = self._limited()

        def bucket(start: int) -> Take:
            sums = minutes.setdefault(start, {})

            def take(result: object) -> None:
                (project, model), values = decoder.decode(result, start)
                key = (project, limited_as(model, limited.get(project, ())))
                before = sums.get(key, (0, 0))
                tokens = sum(values[place] for place in places)
                sums[key] = (before[0] + values[requests], before[1] + tokens)

            return take

        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        return arrived

    def _query(self, operation: Operation, start: int) -> Query:
        params = [("start_time", str(start)), ("bucket_width", "1m"), ("limit", str(_MOST_MINUTES))]
        params += [("group_by[]", name) for name in _GROUP_BY]
        return Query(operation.path, self.name, params, self._context.pause)


def _peaks(minutes: Mapping[int, Mapping[_Key, _Counts]]) -> dict[_Key, _Counts]:
    found: dict[_Key, _Counts] = {}
    for sums in minutes.values():
        for key, (requests, tokens) in sums.items():
            most = found.get(key, (0, 0))
            found[key] = (max(most[0], requests), max(most[1], tokens))
    return found

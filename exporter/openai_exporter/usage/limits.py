# SPDX-License-Identifier: Apache-2.0
"""Limits that are set at the API: spend limits, alerts, rate limits; and the peak minute beside them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from openai_exporter.client.organization import Calls
from openai_exporter.config.sections import Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import dataset, ledger, pages
from openai_exporter.usage.rows import OPERATIONS, MalformedError, Operation, RowDecoder

API = "limits"
PEAK_API = "peak_usage"
_CENTS = 100
_MINUTE = 60
_MOST_MINUTES = 1440
_GROUP_BY = ("project_id", "model")
_RATE_LIMITS = ((metrics.PROJECT_RPM, "max_requests_per_1_minute"), (metrics.PROJECT_TPM, "max_tokens_per_1_minute"))
_METRICS = (
    metrics.SPEND_LIMIT,
    metrics.SPEND_LIMIT_ENFORCING,
    metrics.SPEND_ALERT_THRESHOLD,
    *(metric for metric, _ in _RATE_LIMITS),
)

Limits = dict[str, Family]
"""What is set, by the name of its metric."""
Projects = Callable[[], tuple[str, ...] | None]
Limited = Callable[[], Mapping[str, Collection[str]]]
"""Models with a rate limit, by project."""
_Key = tuple[str, str]
_Counts = tuple[int, int]


class LimitsDataset(pages.ListsDataset):
    """Spend limits, spend alerts and project rate limits.

    Args:
        projects: ids of the active projects as the names know them; None when they are not read.

    Attributes:
        data: as last read; empty before.
    """

    name = API

    def __init__(self, organization: Organization, projects: Projects) -> None:
        self.organization = organization.name
        self.interval = organization.names_interval
        self.data: Limits = {}
        self._projects = projects

    @property
    def models(self) -> dict[str, set[str]]:
        """Models that have a rate limit, by project."""
        models: dict[str, set[str]] = {}
        for metric, _ in _RATE_LIMITS:
            for (project_id, model), _ in self.data[metric.name].samples if self.data else ():
                models.setdefault(project_id, set()).add(model)
        return models

    def families(self) -> Iterator[Family]:
        """What is set; nothing where nothing is set."""
        yield from self.data.values()
        yield from super().families()

    def pages(self, lists: pages.Lists) -> Iterator[None]:
        """Read the limits of the organization and of each project."""
        limits = {metric.name: Family(metric) for metric in _METRICS}
        yield from _spend(lists, "/organization", ("organization", ""), limits)
        known = self._projects()
        listed = () if known else (yield from lists.read("/organization/projects", lambda item: pages.text(item, "id")))
        for project_id in known or listed:
            yield from _of_project(lists, project_id, limits)
        self.data = limits


def _of_project(lists: pages.Lists, project_id: str, limits: Limits) -> Iterator[None]:
    base = f"/organization/projects/{project_id}"
    yield from _spend(lists, base, ("project", project_id), limits)
    for model, *values in (yield from lists.read(f"{base}/rate_limits", _rate_limit, gone=True)):
        for (metric, _), value in zip(_RATE_LIMITS, values, strict=True):
            if value is not None:
                limits[metric.name].add(value, project_id, model)


def _rate_limit(item: pages.Item) -> tuple[str, int | None, int | None]:
    """The model of a rate limit, its requests and tokens a minute."""
    model = pages.text(item, "model")
    if not model:
        raise MalformedError("model: is missing")
    requests, tokens = (pages.number(item, name) for _, name in _RATE_LIMITS)
    return model, requests, tokens


def _spend(lists: pages.Lists, base: str, scope: tuple[str, str], limits: Limits) -> Iterator[None]:
    """The alerts of one scope, and its spend limit: absent (404) where none is set, if the alerts are there."""
    alerts = f"{base}/spend_alerts"
    for id, usd in (yield from lists.read(alerts, _alert, gone=scope[1] != "")):
        limits[metrics.SPEND_ALERT_THRESHOLD.name].add(usd, *scope, id)
    for usd, enforcing in lists.single(f"{base}/spend_limit", _limit, absent=alerts not in lists.failures):
        limits[metrics.SPEND_LIMIT.name].add(usd, *scope)
        limits[metrics.SPEND_LIMIT_ENFORCING.name].add(enforcing, *scope)
    yield


def _alert(item: pages.Item) -> tuple[str, float] | None:
    usd = _dollars(item)
    return None if usd is None else (item["id"], usd)


def _limit(item: pages.Item) -> tuple[float, int] | None:
    usd = _dollars(item)
    status = pages.text(pages.inner(item, "enforcement"), "status")
    return None if usd is None else (usd, int(status == "enforcing"))


def _dollars(item: pages.Item) -> float | None:
    """threshold_amount (cents) in dollars; None in another currency."""
    cents = pages.number(item, "threshold_amount")
    if cents is None:
        raise MalformedError("threshold_amount: is missing")
    return cents / _CENTS if pages.text(item, "currency").lower() in ("usd", "") else None


# Dated snapshots, fine-tuned models, and the models that they are of.

_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")
_DATED_SHORT = re.compile(r"(.+)-\d{4}")


def undated(model: str) -> str:
    """The alias of a dated snapshot (`gpt-5.4-2026-03-05` is one of `gpt-5.4`); any other model as it is."""
    dated = _DATED.fullmatch(model)
    return dated[1] if dated else model


def limited_as(model: str, known: Collection[str]) -> str:
    """The model whose rate limit holds for a model: itself if it has one, or the one that it is made of.

    Args:
        known: models with a rate limit.
    """
    candidates = list(_candidates(model))
    return next((candidate for candidate in candidates if candidate in known), candidates[-1])


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


class PeakDataset(dataset.Dataset):
    """Most requests and tokens in one minute, by project and model, beside the rate limits.

    Rate limits are for an alias and all its snapshots together, so usage is summed by the limit's model first.

    Args:
        limited: asked again for each reading.

    Attributes:
        data: as last read; empty before.
    """

    name = PEAK_API

    def __init__(self, organization: Organization, context: dataset.Context, limited: Limited) -> None:
        assert organization.peak_usage is not None
        self.interval = organization.peak_usage.refresh_interval
        self.data: dict[_Key, _Counts] = {}
        self._window = organization.peak_usage.window
        counted = [OPERATIONS[name] for name in organization.usage if name in OPERATIONS]
        self._operations = tuple(_peaking(operation) for operation in counted if operation.tokens)
        self.shape = (self._window, self._operations)
        self._context = context
        self._limited = limited

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the window of all token endpoints."""
        now = self._context.clock.now()
        span = ledger.Range(int((now - self._window) // _MINUTE) * _MINUTE, None, "1m", _MOST_MINUTES)
        minutes: dict[int, dict[_Key, _Counts]] = {}
        for operation in self._operations:
            self._read(calls, operation, span, minutes)
        self.data = _peaks(minutes)
        return True

    def families(self) -> Iterator[Family]:
        """The peaks; nothing for what had no usage in the window."""
        yield Family(metrics.PEAK_RPM, [(key, requests) for key, (requests, _) in self.data.items()])
        yield Family(metrics.PEAK_TPM, [(key, tokens) for key, (_, tokens) in self.data.items()])

    def _read(
        self, calls: Calls, operation: Operation, span: ledger.Range, minutes: dict[int, dict[_Key, _Counts]]
    ) -> None:
        places, requests, limited = operation.tokens, operation.place(metrics.REQUESTS), self._limited()

        def add(start: int, rows: Iterable[ledger.Row]) -> None:
            sums = minutes.setdefault(start, {})
            for (project, model), values in rows:
                key = (project, limited_as(model, limited.get(project, ())))
                before = sums.get(key, (0, 0))
                sums[key] = (before[0] + values[requests], before[1] + sum(values[place] for place in places))

        decoder = RowDecoder(operation, _GROUP_BY, lambda result, start: ())
        query = pages.Query(operation.path, self.name, span, _GROUP_BY)
        pages.read(calls, self._context, query, decoder.decode, add)


def _peaking(operation: Operation) -> Operation:
    """An endpoint with the columns that a peak is made of."""
    metric = {metrics.REQUESTS, metrics.INPUT_TOKENS, metrics.OUTPUT_TOKENS}
    return replace(operation, columns=tuple(column for column in operation.columns if column.metric in metric))


def _peaks(minutes: Mapping[int, Mapping[_Key, _Counts]]) -> dict[_Key, _Counts]:
    peaks: dict[_Key, _Counts] = {}
    for sums in minutes.values():
        for key, (requests, tokens) in sums.items():
            most = peaks.get(key, (0, 0))
            peaks[key] = (max(most[0], requests), max(most[1], tokens))
    return peaks

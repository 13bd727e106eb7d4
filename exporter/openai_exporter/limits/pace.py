# SPDX-License-Identifier: Apache-2.0
"""What is spent and used beside the limits, and what a change of them means at the current run rate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from openai_exporter.config.sections import PeakUsage
from openai_exporter.limits.change import Change
from openai_exporter.limits.setting import RATES
from openai_exporter.prices import PICO
from openai_exporter.report.documents import dollars
from openai_exporter.report.report import Book, read_costs, usage_reads
from openai_exporter.report.source import Source
from openai_exporter.usage import rows
from openai_exporter.usage.ledger import DAY, HOUR, Labels, Range, Values, month_start, next_month_start
from openai_exporter.usage.limits import PeakDataset, limited_as

_Costs = dict[tuple[str, str], int]
"""Pico-dollars by project and model."""
WEEK = 7 * DAY
_DAY_HOURS = 24


@dataclass(slots=True)
class Spend:
    """US dollars by project id.

    Attributes:
        month: of this month: billed, or at list prices where that is more, as bills come late.
        hourly: an hour, at list prices, over the last one to two hours.
        models: models in use, by project; those that cost most first.
        month_left: seconds until the month ends, and with it what counts for a limit.
    """

    month: dict[str, Decimal] = field(default_factory=dict)
    hourly: dict[str, Decimal] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)
    month_left: float = 0.0

    def of_month(self, project_id: str) -> Decimal:
        """Of a project, or of the organization."""
        return self._of(self.month, project_id)

    def an_hour(self, project_id: str) -> Decimal:
        """Of a project, or of the organization."""
        return self._of(self.hourly, project_id)

    def _of(self, amounts: Mapping[str, Decimal], project_id: str) -> Decimal:
        return amounts.get(project_id, Decimal(0)) if project_id else sum(amounts.values(), Decimal(0))


Peaks = Mapping[tuple[str, str], tuple[int, int]]
"""Most requests and tokens in a minute, by project and model."""


def read_spend(source: Source, now: float) -> Spend:
    """Read this month's spend and the run rate.

    Raises:
        UpstreamError: usage or costs could not be read.
    """
    book, start = Book("project"), month_start(now)
    since = (int(now) // HOUR - 1) * HOUR
    priced = [name for name in source.organization.usage if name in rows.OPERATIONS and rows.OPERATIONS[name].pricing]
    costs: dict[str, _Costs] = {name: {} for name in priced}
    source.together(
        [
            *usage_reads(book, source, start, None),
            lambda source: read_costs(book, source, start, None),
            *(partial(_read_hours, name, since, read) for name, read in costs.items()),
        ]
    )
    groups = book.groups(start, int(now) + 1)
    spend = Spend({id: max(total.cost, total.list_price or Decimal(0)) for id, total in groups.items()})
    spend.month_left = next_month_start(now) - now
    hours = Decimal(str(round((now - since) / HOUR, 6)))
    every = sorted((entry for read in costs.values() for entry in read.items()), key=lambda entry: -entry[1])
    for (project_id, model), pico in every:
        spend.hourly[project_id] = spend.hourly.get(project_id, Decimal(0)) + Decimal(pico) / PICO / hours
        spend.models.setdefault(project_id, []).append(model)
    return spend


def _read_hours(name: str, since: int, read: _Costs, source: Source) -> None:
    place = [column.name for column in rows.OPERATIONS[name].columns].index("estimated_cost_usd")

    def take(start: int, labels: Labels, values: Values) -> None:
        key = labels[0], labels[1]
        read[key] = read.get(key, 0) + values[place]

    source.usage(name, ("project_id", "model"), Range(since, None, "1h", _DAY_HOURS), read.clear, take)


def read_peaks(source: Source, models: Mapping[str, Iterable[str]], window: float) -> Peaks:
    """The peak minute of the last `window` seconds.

    Args:
        models: models with a rate limit, by project.

    Raises:
        UpstreamError: usage could not be read.
    """
    limited = {project_id: list(names) for project_id, names in models.items()}
    peak = PeakUsage.model_construct(window=window, refresh_interval=window)
    organization = source.organization.model_copy(update={"peak_usage": peak})
    dataset = PeakDataset(organization, source.context, lambda: limited)
    source.retry(lambda: dataset.read(source.calls, seen=True))
    return dataset.data


def busy_models(spend: Spend, project_id: str, limited: Iterable[str]) -> list[str]:
    """The rate limits that matter now: those of the models that cost most, first."""
    known = list(limited)
    return list(dict.fromkeys(limited_as(model, known) for model in spend.models.get(project_id, ())))


def consequence(change: Change, spend: Spend | None, peaks: Peaks | None) -> str:
    """What a change means at the current run rate; empty where that is nothing, or unknown."""
    if change.what == "rate_limit":
        return "" if peaks is None else _rate_consequence(change, peaks)
    if spend is None:
        return ""
    spent, hourly = spend.of_month(change.project_id), spend.an_hour(change.project_id)
    so_far = f"{dollars(spent)} spent this month"
    if change.new is None:
        return so_far
    limit = Decimal(change.new["cents"]) / 100
    is_alert = change.what == "spend_alert"
    if spent >= limit:
        effect = "an e-mail at once" if is_alert else "requests will be rejected (HTTP 429) until the month ends"
        return f"below what is spent ({dollars(spent)}): {effect}"
    if not hourly:
        return f"{so_far}; nothing was spent in the last hour"
    left = float((limit - spent) / hourly) * HOUR
    when = f"reached in about {duration(left)}" if left < spend.month_left else "not reached before the month ends"
    return f"{so_far}; at {dollars(hourly)} an hour {when}"


def _rate_consequence(change: Change, peaks: Peaks) -> str:
    requests, tokens = peaks.get((change.project_id, change.label), (0, 0))
    used = {RATES["requests_per_minute"]: (requests, "requests"), RATES["tokens_per_minute"]: (tokens, "tokens")}
    over = [
        f"{used[field][0]:,} {used[field][1]}"
        for field, limit in (change.new or {}).items()
        if field in used and limit < used[field][0]
    ]
    if over:
        return f"below the last hour's peak ({', '.join(over)} a minute): requests will be rejected (HTTP 429)"
    return f"the last hour's peak was {requests:,} requests, {tokens:,} tokens a minute"


def duration(seconds: float) -> str:
    """`6 hours`; one unit, rounded."""
    for unit, size in (("days", DAY), ("hours", HOUR), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return "a minute or two"

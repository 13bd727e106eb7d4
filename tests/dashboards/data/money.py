# SPDX-License-Identifier: Apache-2.0
"""What the organization costs, its budgets and limits, and how fresh each dataset is."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from openai_exporter.metrics import usage
from tests.dashboards.data.organization import TARGET, Organization, Stream
from tests.dashboards.data.series import Series, series
from tests.dashboards.data.timeline import DAY, HOUR, Timeline, month_start

_DATASETS = {"completions": 60, "embeddings": 60, "costs": 600, "names": 900, "limits": 900}
"""Name to seconds between two reads."""
_CREDIT = -18.0
_BILLED_PER_ESTIMATED = 1.04

Rate = Callable[[int], float]
Item = tuple[str, str, str]
"""Project id, line item, API key id."""


def money_series(organization: Organization, timeline: Timeline) -> Iterator[Series]:
    """Costs, budgets and limits."""
    items = _line_items(organization.streams)
    everything = _sum([rate for rates in items.values() for rate in rates])
    months = {item: timeline.month_counter(_sum(rates), whole=False) for item, rates in items.items()}
    for (project, line_item, key), values in months.items():
        place = {"project_id": project, "line_item": line_item, "api_key_id": key}
        yield series(usage.COSTS_MONTH.name, values, TARGET, **place)
    yield series(usage.COSTS_MONTH.name, timeline.constant(_CREDIT), TARGET, line_item="credit")
    projects: dict[str, list[Rate]] = defaultdict(list)
    for (project, _, _), rates in items.items():
        projects[project] += rates
    for project, rates in projects.items():
        yield from _days(_sum(rates), timeline, project)
    previous = timeline.gauge(lambda t: 31 * _day(everything, month_start(t) - 3 * DAY) * 0.8)
    yield series(usage.COSTS_PREVIOUS_MONTH.name, previous, TARGET)
    totals = [value + _CREDIT for value in _added(months.values())]
    yield from _budgets(organization, months, totals, timeline)
    yield from _limits(organization, timeline)
    yield series(usage.CREDIT_BALANCE.name, timeline.constant(1_800.0), TARGET)
    yield series(usage.CREDIT_EXPIRED.name, timeline.constant(0.0), TARGET)
    yield series(usage.CREDIT_EXPIRES.name, timeline.gauge(lambda t: t + 200 * DAY), TARGET)
    yield series(usage.CREDIT_EXHAUSTED.name, timeline.gauge(lambda t: t + 60 * DAY), TARGET)


def _added(parts: Iterable[Sequence[float | None]]) -> list[float]:
    """The sum of several series."""
    return [sum(value or 0.0 for value in found) for found in zip(*parts, strict=True)]


def _line_items(streams: Sequence[Stream]) -> dict[Item, list[Rate]]:
    """Dollars per hour by project, line item and key; input and output are billed apart, as on the real bill."""
    items: dict[Item, list[Rate]] = defaultdict(list)
    for stream in streams:
        if stream.model.prices and any(stream.model.prices):
            for part, share in (("input", 0.38), ("cached input", 0.06), ("output", 0.56)):
                item = (stream.key.project, f"{stream.model.name}, {part}", stream.key.id)
                items[item].append(_scaled(stream.dollars(), share))
        elif stream.more.get("tool") == "web_search":
            item = (stream.key.project, "web search tool calls", stream.key.id)
            items[item].append(_scaled(stream.requests(), 0.01))
    return items


def _scaled(rate: Rate, share: float) -> Rate:
    return lambda hour: rate(hour) * share * _BILLED_PER_ESTIMATED


def _sum(rates: Sequence[Rate]) -> Rate:
    return lambda hour: sum(rate(hour) for rate in rates)


def _day(rate: Rate, start: int) -> float:
    return sum(rate(start + hour * HOUR) for hour in range(24))


def _days(rate: Rate, timeline: Timeline, project: str) -> Iterator[Series]:
    day = functools.cache(functools.partial(_day, rate))

    def today(t: int) -> float:
        start = t - t % DAY
        return day(start) * (t - start) / DAY

    yield series(usage.COSTS_DAY.name, timeline.gauge(today), TARGET, window="today", project_id=project)
    yesterday = timeline.gauge(lambda t: day(t - t % DAY - DAY))
    yield series(usage.COSTS_DAY.name, yesterday, TARGET, window="yesterday", project_id=project)


def _budgets(
    organization: Organization, months: dict[Item, list[float | None]], totals: Sequence[float], timeline: Timeline
) -> Iterator[Series]:
    scopes = [("everything", "organization", "", list(totals), 9000.0)]
    for project, limit in zip(list(organization.projects)[:3], (900.0, 4200.0, 6500.0), strict=True):
        parts = [values for (owner, _, _), values in months.items() if owner == project]
        spent = _added(parts)
        scopes.append((organization.projects[project].lower(), "project", project, spent, limit))
    for name, scope, one, spent, limit in scopes:
        budget = {"budget": name, "scope": scope, "id": one, "period": "month"}
        yield series(usage.BUDGET_LIMIT.name, timeline.constant(limit), TARGET, **budget)
        yield series(usage.BUDGET_WARN_RATIO.name, timeline.constant(0.8), TARGET, **budget)
        left = [limit - value for value in spent]
        ratio = [value / limit for value in spent]
        yield series("openai_budget_remaining_usd", left, TARGET, **budget)
        yield series("openai_budget_spent_ratio", ratio, TARGET, **budget)
        for basis, share in (("billed", 1.0), ("estimated", 1 / _BILLED_PER_ESTIMATED)):
            values = [value * share for value in spent]
            yield series(usage.BUDGET_SPENT.name, values, TARGET, **budget, basis=basis)


def _limits(organization: Organization, timeline: Timeline) -> Iterator[Series]:
    hard = {"organization": ("", 12_000.0), "project": (next(iter(organization.projects)), 1_500.0)}
    for scope, (project, limit) in hard.items():
        place = {"scope": scope, "project_id": project}
        yield series(usage.SPEND_LIMIT.name, timeline.constant(limit), TARGET, **place)
        yield series(usage.SPEND_LIMIT_ENFORCING.name, timeline.constant(0.0), TARGET, **place)
        alert = timeline.constant(limit * 0.8)
        yield series(usage.SPEND_ALERT_THRESHOLD.name, alert, TARGET, **place, alert_id=f"alert_{scope}")
    for project in list(organization.projects)[:6]:
        for model, requests in (("gpt-6-luna", 500.0), ("gpt-6-astra", 60.0), ("gpt-5.4-mini", 300.0)):
            limit_of = {"project_id": project, "model": model}
            yield series(usage.PROJECT_RPM.name, timeline.constant(requests), TARGET, **limit_of)
            for name, share in (("requests", 0.4), ("tokens", 1500.0)):
                peak = timeline.constant(requests * share)
                yield series(f"openai_project_peak_{name}_per_minute", peak, TARGET, **limit_of)
            yield series(usage.PROJECT_TPM.name, timeline.constant(requests * 4000), TARGET, **limit_of)
        size = timeline.gauge(lambda t: 2.5e9 + 40 * (t - timeline.start))
        yield series(usage.VECTOR_STORE_BYTES.name, size, TARGET, project_id=project)


def freshness_series(organization: Organization, timeline: Timeline, broken_from: float) -> Iterator[Series]:
    """What the refreshes say of themselves; dataset costs fails from `broken_from` on."""
    for number, (dataset, pace) in enumerate(_DATASETS.items()):
        fails = broken_from if dataset == "costs" else float("inf")
        success = [float(min(t - t % pace, fails)) for t in timeline.times]
        duration = timeline.around(0.4 + 0.5 * number, 0.5, dataset)
        yield series(usage.UP.name, timeline.since(fails, 0.0, before=1.0), TARGET, dataset=dataset)
        yield series(usage.LAST_SUCCESS.name, success, TARGET, dataset=dataset)
        yield series(usage.REFRESH_DURATION.name, duration, TARGET, dataset=dataset)
        yield series(usage.REFRESH_CALLS.name, timeline.constant(1 + 3 * number), TARGET, dataset=dataset)
    for operation in sorted({stream.operation for stream in organization.streams}):
        one = {"operation": operation}
        count = sum(stream.operation == operation for stream in organization.streams)
        newest = timeline.gauge(lambda t: t - t % HOUR)
        yield series(usage.NEWEST_BUCKET.name, newest, TARGET, **one)
        yield series(usage.SERIES.name, timeline.constant(count * 7), TARGET, **one)
        yield series(usage.SERIES_DROPPED.name, timeline.constant(0.0), TARGET, **one)
    for field, used, late in (("requests", 4.1e6, 0.0), ("input_tokens", 7.6e9, 81_000.0)):
        figure = {"operation": "completions", "field": field}
        yield series(usage.PREVIOUS_MONTH.name, timeline.constant(used), TARGET, **figure)
        yield series(usage.PREVIOUS_MONTH_LATE.name, timeline.constant(late), TARGET, **figure)
    yield from _drift(organization, timeline)
    yield from _rest(timeline)
    yield series(usage.COSTS_SKIPPED.name, timeline.constant(0.0), TARGET, currency="eur")
    corrected = timeline.month_counter(lambda hour: 120.0 if hour % (6 * HOUR) == 0 else 0.0)
    yield series(usage.CORRECTIONS.name, corrected, TARGET, operation="completions", field="input_tokens")
    yield series(usage.CLOCK_OFFSET.name, timeline.around(0.6, 0.2, "clock", HOUR), TARGET)


def _drift(organization: Organization, timeline: Timeline) -> Iterator[Series]:
    """Estimate and bill of the month up to the day before yesterday, and of that day."""
    day = timeline.end // DAY * DAY - 2 * DAY
    for window, start in (("month", month_start(day)), ("day", day)):
        estimated: dict[str, float] = defaultdict(float)
        for stream in organization.streams:
            if stream.model.prices and any(stream.model.prices):
                estimated[stream.model.name] += sum(map(stream.dollars(), range(start, day + DAY, HOUR)))
        for model, usd in estimated.items():
            one = {"window": window, "model": model}
            yield series(usage.DRIFT_ESTIMATED.name, timeline.constant(usd), TARGET, **one)
            billed = timeline.constant(usd * _BILLED_PER_ESTIMATED)
            yield series(usage.DRIFT_BILLED.name, billed, TARGET, **one)
        line = {"window": window, "line_item": "web search tool calls"}
        besides = timeline.constant(0.02 * sum(estimated.values()))
        yield series(usage.DRIFT_UNMATCHED.name, besides, TARGET, **line)
    yield series(usage.DRIFT_DAY.name, timeline.constant(float(day)), TARGET)


def _rest(timeline: Timeline) -> Iterator[Series]:
    """What no page shows, or only through a rule."""
    operation = {"operation": "completions"}
    for name, value, labels in (
        ("openai_usage_calls_last_hour", 310.0, {}),
        ("openai_usage_calls_limit", 2000.0, {}),
        ("openai_usage_image_input_tokens_total", 0.0, operation),
        ("openai_usage_image_output_tokens_total", 0.0, operation),
        ("openai_usage_loss_ratio", 0.0, operation),
        ("openai_usage_negative_rows", 0.0, operation),
        ("openai_usage_skipped_entries", 0.0, {"dataset": "names", "list": "projects"}),
    ):
        yield series(name, timeline.constant(value), TARGET, **labels)

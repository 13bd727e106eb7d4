# SPDX-License-Identifier: Apache-2.0
"""Measures of an organization's usage and cost, and of what the probes themselves cost."""

from openai_exporter.metrics import probe as m
from openai_exporter.metrics import usage as u
from openai_exporter.rules.measure import Measure, Query
from openai_exporter.rules.probe_measures import existed
from openai_exporter.rules.quantity import Kind, plain

HOUR, DAY = 3600.0, 86_400.0
_UP = (">", ">=")
_SCOPE = {"organization": "organization", "project": "project_id", "model": "model"}


def _by(query: Query, first: tuple[str, ...] = ("job", "organization")) -> str:
    return f"by ({', '.join(dict.fromkeys((*first, *query.by)))})"


def _increase(query: Query, metric: str, by: str) -> str:
    """Usage in the window. Replicas read the same organization, so the larger of their figures counts."""
    counter = query.select(metric)
    return f"sum {by} (max without (instance) (increase({counter}[{query.span}])))"


def _compared(query: Query, total: str, period: float, metric: str, by: str) -> str:
    """A total of the window per period, compared; low values only once there is a whole window before this one."""
    scaled = total if query.window == period else f"({total}) * {plain(period / query.window)}"
    compared = f"{scaled} {query.operator} {plain(query.limit)}\n"
    if not query.is_below:
        return compared
    return f"{compared}and\n{existed(by, query.select(metric), query.span)}\n"


def per_hour(metric: str, query: Query) -> str:
    """The increase of a usage counter per hour."""
    by = _by(query)
    return _compared(query, _increase(query, metric, by), HOUR, metric, by)


def tokens_per_hour(query: Query) -> str:
    """Input and output tokens; some operations have input tokens only."""
    by = _by(query)
    tokens_in = _increase(query, u.INPUT_TOKENS.name, by)
    tokens_out = _increase(query, u.OUTPUT_TOKENS.name, by)
    total = f"(\n  {tokens_in}\n  + ({tokens_out} or 0 * {tokens_in})\n)"
    return _compared(query, total, HOUR, u.INPUT_TOKENS.name, by)


def cost_per_day(query: Query) -> str:
    """What the running day (UTC) has been billed so far."""
    day = query.select(u.COSTS_DAY.name, 'window="today"')
    return (
        f"max without (instance, window) (max_over_time({day}[{query.span}]))"
        f" {query.operator} {plain(query.limit)}\n"
    )


def cost_per_month(query: Query) -> str:
    """What the running month (UTC) has been billed so far."""
    month = query.select(u.COSTS_MONTH.name)
    return (
        f"sum {_by(query)} (max without (instance) (max_over_time({month}[{query.span}])))"
        f" {query.operator} {plain(query.limit)}\n"
    )


def probe_cost_per_day(query: Query) -> str:
    """What probes cost in the window, per day; each replica spends on its own."""
    by = _by(query, ("job", "target"))
    total = f"sum {by} (increase({query.select(m.PROBE_COST_TOTAL.name)}[{query.span}]))"
    return _compared(query, total, DAY, m.PROBE_COST_TOTAL.name, by)


def _usage(
    name: str, title: str, kind: Kind, metric: str, runbook: str, dashboard: str = "openai-usage"
) -> Measure:
    return Measure(
        name, title, kind, lambda query: per_hour(metric, query), metric, "cost", dashboard, runbook,
        window=HOUR, scope=_SCOPE, labels=("job", "organization"), is_usage=True, counts_probes=False,
    )  # fmt: skip


_SO_FAR = "it is the sum of the running day or month"

MEASURES = (
    _usage(
        "requests_per_hour", "The number of requests", Kind.PER_HOUR, u.REQUESTS.name, "OpenAITokenUsageAnomaly"
    ),
    Measure(
        "tokens_per_hour", "The number of tokens", Kind.PER_HOUR, tokens_per_hour, u.INPUT_TOKENS.name,
        "cost", "openai-usage", "OpenAITokenUsageAnomaly",
        window=HOUR, scope=_SCOPE, labels=("job", "organization"), is_usage=True, counts_probes=False,
    ),
    _usage(
        "cost_per_hour", "The estimated cost per hour", Kind.USD, u.ESTIMATED_COST.name,
        "OpenAICostAnomaly", "openai-costs",
    ),
    Measure(
        "cost_per_day", "The billed cost of today", Kind.USD, cost_per_day, u.COSTS_DAY.name,
        "cost", "openai-costs", "OpenAICostAnomaly", operators=_UP, window=900.0,
        scope={"organization": "organization"}, labels=("job", "organization"),
        is_usage=True, counts_probes=False, fixed_window=_SO_FAR,
    ),
    Measure(
        "cost_per_month", "The billed cost of this month", Kind.USD, cost_per_month, u.COSTS_MONTH.name,
        "cost", "openai-costs", "OpenAIBudgetSpent", operators=_UP, window=900.0,
        scope={"organization": "organization", "project": "project_id"}, labels=("job", "organization"),
        is_usage=True, counts_probes=False, fixed_window=_SO_FAR,
    ),
    Measure(
        "probe_cost_per_day", "The cost of the probes per day", Kind.USD, probe_cost_per_day,
        m.PROBE_COST_TOTAL.name, "cost", "openai-costs", "OpenAIProbeSpendHigh", window=DAY,
        scope={"target": "target", "model": "model"}, labels=("job", "target"),
        is_usage=True, counts_probes=False,
    ),
)  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""Measures of single probes: latency, first token, errors, throughput, headroom.

A value is one probe, or all probes of one module and model in the window; replicas of the exporter are aggregated away.
"""

from openai_exporter.config.duration import format_duration
from openai_exporter.metrics import probe as m
from openai_exporter.rules.measure import PROBE_LABELS, Measure, Query
from openai_exporter.rules.quantity import Kind, plain

TIMED_OUT = "1e9"
"""Seconds that a probe counts for in percentiles which ran into its deadline: longer than any limit.

Its true latency is not known, only that it is longer than the deadline. Infinity would not do: interpolating
between a number and infinity gives NaN.
"""
MEMORY = "2h"
"""How far back failed requests are counted; a probe that backs off calls the API once an hour at least."""

_UP = (">", ">=")
_DOWN = ("<", "<=")


def _good(query: Query, metric: str) -> str:
    return f"{query.select(metric)}\n    and {query.any(m.AVAILABILITY_GOOD.name)} == 1"


def _timed_out(query: Query, outcome: str) -> str:
    """Durations of fresh probes that ran into their deadline."""
    return (
        f"{query.select(m.DURATION.name)}\n"
        f"    and ignoring (outcome) {query.any(m.OUTCOME.name, outcome)} == 1\n"
        f"    and {query.any(m.AVAILABILITY_VALID.name)}"
    )


def _latency(query: Query) -> str:
    late = _timed_out(query, 'outcome=~"timeout_.+"')
    return _merged(_good(query, m.DURATION.name), f"({late}) + {TIMED_OUT}")


def _waited(query: Query) -> str:
    late = _timed_out(query, 'outcome=~"timeout_.+"')
    return _merged(_good(query, m.DURATION.name), late)


def _first_token(query: Query) -> str:
    late = _timed_out(query, 'outcome="timeout_first_token"')
    return _merged(_good(query, m.TIME_TO_FIRST_TOKEN.name), f"({late}) + {TIMED_OUT}")


def _speed(query: Query) -> str:
    return f"avg without (instance) (\n  {_good(query, m.OUTPUT_TOKENS_PER_SECOND.name)}\n)"


def _merged(good: str, late: str) -> str:
    return f"avg without (instance) (\n  {good}\n  or\n  {late}\n)"


def _over(query: Query, function: str, sample: str) -> str:
    """A function over the samples of the window, and enough samples on the wrong side."""
    call = function.format(f"({sample})[{query.subquery}]")
    comparison = f"{query.operator} {plain(query.limit)}"
    enough = f"count_over_time(({sample} {comparison})[{query.subquery}])"
    return f"{call} {comparison}\nand\n{enough} >= {query.min_events}\n"


def percentile(share: float) -> str:
    """A format of PromQL's quantile_over_time."""
    return f"quantile_over_time({share}, {{}})"


def error_rate(query: Query) -> str:
    """The share of scrapes that saw a failure, and enough failed requests behind them: a cache repeats one failure."""
    good = query.select(m.AVAILABILITY_GOOD.name)
    return (
        f"1 - avg without (instance) (avg_over_time({query.select(m.SUCCESS.name)}[{query.span}]))"
        f" {query.operator} {plain(query.limit)}\n"
        "and\n"
        f"sum without (instance) (count_over_time({good}[{MEMORY}]) - sum_over_time({good}[{MEMORY}]))"
        f" >= {query.min_events}\n"
    )


def throughput(query: Query) -> str:
    """Good probes per minute; 0 while a probe is scraped but calls nothing, nothing at all while it is not scraped.

    A new probe has no full window yet, so that a low value proves nothing.
    """
    success = query.select(m.SUCCESS.name)
    scraped = f"last_over_time({success}[{format_duration(3 * query.interval)}])"
    rate = (
        "sum without (instance) (\n"
        f"  sum_over_time({query.select(m.AVAILABILITY_GOOD.name)}[{query.span}]) and {scraped}\n"
        f"  or\n  0 * {scraped}\n"
        f") / {plain(query.window / 60)} {query.operator} {plain(query.limit)}\n"
    )
    if not query.is_below:
        return rate
    return f"{rate}and\n{existed('without (instance)', success, query.span)}\n"


def existed(grouping: str, selector: str, span: str) -> str:
    """Keeps what had samples in the window before this one."""
    return f"count {grouping} (last_over_time({selector}[{span}] offset {span})) > 0"


def headroom(query: Query) -> str:
    """What is left of a rate limit at the best moment of the window."""
    left, limit = query.select(m.RATE_LIMIT_REMAINING.name), query.select(m.RATE_LIMIT_LIMIT.name)
    return (
        f"max without (instance) (max_over_time({left}[{query.span}]))\n"
        f"/\n(max without (instance) (max_over_time({limit}[{query.span}])) > 0)\n"
        f"{query.operator} {plain(query.limit)}\n"
    )


def _of_latency(name: str, title: str, function: str, sample: str = "latency") -> Measure:
    samples = {"latency": _latency, "waited": _waited, "first_token": _first_token}
    first_token = sample == "first_token"
    return Measure(
        name, title, Kind.SECONDS,
        lambda query: _over(query, function, samples[sample](query)),
        base=m.TIME_TO_FIRST_TOKEN.name if first_token else m.DURATION.name,
        category="latency", dashboard="openai-probes",
        runbook="OpenAIFirstTokenBudgetBurn" if first_token else "OpenAILatencyBudgetBurn",
    )  # fmt: skip


MEASURES = (
    _of_latency("p50_latency", "The median latency", percentile(0.5)),
    _of_latency("p90_latency", "The p90 latency", percentile(0.9)),
    _of_latency("p95_latency", "The p95 latency", percentile(0.95)),
    _of_latency("p99_latency", "The p99 latency", percentile(0.99)),
    _of_latency("mean_latency", "The mean latency", "avg_over_time({})", "waited"),
    _of_latency(
        "time_to_first_token", "The p95 time to the first token", percentile(0.95), "first_token"
    ),
    Measure(
        "error_rate", "The error rate", Kind.RATIO, error_rate, m.SUCCESS.name,
        "availability", "openai-probes", "OpenAIAvailabilityBudgetBurn",
        operators=_UP, most=1.0,
    ),
    Measure(
        "throughput", "The throughput", Kind.PER_MINUTE, throughput, m.SUCCESS.name,
        "availability", "openai-probes", "OpenAIProbeNotRun", window=900.0, counts_probes=False,
    ),
    Measure(
        "tokens_per_second", "The speed of output tokens", Kind.PER_SECOND,
        lambda query: _over(query, "avg_over_time({})", _speed(query)), m.OUTPUT_TOKENS_PER_SECOND.name,
        "latency", "openai-probes", "OpenAILatencyBudgetBurn", window=900.0,
    ),
    Measure(
        "headroom", "The rest of the rate limit", Kind.RATIO, headroom, m.RATE_LIMIT_REMAINING.name,
        "limits", "openai-probes", "OpenAIRateLimitHeadroomLow", window=900.0, counts_probes=False,
        operators=_DOWN, labels=(*PROBE_LABELS, "limit_type"), most=1.0,
    ),
)  # fmt: skip

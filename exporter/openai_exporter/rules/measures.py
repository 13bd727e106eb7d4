# SPDX-License-Identifier: Apache-2.0
"""What a threshold can be put on, how an expression asks for it, and its amounts with their units."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from openai_exporter.config.base import format_duration, parse_duration
from openai_exporter.metrics import probe as m, usage as u


class Kind(StrEnum):
    """What an amount measures; the base unit of its value in expressions."""

    SECONDS = "seconds"
    RATIO = "ratio"
    PER_MINUTE = "per minute"
    PER_SECOND = "per second"
    PER_HOUR = "per hour"
    USD = "USD"


@dataclass(frozen=True, slots=True)
class Query:
    """What an expression is built from.

    Attributes:
        selector: matchers of every selector, without braces, such as `job=~"openai.*"`.
        scope: matchers of what the threshold is about, such as `model="gpt-6"`.
        by: labels of usage series that the threshold names, besides job and organization.
        operator, limit: the comparison, in the measure's base unit.
        window: seconds that one value looks back.
        interval: seconds between two probes.
        min_events: probes that must be on the wrong side, so that one alone proves nothing.
    """

    selector: str
    scope: tuple[str, ...]
    by: tuple[str, ...]
    operator: str
    limit: float
    window: float
    interval: float
    min_events: int

    def select(self, metric: str, *more: str) -> str:
        """A selector of what the threshold is about."""
        return self.any(metric, *self.scope, *more)

    def any(self, metric: str, *more: str) -> str:
        """A selector of all series of a metric, for what is matched with a selection anyway."""
        return f"{metric}{{{', '.join([part for part in (self.selector, *more) if part])}}}"

    @property
    def span(self) -> str:
        """The window as PromQL writes it."""
        return format_duration(self.window)

    @property
    def subquery(self) -> str:
        """Window and step, one per probe."""
        return f"{self.span}:{format_duration(self.interval)}"

    @property
    def recent(self) -> str:
        """Time within which a bad probe shows that it is not over."""
        return format_duration(3 * self.interval)

    @property
    def is_below(self) -> bool:
        """Whether low values are bad."""
        return self.operator in ("<", "<=")


PROBE_SCOPE = {"target": "target", "endpoint": "endpoint", "model": "model"}
PROBE_LABELS = ("job", "target", "module", "endpoint", "model", "provider")
"""Labels that /sd gives to a probe, instance left out."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that a threshold can be put on.

    Attributes:
        title: how texts begin that name it.
        expression: the alert's expression.
        base: the metric without which there is no value.
        window: default of the key `window`, in seconds.
        operators: those that make sense.
        scope: keys of a threshold that select series -> the label that they match.
        labels: labels of an alert; the scope's are added where `is_usage`.
        category: Alertmanager routes by it.
        dashboard, panel, runbook: where the alert points: a dashboard's uid, a panel's id there, a runbook's name.
        is_usage: whether it is a sum by the labels that a threshold names, not a value per probe.
        counts_probes: whether `min_events` applies.
        most: the largest value that there is, None without bound.
        fixed_window: why the window cannot be changed, None when it can.
    """

    name: str
    title: str
    kind: Kind
    expression: Callable[[Query], str]
    base: str
    category: str
    dashboard: str
    panel: int
    runbook: str
    window: float = 300.0
    operators: tuple[str, ...] = (">", ">=", "<", "<=")
    scope: dict[str, str] = field(default_factory=lambda: dict(PROBE_SCOPE))
    labels: tuple[str, ...] = PROBE_LABELS
    is_usage: bool = False
    counts_probes: bool = True
    most: float | None = None
    fixed_window: str | None = None


# Measures of single probes: latency, first token, errors, throughput, headroom.
# A value is one probe, or all probes of one module and model in the window; replicas are aggregated away.

TIMED_OUT = "1e9"
"""Seconds that a probe counts for in percentiles which ran into its deadline: longer than any limit.

Its true latency is not known, only that it is longer than the deadline. Infinity would not do: interpolating
between a number and infinity gives NaN.
"""
SHARED_EVENTS, SHARED_GOOD = "probe:openai_availability_sli_events:count", "probe:openai_availability_sli_good:sum"
"""Recorded by the shipped rules: results that this Prometheus has from the cache, since another one asks for them."""

_UP = (">", ">=")
_DOWN = ("<", "<=")


def _good(query: Query, metric: str) -> str:
    return f"{query.select(metric)}\n    and {query.any(m.SUCCESS.name)} == 1\n{_once(query)}"


def _once(query: Query) -> str:
    """Keeps each result in one step of a subquery: Prometheus repeats it for five minutes, the cache repeats its time.

    A result that only the cache brings is one that another Prometheus asked for.
    """
    own, time = query.any(m.AVAILABILITY_GOOD.name), query.any(m.LAST_RESULT.name)
    return (
        f"    and ignoring (outcome) (\n      timestamp({own}) > time() - {plain(query.interval)}\n"
        f"      or {time} != ({time} offset {format_duration(query.interval)}) unless {own}\n    )"
    )


def _count(query: Query, gauge: str, shared: str, span: str) -> str:
    counted = f"sum_over_time({query.select(gauge)}[{span}]) or sum_over_time({query.select(shared)}[{span}])"
    return f"sum without (instance) ({counted})"


def _samples(query: Query, metric: str, outcome: str, added: str) -> str:
    """Good probes as measured, and probes that ran into their deadline, with `added` to their duration."""
    late = (
        f"{query.select(m.DURATION.name)}\n"
        f"    and ignoring (outcome) {query.any(m.OUTCOME.name, outcome)} == 1\n"
        f"{_once(query)}"
    )
    late = f"({late}) + {added}" if added else late
    return f"avg without (instance) (\n  {_good(query, metric)}\n  or\n  {late}\n)"


def _speed(query: Query) -> str:
    return f"avg without (instance) (\n  {_good(query, m.OUTPUT_TOKENS_PER_SECOND.name)}\n)"


def _over(query: Query, function: str, sample: str) -> str:
    """A function over the samples of the window, and enough samples on the wrong side, one of them a recent one."""
    call = function.format(f"({sample})[{query.subquery}]")
    comparison = f"{query.operator} {plain(query.limit)}"
    wrong = f"({sample} {comparison})"
    return (
        f"{call} {comparison}\nand\ncount_over_time({wrong}[{query.subquery}]) >= {query.min_events}\n"
        f"and\ncount_over_time({wrong}[{query.recent}:{format_duration(query.interval)}]) > 0\n"
    )


def error_rate(query: Query) -> str:
    """What the service level counts: failed results of the valid ones; enough of them, one of them a recent one."""
    valid = partial(_count, query, m.AVAILABILITY_VALID.name, SHARED_EVENTS)
    good = partial(_count, query, m.AVAILABILITY_GOOD.name, SHARED_GOOD)
    failed = f"{valid(query.span)}\n- {good(query.span)}"
    return (
        f"(\n{failed}\n)\n/ ({valid(query.span)} > 0)"
        f" {query.operator} {plain(query.limit)}\n"
        f"and\n{failed} >= {query.min_events}\n"
        f"and\n{valid(query.recent)}\n- {good(query.recent)} > 0\n"
    )


def throughput(query: Query) -> str:
    """Good probes per minute; 0 while a probe is scraped but calls nothing, nothing at all while it is not scraped.

    A new probe has no full window yet, so that a low value proves nothing; nor does it where results come from the
    cache, since min_interval, a backoff or another Prometheus decides how many there are.
    """
    success = query.select(m.SUCCESS.name)
    cached = f"max_over_time({query.select(m.CACHED_AGE.name)}[{query.span}])"
    scraped = f"last_over_time({success}[{format_duration(3 * query.interval)}])"
    rate = (
        "sum without (instance) (\n"
        f"  sum_over_time({query.select(m.AVAILABILITY_GOOD.name)}[{query.span}]) and {scraped}\n"
        f"  or\n  0 * {scraped}\n"
        f") / {plain(query.window / 60)} {query.operator} {plain(query.limit)}\n"
    )
    if not query.is_below:
        return rate
    resting = f"max without (instance) ({cached}) > 0"
    return f"{rate}and\n{existed('without (instance)', success, query.span)}\nunless\n{resting}\n"


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


_probe = partial(Measure, dashboard="openai-probes")


def _latency(
    name: str, title: str, function: str, metric: str = m.DURATION.name, outcome: str = 'outcome=~"timeout_.+"',
    added: str = TIMED_OUT, runbook: str = "OpenAILatencyBudgetBurn", panel: int = 9,
) -> Measure:  # fmt: skip
    return _probe(
        name, title, Kind.SECONDS,
        lambda query: _over(query, function, _samples(query, metric, outcome, added)),
        base=metric, category="latency", panel=panel, runbook=runbook,
    )  # fmt: skip


PROBE_MEASURES = (
    _latency("p50_latency", "The median latency", "quantile_over_time(0.5, {})"),
    _latency("p90_latency", "The p90 latency", "quantile_over_time(0.9, {})"),
    _latency("p95_latency", "The p95 latency", "quantile_over_time(0.95, {})"),
    _latency("p99_latency", "The p99 latency", "quantile_over_time(0.99, {})"),
    _latency("mean_latency", "The mean latency", "avg_over_time({})", added=""),
    _latency(
        "time_to_first_token", "The p95 time to the first token", "quantile_over_time(0.95, {})",
        m.TIME_TO_FIRST_TOKEN.name, 'outcome="timeout_first_token"', runbook="OpenAIFirstTokenBudgetBurn", panel=15,
    ),
    _probe(
        "error_rate", "The error rate", Kind.RATIO, error_rate, base=m.SUCCESS.name,
        category="availability", panel=22, runbook="OpenAIAvailabilityBudgetBurn", operators=_UP, most=1.0,
    ),
    _probe(
        "throughput", "The throughput", Kind.PER_MINUTE, throughput, base=m.SUCCESS.name,
        category="availability", panel=23, runbook="OpenAIProbeNotRun", window=900.0, counts_probes=False,
    ),
    _probe(
        "tokens_per_second", "The speed of output tokens", Kind.PER_SECOND,
        lambda query: _over(query, "avg_over_time({})", _speed(query)), base=m.OUTPUT_TOKENS_PER_SECOND.name,
        category="latency", panel=16, runbook="OpenAILatencyBudgetBurn", window=900.0,
    ),
    _probe(
        "headroom", "The rest of the rate limit", Kind.RATIO, headroom, base=m.RATE_LIMIT_REMAINING.name,
        category="limits", panel=28, runbook="OpenAIRateLimitHeadroomLow", window=900.0, counts_probes=False,
        operators=_DOWN, labels=(*PROBE_LABELS, "limit_type"), most=1.0,
    ),
)  # fmt: skip

# Measures of an organization's usage and cost, and of what the probes themselves cost.

HOUR, DAY = 3600.0, 86_400.0
_SCOPE = {"organization": "organization", "project": "project_id", "model": "model"}


def _by(query: Query, first: tuple[str, ...] = ("job", "organization")) -> str:
    return f"by ({', '.join(dict.fromkeys((*first, *query.by)))})"


def _increase(query: Query, metric: str, by: str) -> str:
    """Usage in the window. Replicas read the same organization, so the larger of their figures counts.

    A counter that was not there before the window starts at its first value: VictoriaMetrics would start it at 0.
    """
    window = f"{query.select(metric)}[{query.span}]"
    known = f"increase({window}) and present_over_time({window} offset {query.span})"
    new = f"last_over_time({window}) - min_over_time({window})"
    return f"sum {by} (max without (instance) ({known} or {new}))"


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


def billed(metric: str, matcher: str, query: Query) -> str:
    """What the running day or month (UTC) has been billed so far."""
    cost = query.select(metric, matcher)
    return (
        f"sum {_by(query)} (max without (instance) (max_over_time({cost}[{query.span}])))"
        f" {query.operator} {plain(query.limit)}\n"
    )


def probe_cost_per_day(query: Query) -> str:
    """What probes cost in the window, per day; each replica spends on its own."""
    by = _by(query, ("job", "target"))
    total = f"sum {by} (increase({query.select(m.PROBE_COST_TOTAL.name)}[{query.span}]))"
    return _compared(query, total, DAY, m.PROBE_COST_TOTAL.name, by)


_usage = partial(Measure, category="cost", labels=("job", "organization"), is_usage=True, counts_probes=False)
_per_hour = partial(_usage, window=HOUR, scope=_SCOPE)
_so_far = partial(
    _usage, dashboard="openai-costs", window=900.0, operators=_UP,
    fixed_window="it is the sum of the running day or month",
    scope={"organization": "organization", "project": "project_id"},
)  # fmt: skip

USAGE_MEASURES = (
    _per_hour(
        "requests_per_hour", "The number of requests", Kind.PER_HOUR, partial(per_hour, u.REQUESTS.name),
        base=u.REQUESTS.name, dashboard="openai-usage", panel=12, runbook="OpenAITokenUsageAnomaly",
    ),
    _per_hour(
        "tokens_per_hour", "The number of tokens", Kind.PER_HOUR, tokens_per_hour,
        base=u.INPUT_TOKENS.name, dashboard="openai-usage", panel=11, runbook="OpenAITokenUsageAnomaly",
    ),
    _per_hour(
        "cost_per_hour", "The estimated cost per hour", Kind.USD, partial(per_hour, u.ESTIMATED_COST.name),
        base=u.ESTIMATED_COST.name, dashboard="openai-costs", panel=28, runbook="OpenAICostAnomaly",
    ),
    _so_far(
        "cost_per_day", "The billed cost of today", Kind.USD, partial(billed, u.COSTS_DAY.name, 'window="today"'),
        base=u.COSTS_DAY.name, panel=12, runbook="OpenAICostAnomaly",
    ),
    _so_far(
        "cost_per_month", "The billed cost of this month", Kind.USD, partial(billed, u.COSTS_MONTH.name, ""),
        base=u.COSTS_MONTH.name, panel=9, runbook="OpenAIBudgetSpent",
    ),
    _usage(
        "probe_cost_per_day", "The cost of the probes per day", Kind.USD, probe_cost_per_day,
        base=m.PROBE_COST_TOTAL.name, dashboard="openai-exporter", panel=26, runbook="OpenAIProbeSpendHigh",
        window=DAY,
        scope={"target": "target", "model": "model"}, labels=("job", "target"),
    ),
)  # fmt: skip

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in (*PROBE_MEASURES, *USAGE_MEASURES)}
"""Every measure by its name, in the order in which messages list them."""
NAMES = tuple(MEASURES)


# Amounts with a unit as people write them: `5s`, `800ms`, `5%`, `100/min`, `2M`, `25 USD`.

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]{1,9})?")
_SECONDS = re.compile(r"([0-9]{1,9}\.[0-9]{1,9})(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"([0-9.,]+)\s*([kKMG]?)(?:\s*(?:tokens|requests))?(?:\s*/\s*([a-z]+))?")
_PREFIX = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_PER = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}


def parse_amount(kind: Kind, value: object) -> float:
    """The amount in the base unit of its kind.

    Raises:
        ValueError: no such amount; the message says what is allowed.
    """
    expected, read = _FORMS[kind]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be {expected}")
    try:
        amount = read(value.strip() if isinstance(value, str) else value)
    except ValueError as error:
        more = f"; {error}" if str(error) else ""
        raise ValueError(f"must be {expected}{more}") from None
    if not math.isfinite(amount) or amount < 0:
        raise ValueError(f"must be {expected}" + (", not negative" if amount < 0 else ""))
    return amount


def format_amount(kind: Kind, value: float) -> str:
    """The amount as people read it, such as `5s`, `5%` or `25 USD`."""
    if kind is Kind.SECONDS:
        return format_duration(value)
    return f"{plain(value * 100)}%" if kind is Kind.RATIO else f"{plain(value)} {kind}"


def plain(value: float) -> str:
    """A number without exponent and needless digits, as PromQL and people read it."""
    text = f"{value:.12g}"
    return text if "e" not in text else f"{value:.12f}".rstrip("0").rstrip(".")


def _number(text: str | float) -> float:
    if not isinstance(text, str):
        return float(text)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


def _seconds(text: str | float) -> float:
    if not isinstance(text, str) and not 0 <= text < math.inf:
        raise ValueError
    if not isinstance(text, str) or _NUMBER.fullmatch(text):
        raise ValueError(
            f"write {plain(float(text))}{'ms' if float(text) >= 100 else 's'}"
        )  # no API answers in minutes
    match = _SECONDS.fullmatch(text)
    if match:
        return round(float(match[1]) * _UNITS[match[2]], 6)
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError from None


def _ratio(text: str | float) -> float:
    if isinstance(text, str) and text.endswith("%"):
        ratio, hint = round(_number(text[:-1].rstrip()) / 100, 9), "a share is at most 100%"
    else:
        ratio, hint = _number(text), f"did you mean {text}%?"
    if ratio > 1:
        raise ValueError(hint)
    return ratio


def _per(base: float, *, bare: bool) -> Callable[[str | float], float]:
    def rate(text: str | float) -> float:
        match = _RATE.fullmatch(text if isinstance(text, str) else plain(text))
        if match and match[3] is None and not bare:
            raise ValueError(f"write {match[1]}{match[2]}/min")
        if not match or (match[3] and match[3] not in _PER):
            raise ValueError
        amount = _number(match[1]) * _PREFIX[match[2]]
        return amount if match[3] is None else round(amount * base / _PER[match[3]], 9)

    return rate


def _usd(text: str | float) -> float:
    if isinstance(text, str):
        text = text.removeprefix("$").removesuffix("USD").removesuffix("usd").strip()
    return _number(text)


_FORMS: Mapping[Kind, tuple[str, Callable[[str | float], float]]] = {
    Kind.SECONDS: ("a duration with its unit, such as 5s, 2.5s or 800ms", _seconds),
    Kind.RATIO: ("a share such as 5% or 0.05", _ratio),
    Kind.PER_MINUTE: ("a rate with its unit, such as 100/min, 2/s or 6/h", _per(60.0, bare=False)),
    Kind.PER_SECOND: ("a number per second, such as 20 or 20/s", _per(1.0, bare=True)),
    Kind.PER_HOUR: ("a number per hour, such as 50000, 500k, 2M or 2M/h", _per(3600.0, bare=True)),
    Kind.USD: ("an amount in US dollars, such as 25 USD, $25 or 25", _usd),
}
"""What an amount of each kind must be, and how it is read; a reader raises ValueError, with a hint or without words."""

# SPDX-License-Identifier: Apache-2.0
"""What pint would say of our rules: one function per check, each yielding sentences."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .labels import Inference
from .nodes import COMPARISONS, SETS, Aggregate, Binary, Call, Node, Number, Selector, selectors, walk
from .parser import seconds
from .schema import EXPOSED, GAUGE_LIKE

Rule = Mapping[str, Any]
SEVERITIES = frozenset({"critical", "warning", "info", "none"})
ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url")
# Neither behind a feature flag in Prometheus 2.42 nor removed in 3.
FUNCTIONS = frozenset(
    {
        *(
            "abs",
            "absent",
            "changes",
            "clamp",
            "clamp_max",
            "clamp_min",
            "delta",
            "floor",
            "increase",
            "rate",
            "round",
            "sqrt",
        ),
        *("avg_over_time", "count_over_time", "last_over_time", "max_over_time", "min_over_time", "sum_over_time"),
        "present_over_time",
        *("floor", "absent_over_time", "quantile_over_time", "stddev_over_time", "histogram_quantile", "label_replace"),
        *("day_of_month", "day_of_week", "days_in_month", "hour", "minute", "scalar", "time", "timestamp", "vector"),
    }
)
GROWTH = re.compile(r":growth\d+[smh]$")
"""Ends the names of recorded growth: what a counter rose by from one evaluation to the next."""
_COUNTING = frozenset({"rate", "increase", "irate", "resets"})
_META = re.compile(r"[.*+?|()\[\]{}^$\\]")
_RECORD = re.compile(r"[a-z_]+:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_VALUE = re.compile(r"\{\{-?\s*\$value\b(.*?)\}\}")
_LABEL = re.compile(r"\$labels\.([a-zA-Z_]+)")


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may know besides the rule.

    Attributes:
        recorded: labels of the series that rules record.
        interval: seconds between two scrapes of a probe.
        retention: seconds for which Prometheus keeps data.
    """

    recorded: Mapping[str, frozenset[str]]
    interval: float = 60.0
    retention: float = 40 * 86400.0


def labels_exist(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/series, promql/vector_matching, promql/impossible, alerts/template."""
    inference = Inference(context.recorded, frozenset({"ALERTS", "ALERTS_FOR_STATE"}))
    labels = (inference.labels(tree) or frozenset()) | set(rule.get("labels", {}))
    yield from dict.fromkeys(inference.problems)
    for name, text in rule.get("annotations", {}).items():
        for label in sorted(set(_LABEL.findall(text)) - labels):
            yield f"{name}: names label {label}, which the result does not carry"


def compares(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """alerts/comparison: without one an alert fires as long as the series exist."""
    firing = [each for each in walk(tree) if isinstance(each, Binary) and each.op in COMPARISONS]
    absent = [each for each in walk(tree) if isinstance(each, Call) and each.name in ("absent", "vector")]
    if "alert" in rule and not any(not each.returns_bool for each in firing) and not absent:
        yield "compares with nothing, so it fires whenever the series exist"


def waits(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """alerts/absent, alerts/for: one missed scrape proves nothing."""
    if "alert" not in rule or rule["labels"].get("severity") == "none":
        return
    wait = seconds(rule.get("for", "0s"))
    if wait <= 0:
        yield "has no `for`"
    absent = any(isinstance(each, Call) and each.name == "absent" for each in walk(tree))
    if absent and wait < 2 * context.interval:
        yield "uses absent() with a `for` below two scrapes"


def annotated(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """alerts/annotation, rule/label, alerts/template: what people need, and values that they can read."""
    if "alert" not in rule:
        return
    for name in ANNOTATIONS:
        if not rule.get("annotations", {}).get(name, "").strip():
            yield f"annotation {name} is missing"
    summary = rule.get("annotations", {}).get("summary", "")
    if "{{" in summary or not summary.endswith("."):
        yield "summary must be a fixed sentence that ends with a full stop"
    if rule["labels"].get("severity") not in SEVERITIES:
        yield f"severity {rule['labels'].get('severity')!r} is unknown"
    for name, text in rule["labels"].items():
        if "$value" in text:
            yield f"label {name} changes with the value, so the alert never settles"
    ratio = any(isinstance(each, Binary) and each.op == "/" for each in walk(tree))
    for use in _VALUE.findall(rule.get("annotations", {}).get("description", "")):
        if ratio and not any(each in use for each in ("humanize", "if ge ", "00%%")):
            yield "description shows a ratio without humanize"


def counts(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/rate, promql/counter: rates of counters only, over two scrapes at least, before any sum.

    A rule that records growth takes the differences itself; its cases show that it minds falls.
    """
    if GROWTH.search(rule.get("record", "")):
        return
    inside: set[int] = set()
    for call in (each for each in walk(tree) if isinstance(each, Call) and each.name in _COUNTING):
        selector = call.args[0]
        if not isinstance(selector, Selector):
            yield f"{call.name} of something that is no counter"
            continue
        inside.add(id(selector))
        if not _is_counter(selector):
            yield f"{call.name}({selector.metric}): is no counter"
        if (selector.range or 0) < 2 * context.interval:
            yield f"{call.name}({selector.metric}): the range is below two scrapes"
    for each in walk(tree):
        # Whether a counter was there, or at 0, is no count.
        is_zero = isinstance(each, Binary) and each.op == "==" and each.right == Number(0.0)
        if is_zero or (isinstance(each, Call) and each.name == "present_over_time"):
            inside |= {id(found) for found in selectors(each)}
    for selector in selectors(tree):
        if _is_counter(selector) and id(selector) not in inside and selector.metric not in GAUGE_LIKE:
            yield f"{selector.metric}: is a counter and needs rate or increase"


def adds_up(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """Recorded growth adds up over a range; a single one says little, and is gone before the next comes."""
    for selector in selectors(tree):
        if GROWTH.search(selector.metric) and not selector.range:
            yield f"{selector.metric}: is growth and needs a range"


def reaches(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/range_query, promql/offset: nothing beyond what Prometheus keeps."""
    for selector in selectors(tree):
        if (selector.range or 0) + selector.offset > context.retention:
            yield f"{selector.metric}: reaches further back than the retention"


def matchers(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/regexp: regexes that are none, and anchors that Prometheus adds itself."""
    for selector in selectors(tree):
        for each in selector.matchers:
            if each.op in ("=~", "!~") and not _META.search(each.value):
                yield f"{selector.metric}: {each.label}{each.op} needs no regex"
            if each.op in ("=~", "!~") and (each.value.startswith("^") or each.value.endswith("$")):
                yield f"{selector.metric}: regexes are anchored already"


def divides(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/nan: the mean of ratios is not the ratio of the sums; a division by zero spoils a sum."""
    for node in walk(tree):
        mean = isinstance(node, Aggregate) and node.op in ("sum", "avg") and node.expr
        if isinstance(mean, Binary) and mean.op == "/":
            yield "a sum or mean of ratios; sum both parts, then divide"
        if isinstance(node, Binary) and node.op == "/" and _may_be_zero(node.right):
            yield "divides by what may be zero; filter it with > 0"


def supported(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """promql/features: functions of both Prometheus 2.42 and 3."""
    for node in walk(tree):
        if isinstance(node, Call) and node.name not in FUNCTIONS:
            yield f"{node.name}(): is not known to be in Prometheus 2.42 and 3 without a flag"


def named(rule: Rule, tree: Node, context: Context) -> Iterator[str]:
    """Names: level:metric:operations for records, CamelCase for alerts."""
    if "record" in rule and not _RECORD.fullmatch(rule["record"]):
        yield "a recorded series is named level:metric:operations"
    if "alert" in rule and not re.fullmatch(r"(OpenAI[A-Z][A-Za-z]+|Watchdog)", rule["alert"]):
        yield "an alert is named OpenAI and words in CamelCase"


def _is_counter(selector: Selector) -> bool:
    return selector.metric in EXPOSED and EXPOSED[selector.metric].counter


def _may_be_zero(node: Node) -> bool:
    """Whether a divisor can be 0: a vector that no comparison filters, budgets and days of a month apart."""
    if isinstance(node, Binary):
        return node.op not in COMPARISONS and node.op not in SETS and any(map(_may_be_zero, (node.left, node.right)))
    if isinstance(node, Aggregate):
        return _may_be_zero(node.expr)
    if isinstance(node, Selector):
        return ":openai_error_budget:" not in node.metric
    return isinstance(node, Call) and node.name not in ("days_in_month",)


CHECKS: tuple[Callable[[Rule, Node, Context], Iterator[str]], ...] = (
    labels_exist,
    compares,
    waits,
    annotated,
    counts,
    adds_up,
    reaches,
    matchers,
    divides,
    supported,
    named,
)

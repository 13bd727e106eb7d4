# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml: its keys, the checks that need more than one of them, and its messages."""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from openai_exporter.config.base import FOR_SECONDS, Duration, PositiveDuration, Section, Url, format_duration, repeated
from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.config.schema import Shape
from openai_exporter.config.secret import shown
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.files import read_text
from openai_exporter.model import Endpoint
from openai_exporter.rules.measures import MEASURES, NAMES, Kind, Measure, format_amount, parse_amount
from openai_exporter.rules.promql import PromQLError, check_matchers, renamed_value

Severity = Literal["critical", "warning", "info"]
OPERATORS = (">", ">=", "<", "<=")
SCOPES = ("target", "endpoint", "model", "organization", "project")
"""Keys of a threshold that select series."""
ENDPOINTS = tuple(each.value for each in Endpoint)
DEFAULT_SELECTOR = 'job=~"openai|openai-exporter"'
DEFAULT_RUNBOOK_URL = "https://github.com/openai-exporter/openai-exporter/blob/main/alerting/runbooks/%s.md"

_NAME = r"^[A-Za-z][A-Za-z0-9 _-]{0,62}$"
_TEAM = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_TEXT = 2000

MUST_BE: Mapping[str, str] = {
    "": "a mapping; start with `thresholds:`",
    "thresholds": "a list of thresholds, each with name, metric, operator and threshold",
    "selector": 'label matchers as PromQL writes them, such as job=~"openai|openai-exporter"',
    "interval": "a duration such as 60s, the time between two probes",
    "runbook_url": "an http:// or https:// URL",
    "name": "a name of letters, digits, spaces, dashes and underscores that starts with a letter",
    "operator": f"one of {', '.join(OPERATORS)}",
    "threshold": "a number or a text with a unit, such as 5s, 5% or 25 USD",
    "window": "a duration such as 5m",
    "for": "a duration such as 5m, or 0s",
    "team": "a name of letters, digits, dots, dashes and underscores",
    "endpoint": f"one or a list of {', '.join(ENDPOINTS)}",
    "not_model": "the name of a model, a pattern with *, or a list of them",
    **{name: f"the name of a {name}, a pattern with *, or a list of them" for name in SCOPES if name != "endpoint"},
    "examples": "a list of examples, each with value or values, and fires",
    "value": "an amount, as in threshold",
    "values": "a list of amounts, one per probe, such as [1s x5, 6s x8]",
}
"""What the file, and the value of each key, must be, as a noun, where the schema does not say it as well."""
_WORDS = {
    **dict.fromkeys(("gt", "greater_than", "above"), ">"),
    **dict.fromkeys(("ge", "gte", "greater_than_or_equal", "at_least"), ">="),
    **dict.fromkeys(("lt", "less_than", "below"), "<"),
    **dict.fromkeys(("le", "lte", "less_than_or_equal", "at_most"), "<="),
}
"""Operators in words, which are taken as their signs."""
_SLIPS = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<="}
_SEVERITIES = {
    **dict.fromkeys(("page", "crit", "error", "fatal", "emergency", "high", "p1", "sev1"), "critical"),
    **dict.fromkeys(("ticket", "notify", "notice", "medium", "low", "p2", "p3", "sev2", "sev3"), "warning"),
    **dict.fromkeys(("log", "none", "debug"), "info"),
}
"""Other systems' severities -> ours, which messages propose."""
_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
_PATHS = {
    "chat/completions": "chat", "audio/transcriptions": "transcriptions", "audio/speech": "speech",
    "images/generations": "images",
}  # fmt: skip
"""Paths of the API -> our endpoint, where they differ."""


_SPECIAL = re.compile(r"[.+*?()|\[\]{}^$\\]")
_SIGNS = (".*", ".+", "|", "(", "^", "$", "\\", "[")


def pattern(value: str) -> str:
    """Check a name or a pattern; returns it.

    Raises:
        ValueError: empty, not printable ASCII without spaces, or a regular expression.
    """
    if not 0 < len(value) <= 200 or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a name or a pattern with *, such as gpt-6-luna or gpt-6*, without spaces")
    if any(sign in value for sign in _SIGNS):
        raise ValueError(
            "must be a name or a pattern with *, not a regular expression: * stands for anything, such as gpt-6*; "
            "give several as a list"
        )
    return value


def matcher(label: str, patterns: Sequence[str]) -> str:
    """A label matcher, such as `model=~"gpt-6.*|o5"`; a single plain name needs no regex."""
    if len(patterns) == 1 and "*" not in patterns[0]:
        return f'{label}="{_quoted(patterns[0])}"'
    if len(patterns) == 1 and patterns[0] == "*":
        return f'{label}!=""'
    return f'{label}=~"{_regex(patterns)}"'


def matcher_of_others(label: str, patterns: Sequence[str]) -> str:
    """A label matcher of all that the patterns leave out, such as `model!~".*-pro|o3.*"`."""
    return f'{label}!~"{_regex(patterns)}"'


def _regex(patterns: Sequence[str]) -> str:
    return _quoted("|".join(_SPECIAL.sub(r"\\\g<0>", text).replace(r"\*", ".*") for text in patterns))


def an_instance(text: str) -> str:
    """A name that a pattern matches, for examples."""
    return text.replace("*", "x")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


def _endpoint(value: str) -> str:
    path = value.strip("/").removeprefix("v1/")
    value = _PATHS.get(path, path)
    if value not in ENDPOINTS:
        raise ValueError(f"must be one of {', '.join(ENDPOINTS)}")
    return value


def _operator(value: str) -> str:
    sign = value.strip().lower()
    if sign in OPERATORS or sign in _WORDS:
        return _WORDS.get(sign, sign)
    text = f"must be {MUST_BE['operator']}"
    if not sign:
        text += "; YAML reads a bare > as the start of a text, write it in quotes: '>'"
    raise ValueError(f"{text}; did you mean '{_SLIPS[sign]}'?" if sign in _SLIPS else text)


def _severity(value: Any) -> Any:
    meant = _SEVERITIES.get(value.strip().lower()) if isinstance(value, str) else None
    if meant:
        does = {"critical": "pages", "warning": "notifies", "info": "is logged"}[meant]
        raise ValueError(f"must be one of {', '.join(get_args(Severity))}; write severity: {meant}, which {does}")
    return value


def _enabled(value: Any) -> Any:
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value


def _with_unit(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and value != 0:
        fix = f"; write {value:g}m or {value:g}s" if 0 < value < math.inf else ""
        raise ValueError(f"must be {MUST_BE['window']}{fix}")
    return value


def _named(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        near = " ".join(re.findall(r"[A-Za-z0-9_-]+", value))[:60].lstrip("0123456789_- ")
        raise ValueError(f"must be {MUST_BE['name']}" + (f"; did you mean {near!r}?" if near else ""))
    return value


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a number, or text with a unit")
    return value


Amount = Annotated[Any, AfterValidator(_amount)]
Span = Annotated[Duration, BeforeValidator(_with_unit)]
Pattern = Annotated[str, AfterValidator(pattern)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1)]
Endpoints = Annotated[
    tuple[Annotated[str, AfterValidator(_endpoint)], ...], BeforeValidator(_listed), Field(min_length=1)
]
Text = Annotated[str, Field(min_length=1, max_length=_TEXT)]


class Settings(Section):
    """What all thresholds share."""

    selector: str = Field(DEFAULT_SELECTOR, max_length=1000, description="Part of every selector.")
    interval: PositiveDuration = Field(60.0, description="Time between two probes.")
    min_events: int | None = Field(
        None, ge=1, le=1000, description="Probes that must be slow or fail before an alert: 3, for critical 5."
    )
    grafana_url: Url = Field("http://localhost:3000", description="Root of Grafana, for links.")
    runbook_url: str = Field(
        DEFAULT_RUNBOOK_URL, pattern=r"^https?://\S+$", max_length=500,
        description="Runbooks; %s stands for the runbook's name.",
    )  # fmt: skip


class Example(Section):
    """Values that the alert must fire on, or stay silent."""

    value: Amount = Field(None, description="One value that lasts.")
    values: tuple[Amount, ...] | None = Field(
        None, strict=False, min_length=1, max_length=1000, description="One per probe; `6s x3` is three."
    )
    fires: bool = Field(description="Whether the alert fires at some time (true), or never (false).")


class Threshold(Section):
    """One threshold: an alert."""

    model_config = ConfigDict(populate_by_name=False)

    name: Annotated[str, AfterValidator(_named)] = Field(
        description="The alert is named after it.", json_schema_extra={"pattern": _NAME}
    )
    metric: Literal[NAMES] = Field(description="What is measured.")  # type: ignore[valid-type]
    operator: Annotated[str, AfterValidator(_operator)] = Field(description="In quotes: '>'.")
    threshold: Amount = Field(description="Limit with its unit.")
    hold: Span = Field(300.0, alias="for", description="How long before the alert fires.")
    window: Annotated[PositiveDuration, BeforeValidator(_with_unit)] | None = Field(
        None, description="Time that one value looks back."
    )
    severity: Annotated[Severity, BeforeValidator(_severity)] = Field(description="Alertmanager routes by it.")
    enabled: Annotated[bool, BeforeValidator(_enabled)] = Field(True, description="Whether there is an alert.")
    team: str | None = Field(None, pattern=_TEAM, description="Alertmanager routes by it.")
    target: Patterns | None = Field(None, description="Targets of the configuration.")
    endpoint: Endpoints | None = Field(None, description="Endpoints.")
    model: Patterns | None = Field(None, description="Models.")
    not_model: Patterns | None = Field(None, description="Models to omit.")
    organization: Patterns | None = Field(None, description="Organizations of the configuration.")
    project: Patterns | None = Field(None, description="Ids of projects.")
    min_events: int | None = Field(None, ge=1, le=1000, description="As in settings.")
    summary: Text | None = Field(None, description="One line.")
    description: Text | None = Field(None, description="What is wrong; may name labels and $value.")
    runbook_url: str | None = Field(None, pattern=r"^https?://\S+$", max_length=500, description="Runbook.")
    examples: tuple[Example, ...] = Field((), strict=False, max_length=100, description="What `rules test` proves.")

    @model_validator(mode="before")
    @classmethod
    def _read_seconds(cls, data: Any) -> Any:
        """`duration_seconds: 120` is `for: 120s`."""
        names = [name for name in FOR_SECONDS if isinstance(data, dict) and name in data]
        hold = _as_duration(data[names[0]]) if len(names) == 1 and "for" not in data else None
        return data if hold is None else {key: data[key] for key in data if key != names[0]} | {"for": hold}


def _as_duration(seconds: object) -> str | None:
    """`120s` of 120 and of "120", and a text with a unit as it is; None of what is no number of seconds."""
    if isinstance(seconds, str):
        return f"{seconds}s" if seconds.isdecimal() else seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) < LONGEST * 1000:
        return None
    return f"{round(seconds * 1000)}ms" if isinstance(seconds, float) else f"{seconds}s"


class ThresholdFile(Section):
    """All of thresholds.yml."""

    settings: Settings = Field(default_factory=Settings, description="What all thresholds share.")
    thresholds: tuple[Threshold, ...] = Field(strict=False, max_length=1000, description="The thresholds.")


_WHAT = "a file of thresholds"
_EMPTY = "is empty; start with `thresholds:`, or write `thresholds: []` for none"
# What PyYAML says of `operator: >=`.
_BARE_SIGN = "expected chomping or indentation indicators"


def load_thresholds(path: Path, shared: Mapping[str, Any] | None = None) -> ThresholdFile:
    """Decode and check a file of thresholds; `shared` are settings that it need not repeat.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_thresholds(read_text(path, _WHAT), str(path), shared)


def place_of(path: Path, inner: Place) -> str:
    """`thresholds.yml:12: thresholds[0].examples[1]` of something in a file that has been loaded."""
    return _document(read_text(path, _WHAT), str(path)).place(inner)


def parse_thresholds(text: str, name: str, shared: Mapping[str, Any] | None = None) -> ThresholdFile:
    """Decode and check the text of thresholds; `name` is shown in errors.

    Raises:
        ConfigError: as `load_thresholds`.
    """
    document = _document(text, name)
    if document.data is None or document.data == {}:
        raise ConfigError([Problem(name, _EMPTY)])
    own = document.data.get("settings", {}) if isinstance(document.data, dict) else None
    if shared and isinstance(own, dict):
        document.data["settings"] = {**shared, **own}
    try:
        file = ThresholdFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(_shape().problems(error, document)) from None
    problems = document.problems(cross_check(file))
    if problems:
        raise ConfigError(problems)
    return file


@functools.cache
def _shape() -> Shape:
    return Shape(ThresholdFile.model_json_schema(), MUST_BE)


def _document(text: str, name: str) -> Document:
    try:
        return Document(text, name)
    except ConfigError as error:
        text = "has a bare >= or similar sign; write it in quotes: operator: '>='"
        problems = [replace(each, message=text) if _BARE_SIGN in each.message else each for each in error.problems]
        raise ConfigError(problems) from None


PREFIX = "OpenAI"


_SHIPPED = """
    AlertDeliveryFailing AvailabilityBudgetBurn BudgetForecastExceeded BudgetSpent CertificateExpiring ClockSkew
    CostAnomaly CostDrift CredentialsRejected ErrorBudgetExhausted ExporterConfigReloadFailed ExporterDown
    ExporterReplicaDown ExporterRestarting ExporterUpstreamFailing FirstTokenBudgetBurn FreshnessBudgetBurn
    KeyBudgetSpent KeyExpiring KeySpendSpike KeyUnused LatencyAnomaly LatencyBudgetBurn ModelNotListed
    ModelRetiring ModelUnavailable PrepaidCreditLow ProbeCostLimited ProbeInvalid ProbeNearDeadline ProbeNotRun
    ProbeSpendHigh ProbesMissing ProjectLimitNear ProjectPeakNearLimit QuotaExhausted RateLimitHeadroomLow
    RateLimited RuleEvaluationFailing SLOMetricAbsent ScrapeFailing ServedModelChanged SimulatedWithRealKey
    SpendLimitEnforcing SpendLimitNear SpendLimitReached StackSettingsKept StatusComponentDown StatusIncident
    StatusPageUnreadable TargetDown TokenUsageAnomaly TokenUsageDrop UnpricedModel UsageBucketsLate
    UsageDataStale UsageReadDoubted UsageRefreshFailing UsageSeriesDropped UserBudgetSpent
    """
SHIPPED = frozenset(f"{PREFIX}{name}" for name in re.findall(r"\w+", _SHIPPED)) | {"Watchdog"}
"""Alerts of the rules that ship. Routes, inhibitions and runbooks know them by name, so no other may have it."""


def alert_name(name: str) -> str:
    """`high latency` -> `OpenAIHighLatency`; the prefix is what inhibitions and dashboards know our alerts by."""
    words = [part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name) if part]
    joined = "".join(words)
    return PREFIX + joined[len(PREFIX) :] if joined.lower().startswith(PREFIX.lower()) else PREFIX + joined


def events_of(threshold: Threshold, settings: Settings) -> int:
    """Probes that must be on the wrong side before it alerts."""
    return threshold.min_events or settings.min_events or (PAGE_EVENTS if threshold.severity == "critical" else 3)


# The checks that need more than one key: an alert must be able to fire, and to stay silent.

PAGE_EVENTS = 5
"""Bad probes that it takes to page somebody, as for the fastest burn of a service level."""

LONGEST = 15 * 86_400.0
"""Seconds that Prometheus keeps data by default."""
LOOKBACK = 300.0
"""Seconds for which Prometheus takes a sample for present by default."""


def cross_check(file: ThresholdFile) -> Iterator[Finding]:
    """Yield every mistake that one key alone cannot show."""
    yield from _settings(file.settings)
    yield from _unique(file)
    for index, threshold in enumerate(file.thresholds):
        measure = MEASURES[threshold.metric]
        place: Place = ("thresholds", index)
        yield from _limit(place, threshold, measure, file.settings)
        yield from _scope(place, threshold, measure)
        yield from _window(place, threshold, measure, file.settings)
        yield from _texts(place, threshold, measure)
        for number, example in enumerate(threshold.examples):
            key, problem = problem_of(example, measure) or ("", "")
            if problem:
                yield Finding((*place, "examples", number, *([key] if key else [])), problem)


def _labels_of(threshold: Threshold, measure: Measure) -> tuple[str, ...]:
    """Labels that the alert carries."""
    named = [measure.scope[key] for key in SCOPES if getattr(threshold, key) is not None and key in measure.scope]
    return tuple(dict.fromkeys((*measure.labels, *named, "severity", "team", "category")))


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        check_matchers(settings.selector)
    except PromQLError as error:
        yield Finding(("settings", "selector"), f"must be {MUST_BE['selector']}: {error}", settings.selector)
    if renamed := renamed_value(f"openai{{{settings.selector}}}"):
        yield Finding(("settings", "selector"), renamed)
    if settings.interval > LOOKBACK:
        text = f"must be at most {format_duration(LOOKBACK)}; Prometheus takes an older sample for gone"
        yield Finding(("settings", "interval"), text, format_duration(settings.interval))


def _unique(file: ThresholdFile) -> Iterator[Finding]:
    keys = [(alert_name(threshold.name), threshold.severity) for threshold in file.thresholds]
    for index, (alert, _) in enumerate(keys):
        if alert in SHIPPED:
            name = free = file.thresholds[index].name
            while alert_name(free) in SHIPPED | {taken for taken, _ in keys}:
                free = f"my_{free}"[:63]
            text = f"is alert {alert}, which the shipped rules have already; use another name, such as {free}"
            yield Finding(("thresholds", index, "name"), text, name)
    for index, first in repeated(keys):
        alert, severity = keys[index]
        text = f"is alert {alert} with severity {severity} again; give it another name or severity"
        name = file.thresholds[index].name
        yield Finding(("thresholds", index, "name"), text, name, ("thresholds", first, "name"))


def _limit(place: Place, threshold: Threshold, measure: Measure, settings: Settings) -> Iterator[Finding]:
    if threshold.operator not in measure.operators:
        text = f"metric {measure.name} takes {' or '.join(measure.operators)}"
        yield Finding((*place, "operator"), text, threshold.operator)
        return
    try:
        limit = parse_amount(measure.kind, threshold.threshold)
    except ValueError as error:
        text = str(error).replace("; write ", "; write threshold: ")
        yield Finding((*place, "threshold"), text, threshold.threshold)
        return
    if measure.kind is Kind.SECONDS and limit >= settings.interval:
        text = (
            f"no probe takes {format_amount(measure.kind, limit)}: its deadline is below the interval of the probes, "
        )
        text += f"{format_duration(settings.interval)}; choose a limit below the deadline"
        yield Finding((*place, "threshold"), text, threshold.threshold)
        return
    never, always = _verdict(threshold.operator, limit, measure.most)
    if never or always:
        comparison = f"{measure.name} {threshold.operator} {format_amount(measure.kind, limit)}"
        text = f"{comparison} is {'never' if never else 'always'} true"
        yield Finding((*place, "threshold"), f"{text}; choose another limit", threshold.threshold)


def _verdict(operator: str, limit: float, most: float | None) -> tuple[bool, bool]:
    """Whether a value from 0 to `most` never, or always, fulfils the comparison."""
    low = {">": False, ">=": limit <= 0, "<": limit > 0, "<=": True}[operator]
    top = float("inf") if most is None else most
    high = {">": top > limit, ">=": top >= limit, "<": top < limit, "<=": top <= limit}[operator]
    return not low and not high, low and high


def _scope(place: Place, threshold: Threshold, measure: Measure) -> Iterator[Finding]:
    if threshold.not_model is not None and "model" not in measure.scope:
        yield Finding((*place, "not_model"), f"metric {measure.name} is not known by model; remove it")
    for key in SCOPES:
        if getattr(threshold, key) is not None and key not in measure.scope:
            text = f"metric {measure.name} is not known by {key}; allowed: {', '.join(measure.scope)}"
            others = [each.name for each in MEASURES.values() if each.kind is measure.kind and key in each.scope]
            text += f"; known by {key}: {', '.join(others)}" if others else ""
            yield Finding((*place, key), text)


def _window(place: Place, threshold: Threshold, measure: Measure, settings: Settings) -> Iterator[Finding]:
    if threshold.min_events is not None and not measure.counts_probes:
        yield Finding((*place, "min_events"), f"is not for metric {measure.name}, which counts no probes; remove it")
    if threshold.hold > LONGEST:
        yield Finding((*place, "for"), "must be at most 15d, which Prometheus keeps", format_duration(threshold.hold))
    if threshold.window is not None and measure.fixed_window:
        yield Finding((*place, "window"), f"is not for metric {measure.name}: {measure.fixed_window}; remove it")
        return
    window = threshold.window or measure.window
    events, why = max(2, events_of(threshold, settings)), "else the alert can never fire"
    if not measure.counts_probes:
        events = 2
    if threshold.severity == "critical" and not measure.is_usage:
        yield from _page(place, threshold, measure, settings)
        if events < PAGE_EVENTS:
            events, why = PAGE_EVENTS, "else a few failed probes page somebody; or use severity: warning"
    least = events * settings.interval
    if window < least:
        text = (
            f"must be at least {format_duration(least)}, {events} probes at the interval of "
            f"{format_duration(settings.interval)}; {why}"
        )
        yield Finding((*place, "window"), text, format_duration(window))
    if window > LONGEST:
        yield Finding((*place, "window"), "must be at most 15d, which Prometheus keeps", format_duration(window))


def _page(place: Place, threshold: Threshold, measure: Measure, settings: Settings) -> Iterator[Finding]:
    """A page needs enough bad probes, whoever writes the rule."""
    use = f"use {PAGE_EVENTS} or more, or severity: warning"
    events = events_of(threshold, settings)
    if measure.counts_probes and events < PAGE_EVENTS:
        text = f"{events} bad {'probe' if events == 1 else 'probes'} must not page, and severity critical pages; {use}"
        where: Place = ("settings",) if threshold.min_events is None else place
        yield Finding((*where, "min_events"), text, events)
    if measure.name == "throughput" and threshold.operator in ("<", "<="):
        with suppress(ValueError):
            window = threshold.window or measure.window
            limit = parse_amount(measure.kind, threshold.threshold)
            most = 60 / settings.interval - PAGE_EVENTS * 60 / window
            if limit > most:
                text = (
                    f"fewer than {PAGE_EVENTS} failed probes of {format_duration(window)} would page; use at most "
                    f"{format_amount(measure.kind, max(round(most, 3), 0))}, a longer window, or severity: warning"
                )
                yield Finding((*place, "threshold"), text, threshold.threshold)


def _texts(place: Place, threshold: Threshold, measure: Measure) -> Iterator[Finding]:
    labels = _labels_of(threshold, measure)
    for key in ("summary", "description", "runbook_url"):
        text = getattr(threshold, key)
        if text is None:
            continue
        if not text.strip() or (key == "summary" and "\n" in text.strip()):
            yield Finding((*place, key), f"must be {'one line of text' if key == 'summary' else 'text'}", text)
        elif problem := _template_problem(text, labels):
            yield Finding((*place, key), problem)


# A few forms of `{{ ... }}` that surely work, checked against the labels of the alert.
_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_HUMANIZE = r"humanize|humanize1024|humanizeDuration|humanizePercentage"
_VALUE = re.compile(rf'\s*(?:\$value(?:\s*\|\s*(?:{_HUMANIZE}))?|printf\s+"%\.[0-9]f"\s+\$value)\s*')
_LABEL = re.compile(r"\s*\$labels\.([A-Za-z_][A-Za-z0-9_]*)\s*")
_FORMS = "$value, $value | humanize, humanizeDuration or humanizePercentage, and $labels.NAME"


def _template_problem(text: str, labels: Sequence[str]) -> str | None:
    """What is wrong with a text whose alert carries these labels; None when it is fine."""
    rest = _ACTION.sub("", text)
    if "{{" in rest or "}}" in rest:
        return "has {{ without }}, or the reverse; write both, or neither"
    for action in _ACTION.findall(text):
        label = _LABEL.fullmatch(action)
        if label and label[1] not in labels:
            return f"names label {label[1]}, which the alert does not carry; it carries {', '.join(labels)}"
        if not label and not _VALUE.fullmatch(action):
            return f"has {{{{{action[:40]}}}}}; allowed between braces: {_FORMS}"
    return None


# Examples.

Step = float | str
"""A value in the measure's base unit, or `ok`, `fail`, `timeout` or `none` (no scrape)."""

MOST_STEPS = 10_000
_ITEM = re.compile(r"(.+?)(?:\s+x([1-9][0-9]{0,3}))?")
_RESULTS = ("error_rate", "throughput")


def problem_of(example: Example, measure: Measure) -> tuple[str, str] | None:
    """The key and what is wrong with it; None when the example can be tried."""
    if (example.value is None) == (example.values is None):
        return "", "needs value (one that lasts) or values (one per probe), not both"
    try:
        steps(example, measure, 1)
    except ValueError as error:
        return ("value" if example.values is None else "values"), str(error)
    return None


def steps(example: Example, measure: Measure, lasting: int) -> list[Step]:
    """One value per probe; one that lasts comes `lasting` times.

    Raises:
        ValueError: an item is none that the measure knows; the message says what is allowed.
    """
    if example.values is None:
        return _item(example.value, measure) * lasting
    values: list[Step] = []
    for item in example.values:
        values += _item(item, measure)
        if len(values) > MOST_STEPS:
            raise ValueError(f"stands for more than {MOST_STEPS} probes; make it shorter")
    return values


def _item(item: Any, measure: Measure) -> list[Step]:
    value, times = item, 1
    if isinstance(item, str):
        match = _ITEM.fullmatch(item.strip())
        value, times = (match[1], int(match[2] or 1)) if match else (item, 1)
    words = _words_of(measure)
    if value in words:
        return [value] * times
    choices = ", ".join(words)
    if measure.name in _RESULTS:
        raise ValueError(f"{shown(value)}: must be one of {choices}, such as [ok x5, fail x3]")
    try:
        return [parse_amount(measure.kind, value)] * times
    except ValueError as error:
        raise ValueError(f"{shown(value)}: {error}; or one of {choices}") from None


def _words_of(measure: Measure) -> tuple[str, ...]:
    """What an example of a measure may say instead of an amount."""
    if measure.name in _RESULTS:
        return ("ok", "fail", "none")
    if measure.category == "latency":
        return ("timeout", "fail", "none") if measure.kind is Kind.SECONDS else ("fail", "none")
    return ("none",)

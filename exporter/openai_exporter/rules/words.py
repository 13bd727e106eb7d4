# SPDX-License-Identifier: Apache-2.0
"""Names and texts of alerts: what on-call people read."""

import re

from openai_exporter.config.duration import format_duration
from openai_exporter.rules.measure import Measure
from openai_exporter.rules.quantity import Kind, show
from openai_exporter.rules.schema import Threshold

PREFIX = "OpenAI"
_ORDER = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_SUBJECTS = {
    "probe": "of {{ $labels.module }} on {{ $labels.target }}{{ with $labels.model }} ({{ . }}){{ end }}",
    "organization": "of organization {{ $labels.organization }}",
    "target": "on {{ $labels.target }}",
}
_LONGEST = 86_400
"""Seconds above which a latency can only be that of probes without an answer."""


def alert_name(name: str) -> str:
    """`high latency` -> `OpenAIHighLatency`; the prefix is what inhibitions and dashboards know our alerts by."""
    words = [part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name) if part]
    joined = "".join(words)
    return PREFIX + joined[len(PREFIX) :] if joined.lower().startswith(PREFIX.lower()) else PREFIX + joined


def summary(threshold: Threshold, measure: Measure, limit: float) -> str:
    """A fixed sentence."""
    return f"{measure.title} is {_ORDER[threshold.operator]} {show(measure.kind, limit)}."


def description(threshold: Threshold, measure: Measure, limit: float, window: float) -> str:
    """Names the series, the value and the limit."""
    order = _ORDER[threshold.operator]
    limited = f"{order} {show(measure.kind, limit)}"
    if threshold.hold:
        limited += f" for {format_duration(threshold.hold)}"
    over = "" if measure.fixed_window else f" over {format_duration(window)}"
    return f"{measure.title} {_subject(threshold, measure)} is {_value(measure)}{over}; it alerts {limited}."


def _subject(threshold: Threshold, measure: Measure) -> str:
    if not measure.is_usage:
        limit_type = " for {{ $labels.limit_type }}" if "limit_type" in measure.labels else ""
        return f"{limit_type.lstrip()} {_SUBJECTS['probe']}".strip()
    text = _SUBJECTS["organization" if "organization" in measure.labels else "target"]
    for key in ("project", "model"):
        if getattr(threshold, key) is not None:
            text += f", {key} {{{{ $labels.{measure.scope[key]} }}}}"
    return text


def _value(measure: Measure) -> str:
    if measure.kind is Kind.SECONDS:
        seconds = "{{ $value | humanizeDuration }}"
        if measure.name == "mean_latency":
            return seconds
        late = "beyond the deadline of the probes"
        return f"{{{{ if gt $value {_LONGEST}.0 }}}}{late}{{{{ else }}}}{seconds}{{{{ end }}}}"
    if measure.kind is Kind.RATIO:
        return "{{ $value | humanizePercentage }}"
    if measure.kind is Kind.USD:
        return '{{ printf "%.2f" $value }} USD'
    return f"{{{{ $value | humanize }}}} {measure.kind.value}"

# SPDX-License-Identifier: Apache-2.0
"""What a measure is: something that a threshold can be put on, and how an expression asks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from openai_exporter.config.duration import format_duration
from openai_exporter.rules.quantity import Kind


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
        dashboard, runbook: where the alert points: a dashboard's uid, a runbook's name.
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
    runbook: str
    window: float = 300.0
    operators: tuple[str, ...] = (">", ">=", "<", "<=")
    scope: dict[str, str] = field(default_factory=lambda: dict(PROBE_SCOPE))
    labels: tuple[str, ...] = PROBE_LABELS
    is_usage: bool = False
    counts_probes: bool = True
    most: float | None = None
    fixed_window: str | None = None

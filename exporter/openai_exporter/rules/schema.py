# SPDX-License-Identifier: Apache-2.0
"""The shape of thresholds.yml, and label matchers of the series that a threshold selects."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from openai_exporter.config.base import Duration, PositiveDuration, Section, Url
from openai_exporter.model import Endpoint
from openai_exporter.rules.measures import NAMES

# Which series a threshold is about: exact names and `*` patterns to PromQL matchers.

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
    regexes = [".*".join(map(_escaped, text.split("*"))) for text in patterns]
    return f'{label}=~"{_quoted("|".join(regexes))}"'


def an_instance(text: str) -> str:
    """A name that a pattern matches, for examples."""
    return text.replace("*", "x")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


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
    "settings": "a mapping with keys of selector, interval, min_events, grafana_url, runbook_url",
    "thresholds": "a list of thresholds, each with name, metric, operator and threshold",
    "selector": 'label matchers as PromQL writes them, such as job=~"openai|openai-exporter"',
    "interval": "a duration such as 60s, the time between two probes",
    "min_events": "a whole number from 1 to 1000",
    "grafana_url": "an http:// or https:// URL without user, query or fragment",
    "runbook_url": "an http:// or https:// URL",
    "name": "a name of letters, digits, spaces, dashes and underscores that starts with a letter",
    "metric": f"one of {', '.join(NAMES)}",
    "operator": f"one of {', '.join(OPERATORS)}",
    "threshold": "a number or a text with a unit, such as 5s, 5% or 25 USD",
    "window": "a duration such as 5m",
    "for": "a duration such as 5m, or 0s",
    "severity": "one of critical, warning, info",
    "enabled": "true or false",
    "team": "a name of letters, digits, dots, dashes and underscores",
    "summary": f"text of 1 to {_TEXT} characters",
    "description": f"text of 1 to {_TEXT} characters",
    "endpoint": f"one or a list of {', '.join(ENDPOINTS)}",
    **{
        name: f"the name of a {name}, a pattern with *, or a list of them"
        for name in ("target", "model", "organization", "project")
    },
    "examples": "a list of examples, each with value or values, and fires",
    "value": "an amount, as in threshold",
    "values": "a list of amounts, one per probe, such as [1s x5, 6s x8]",
    "fires": "true or false",
}
"""What the value of each key, and the file, must be, as a noun."""
_MEANT = {"gt": ">", "above": ">", "ge": ">=", "=>": ">=", "lt": "<", "below": "<", "le": "<=", "=<": "<="}


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


def _endpoint(value: str) -> str:
    if value not in ENDPOINTS:
        raise ValueError(f"must be one of {', '.join(ENDPOINTS)}")
    return value


def _operator(value: str) -> str:
    if value in OPERATORS:
        return value
    text, sign = f"must be {MUST_BE['operator']}", value.strip().lower()
    if not sign:
        text += "; YAML reads a bare > as the start of a text, write it in quotes: '>'"
    meant = sign if sign in OPERATORS else _MEANT.get(sign)
    raise ValueError(f"{text}; did you mean '{meant}'?" if meant else text)


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a number, or text with a unit")
    return value


Amount = Annotated[Any, AfterValidator(_amount)]
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
    min_events: int = Field(2, ge=1, le=1000, description="Probes that must be slow or fail before an alert.")
    grafana_url: Url = Field("http://localhost:3000", description="Root of Grafana, for links.")
    runbook_url: str = Field(
        DEFAULT_RUNBOOK_URL, pattern=r"^https?://\S+$", max_length=500,
        description="Runbooks; %s stands for the runbook's name.",
    )  # fmt: skip


class Example(Section):
    """Values that the alert must fire on, or stay silent."""

    value: Amount = Field(None, description="One value that lasts.")
    values: tuple[Amount, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        max_length=1000,
        description="One per probe; `6s x3` is three.",
    )
    fires: bool = Field(description="Whether the alert fires at some time (true), or never (false).")


class Threshold(Section):
    """One threshold: an alert."""

    model_config = ConfigDict(populate_by_name=False)

    name: str = Field(pattern=_NAME, description="The alert is named after it.")
    metric: Literal[NAMES] = Field(description="What is measured.")  # type: ignore[valid-type]
    operator: Annotated[str, AfterValidator(_operator)] = Field(description="In quotes: '>'.")
    threshold: Amount = Field(description="Limit with its unit.")
    hold: Duration = Field(300.0, alias="for", description="How long before the alert fires.")
    window: PositiveDuration | None = Field(None, description="Time that one value looks back.")
    severity: Severity = Field(description="Alertmanager routes by it.")
    enabled: bool = Field(True, description="Whether there is an alert.")
    team: str | None = Field(None, pattern=_TEAM, description="Alertmanager routes by it.")
    target: Patterns | None = Field(None, description="Targets of the configuration.")
    endpoint: Endpoints | None = Field(None, description="Endpoints.")
    model: Patterns | None = Field(None, description="Models.")
    organization: Patterns | None = Field(None, description="Organizations of the configuration.")
    project: Patterns | None = Field(None, description="Ids of projects.")
    min_events: int | None = Field(None, ge=1, le=1000, description="As in settings.")
    summary: Text | None = Field(None, description="One line.")
    description: Text | None = Field(None, description="What is wrong; may name labels and $value.")
    runbook_url: str | None = Field(None, pattern=r"^https?://\S+$", max_length=500, description="Runbook.")
    examples: tuple[Example, ...] = Field((), strict=False, max_length=100, description="What `rules test` proves.")


class ThresholdFile(Section):
    """All of thresholds.yml."""

    settings: Settings = Field(default_factory=Settings, description="What all thresholds share.")
    thresholds: tuple[Threshold, ...] = Field(strict=False, max_length=1000, description="The thresholds.")

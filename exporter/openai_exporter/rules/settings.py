# SPDX-License-Identifier: Apache-2.0
"""settings.yml: what a user sets of rules, notifications and links, decoded strictly against the mixin's defaults.

Keys are those of the mixin's `_config` in snake case, so that a setting is spelt once, in `alerting/config.libsonnet`.
"""

import functools
import math
import re
import zoneinfo
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from openai_exporter.config.base import (
    DISTINCT,
    PATTERN,
    RESERVED_LABELS,
    Pattern,
    Section,
    Url,
    has_host,
    nearest,
    parse_duration,
    unknown_key,
)  # fmt: skip
from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.config.schema import Node, Shape, schema_head
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.rules.measures import Kind, parse_amount
from openai_exporter.rules.promql import PromQLError, check_matchers
from openai_exporter.rules.thresholds import SHIPPED

SCHEMA_ID = "urn:openai-exporter:schema:settings"
WHAT = "a file of settings"

_PATHS: Mapping[str, Place] = {
    "selector": ("selector",),
    "probe_interval": ("probeInterval",),
    "retention": ("retention",),
    "expect_probes": ("expectProbes",),
    "instance_labels": ("instanceLabels",),
    "cluster_labels": ("clusterLabels",),
    "environment_labels": ("alertmanager", "environmentLabels"),
    "prometheus_selector": ("prometheusSelector",),
    "alertmanager_selector": ("alertmanagerSelector",),
    "slo": ("slo",),
    "thresholds": ("thresholds",),
    "anomaly": ("anomaly",),
    "status_components": ("statusComponents",),
    "disabled_alerts": ("disabledAlerts",),
    "severities": ("severities",),
    "owners": ("teams",),
    "channels": ("alertmanager", "channels"),
    "audiences": ("alertmanager", "audiences"),
    "teams": ("alertmanager", "teams"),
    "watchdog": ("alertmanager", "watchdog"),
    "business_hours": ("alertmanager", "officeHours"),
    "quiet_times": ("alertmanager", "quietTimes"),
    "group_wait": ("alertmanager", "groupWait"),
    "group_interval": ("alertmanager", "groupInterval"),
    "repeat": ("alertmanager", "repeat"),
    "alertmanager_version": ("alertmanager", "version"),
}
"""Key of settings.yml -> its place in `_config`; `links` are apart."""
_KEYS = ("links", *_PATHS)
_JOINED = {"instance_labels": ", ", "cluster_labels": ", ", "status_components": "|"}
"""Lists that `_config` has as one text."""
_SPECIAL = re.compile(r"""[()\[\]{}^$+?\\"`]|(?<!\.)\*""")
"""Characters of names that have a meaning in a regular expression; any character stands for them."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What the Jsonnet sources know of settings; each is itself, so that what is made of it is made once.

    Attributes:
        config: the defaults, `_config`.
        allowed: channel -> its settings.
        required: channel -> lists of settings of which one must be there.
        since: setting of a channel -> the first Alertmanager that reads it.
    """

    config: Mapping[str, Any]
    allowed: Mapping[str, Sequence[str]]
    required: Mapping[str, Sequence[Sequence[str]]]
    since: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file says.

    Attributes:
        config: what it changes of `_config`.
        links: name of a program -> its address, of those that are set.
        document: the file, to tell where a setting stands.
    """

    config: Mapping[str, Any]
    links: Mapping[str, str]
    document: Document

    def value(self, path: Place) -> Any:
        """What the file says at a path; None when nothing."""
        data = self.document.data
        for part in path:
            data = data.get(part) if isinstance(data, dict) else None
        return data


# Types of values, each with the words that errors use for it.


_TIME = "a duration in whole seconds, such as 30s, 5m or 1d"


def _time(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and value:
        raise ValueError(f"must be {_TIME}" + (f"; write {value:g}s or {value:g}m" if 0 < value < math.inf else ""))
    if not isinstance(value, str):
        return "0s" if value == 0 and not isinstance(value, bool) else value
    with suppress(ValueError):
        if (seconds := parse_duration(value)) == int(parse_duration(value)):
            return _one_unit(value, int(seconds))
    raise ValueError(f"must be {_TIME}")


def _one_unit(value: str, seconds: int) -> str:
    """The duration as the Jsonnet sources read it: a number and one unit up to days."""
    if re.fullmatch(r"[0-9]+[smhd]", value):
        return value
    units = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    return next(f"{seconds // size}{unit}" for size, unit in units if not seconds % size)


def _above_zero(value: str) -> str:
    if not parse_duration(value):
        raise ValueError("must be longer than zero")
    return value


def _bound(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        fix = f"; write {value:g}s" if 0 < value < math.inf else ""
        raise ValueError(f"must be a duration such as 2.5s or 800ms{fix}")
    seconds = parse_amount(Kind.SECONDS, value)
    if not seconds:
        raise ValueError("must be longer than zero")
    return seconds


def _above(kind: Kind, words: str) -> BeforeValidator:
    """An amount of that kind that is not zero."""

    def read(value: object) -> float:
        if not (amount := parse_amount(kind, value)):
            raise ValueError(f"must be {words}")
        return amount

    return BeforeValidator(read, json_schema_input_type=float | str)


def _objective(value: object) -> float:
    share = parse_amount(Kind.RATIO, value)
    if not 0 < share < 1:
        raise ValueError("must be above 0% and below 100%, such as 99.5% or 0.995")
    return share


def _matchers(value: str) -> str:
    try:
        check_matchers(value)
    except PromQLError as error:
        raise ValueError(f"must be {MUST_BE['selector']}: {error}") from None
    return value


def _alert(name: str) -> str:
    if name not in SHIPPED:
        raise ValueError(f"no shipped alert has this name; {nearest(name, sorted(SHIPPED))}docs/alerts.md lists them")
    return name


def _file(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("must be the absolute path of a file, such as /run/secrets/slack_url, as Alertmanager sees it")
    return path


def _matching(pattern: str, words: str) -> Any:
    """Text of a form."""

    def matches(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return Annotated[str, AfterValidator(matches)]


def _added(label: str) -> str:
    if label in RESERVED_LABELS - {"job", "instance"}:
        raise ValueError("is a label of the exporter's own series; give one that Prometheus adds, such as cluster")
    return label


def _address(value: str) -> str:
    """A URL that Alertmanager calls; what is secret of it does not stand here."""
    if not re.fullmatch(r"""https?://([^\s"<>\\^`{|}%]|%[0-9A-Fa-f]{2})+""", value) or not has_host(value):
        raise ValueError("must be an http:// or https:// URL")
    if "@" in urlsplit(value).netloc:
        raise ValueError("must be an http:// or https:// URL without user; put the full URL into a file: url_file")
    return value


def _runbooks(value: str) -> str:
    try:
        _address(value.replace("%s", "name"))
    except ValueError:
        raise ValueError("must be an http:// or https:// URL, where %s may stand for the name of the alert") from None
    return value


def _zone(name: str) -> str:
    zones = zoneinfo.available_timezones()
    if zones and name not in zones:
        raise ValueError(
            f"must be a time zone such as UTC or Europe/Berlin; {nearest(name, sorted(zones))}".rstrip("; ")
        )
    return name


_SEVERITIES = ("critical", "warning", "info", "none")
_ADDRESS = r"[^\s@<>]+@[^\s@<>,]+|[^<>@,]*<[^\s@<>]+@[^\s@<>]+>"
_WEEKDAY = "(?:sun|mon|tues|wednes|thurs|fri|satur)day"
_MONTH = "(?:january|february|march|april|may|june|july|august|september|october|november|december|[1-9]|1[0-2])"
_DAY_OF_MONTH = "-?(?:[1-9]|[12][0-9]|3[01])"

Time = Annotated[str, BeforeValidator(_time), Field(json_schema_extra={"pattern": PATTERN})]
PositiveTime = Annotated[Time, AfterValidator(_above_zero)]
Bound = Annotated[float, BeforeValidator(_bound, json_schema_input_type=str)]
Share = Annotated[float, _above(Kind.RATIO, "a share above 0%, such as 5% or 0.05")]
Objective = Annotated[float, BeforeValidator(_objective, json_schema_input_type=float | str)]
Usd = Annotated[float, _above(Kind.USD, "an amount above zero, such as 25 USD")]
Matchers = Annotated[str, AfterValidator(_matchers)]
Alert = Annotated[str, AfterValidator(_alert)]
Severity: Any = Literal[_SEVERITIES]
File = Annotated[str, AfterValidator(_file)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Address = Annotated[str, AfterValidator(_address)]
Runbooks = Annotated[str, AfterValidator(_runbooks)]
Mail: Any = _matching(
    rf"(?:{_ADDRESS})(?:\s*,\s*(?:{_ADDRESS}))*", "an e-mail address such as oncall@example.org, or several with commas"
)
Host: Any = _matching(r"[^\s:/@]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", "host:port, such as mail.example.org:587")
TeamName: Any = _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name of letters, digits, dots, dashes and underscores")
LabelName: Any = _matching(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", "a label name of letters, digits and underscores")
AddedLabel = Annotated[LabelName, AfterValidator(_added)]
Clock: Any = _matching(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00", "a time in quotes from '00:00' to '24:00'")
Weekdays: Any = _matching(f"{_WEEKDAY}(:{_WEEKDAY})?", "a day such as monday, or days such as monday:friday")
MonthDays: Any = _matching(
    f"{_DAY_OF_MONTH}(:{_DAY_OF_MONTH})?", "a day of the month in quotes such as '1', '1:5' or '-3:-1'"
)
Months: Any = _matching(f"{_MONTH}(:{_MONTH})?", "a month such as december, or months such as june:august")
Years: Any = _matching("[0-9]{4}(:[0-9]{4})?", "a year in quotes such as '2027', or years such as '2027:2028'")
Zone = Annotated[str, AfterValidator(_zone)]
Version: Any = _matching(r"0\.[0-9]{1,3}", "a version in quotes, such as '0.28'")

MUST_BE: Mapping[str, str] = {
    "": "a mapping; start with `links:` or `channels:`",
    "selector": "label matchers as PromQL writes them, in quotes, such as 'job=~\"openai|openai-exporter\"'",
    "prometheus_selector": "label matchers as PromQL writes them, such as 'job=\"prometheus\"', or '' for none",
    "alertmanager_selector": "label matchers as PromQL writes them, such as 'job=\"alertmanager\"', or '' for none",
    "objective": "a share such as 99.5% or 0.995",
    "bound": "a duration such as 2.5s or 800ms",
    "objectives": "a list of objectives, such as [{objective: 99.5%}]",
    "bounds": "a list of bounds, such as [{match: {model: gpt-6.*}, bound: 10s}, {bound: 5s}]",
    "match": "a mapping of labels to regular expressions, such as {model: gpt-6.*}",
    "channel": "a channel in quotes, such as '#openai-alerts', for a bare # starts a comment",
    "disabled_alerts": "a list of names of shipped alerts, such as [OpenAIKeyUnused]",
    "severities": "a mapping of shipped alerts to severities, such as {OpenAIModelRetiring: info}",
    "business_hours": "a list of times, such as [{weekdays: ['monday:friday'], location: Europe/Berlin}]",
    "quiet_times": "a list of times, such as [{weekdays: [saturday, sunday]}]",
    "start_time": "a time in quotes from '00:00' to '24:00'",
    "end_time": "a time in quotes from '00:00' to '24:00'",
}
"""What the value of a key must be, as a noun, where the schema does not say it as well."""


class Hours(Section):
    """Part of a day."""

    start_time: Clock
    end_time: Clock


class TimeInterval(Section):
    """Times in Alertmanager's form."""

    weekdays: tuple[Weekdays, ...] | None = Field(None, strict=False)
    times: tuple[Hours, ...] | None = Field(None, strict=False)
    days_of_month: tuple[MonthDays, ...] | None = Field(None, strict=False)
    months: tuple[Months, ...] | None = Field(None, strict=False)
    years: tuple[Years, ...] | None = Field(None, strict=False)
    location: Zone | None = None


class Links(Section):
    """Where links of notifications lead."""

    grafana: Url = Field("http://localhost:3000", description="Root of Grafana.")
    runbooks: Runbooks = Field("", description="Runbooks; %s stands for the name of the alert.")
    exporter: Url = Field("http://localhost:9985", description="Root of the exporter, in commands to paste.")
    prometheus: Url = Field("", description="Root of Prometheus; without it, its --web.external-url.")
    alertmanager: Url = Field("", description="Root of Alertmanager; without it, its --web.external-url.")


_TYPES: Mapping[str, Any] = {
    "match": dict[Literal["target", "module", "model", "endpoint", "dataset", "organization"], Pattern],
    "objective": Objective,
    "bound": Bound,
    "severity": Severity,
    "severities": dict[Alert, Severity],
    "disabled_alerts": Annotated[tuple[Alert, ...], DISTINCT],
    "selector": Matchers,
    "prometheus_selector": Matchers,
    "alertmanager_selector": Matchers,
    "instance_labels": Annotated[tuple[AddedLabel, ...], DISTINCT],
    "cluster_labels": Annotated[tuple[AddedLabel, ...], DISTINCT],
    "environment_labels": Annotated[tuple[LabelName, ...], DISTINCT],
    "status_components": Annotated[tuple[Text, ...], DISTINCT],
    "business_hours": tuple[TimeInterval, ...],
    "quiet_times": tuple[TimeInterval, ...],
    "weekend": tuple[Annotated[int, Field(ge=0, le=6)], ...],
    "settings_anomaly_floors_cost": Usd,
    "settings_anomaly_floors_latency": Bound,
    "settings_repeat_page": PositiveTime,
    "settings_repeat_notify": PositiveTime,
    "alertmanager_version": Version,
    # Settings of channels.
    "to": Mail,
    "from": Mail,
    "smarthost": Host,
    "url": Address,
    "api_url": Address,
    "require_tls": bool,
    "send_resolved": bool,
}
"""Key, or path of keys -> type of its value, where the default does not tell it."""
_SHARES = ("share", "half", "full", "budget_share", "min_elapsed", "min_spread")
_COUNT = re.compile(r"(?:min_)?(?:bad|fresh|calls|days)|.*_days|hours|restarts|due|stopped_tokens")
_OPTIONAL = {"match": {}, "keep": "1m"}
"""Keys that entries of lists may have, whatever those of the defaults have."""
_MAY_BE_ZERO = ("for", "keep", "page", "notify")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def _type_of(place: str, key: str, default: Any) -> Any:
    """The type of a setting, by its name and default."""
    if place in _TYPES or key in _TYPES:
        return _TYPES.get(place) or _TYPES[key]
    if key in _SHARES:
        return Share
    if key.endswith("usd"):
        return Usd
    if isinstance(default, dict):
        return _section(place, {_snake(name): value for name, value in default.items()})
    if isinstance(default, list):
        return tuple[_entry(place, default), ...]  # type: ignore[misc]
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return (
            Annotated[int, Field(ge=0)] if _COUNT.fullmatch(key) else Annotated[float, Field(gt=0, allow_inf_nan=False)]
        )
    return Time if key in _MAY_BE_ZERO else PositiveTime


def _entry(place: str, default: list[Any]) -> Any:
    """The type of the entries of a list: mappings with the keys of all entries of the default."""
    entries = [{_snake(name): value for name, value in each.items()} for each in default]
    merged = {**_OPTIONAL, **{key: value for each in entries for key, value in each.items()}}
    required = {key for key in merged if all(key in each for each in entries)}
    wanted = {key: value for key, value in merged.items() if key in required or key in _OPTIONAL}
    if "long" not in wanted:
        wanted.pop("keep")
    if "objective" not in wanted and "bound" not in wanted:
        wanted.pop("match")
    return _section(f"{place}_entry", wanted, required)


def _section(place: str, defaults: Mapping[str, Any], required: Collection[str] = ()) -> Any:
    """The type of a mapping whose keys are those of its defaults."""
    return _mapping(place, {key: _type_of(f"{place}_{key}", key, value) for key, value in defaults.items()}, required)


def _mapping(place: str, types: Mapping[str, Any], required: Collection[str] = ()) -> Any:
    fields: dict[str, Any] = {}
    for key, kind in types.items():
        strict = False if "tuple[" in str(kind) else None
        fields[key] = (kind, Field(strict=strict) if key in required else Field(None, strict=strict))
    return create_model(place, __base__=Section, **fields)


@functools.cache
def model(facts: Facts) -> Any:
    """What a settings file may hold, a pydantic model."""
    defaults = {key: _at(facts.config, path) for key, path in _PATHS.items()}
    channels = {name: _channel(name, keys) for name, keys in facts.allowed.items()}
    names: Any = Annotated[tuple[Literal[tuple(facts.allowed)], ...], DISTINCT]  # type: ignore[misc]
    apart = {
        "links": Links,
        "channels": _mapping("channels", channels),
        "teams": dict[TeamName, _mapping("team", channels)],  # type: ignore[misc]
        "audiences": _mapping("audiences", dict.fromkeys(defaults["audiences"], names)),
        "watchdog": _channel("watchdog", facts.allowed["webhook"]),
        "owners": _mapping("owners", dict.fromkeys(defaults["owners"], TeamName)),
    }
    return _mapping(
        "settings", {key: apart.get(key) or _type_of(f"settings_{key}", key, defaults[key]) for key in _KEYS}
    )


def _channel(name: str, keys: Sequence[str]) -> Any:
    return _mapping(name, {key: File if key.endswith("_file") else _TYPES.get(key, Text) for key in keys})


@functools.cache
def _shape(facts: Facts) -> Shape:
    return Shape(model(facts).model_json_schema(), MUST_BE)


def schema_document(facts: Facts) -> Node:
    """The published JSON Schema of settings.yml."""
    return schema_head(SCHEMA_ID, model(facts).model_json_schema(), "openai-exporter settings")


def parse_settings(text: str, name: str, facts: Facts) -> Settings:
    """Decode and check the text of settings; `name` is shown in errors.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    document = Document(text, name)
    data = document.data
    if isinstance(data, dict):
        # A section whose lines are all comments says nothing.
        data = {key: value for key, value in data.items() if value is not None or key not in _KEYS}
    try:
        read = model(facts).model_validate({} if data is None else data)
    except ValidationError as error:
        raise ConfigError(_shape(facts).problems(error, document)) from None
    found = read.model_dump(exclude_unset=True, mode="json")
    if findings := [*_channels(found, facts), *_lists(found), *_times(found), *_orders(found, facts)]:
        raise ConfigError(document.problems(findings))
    links = found.pop("links", {})
    return Settings(_config(found, links, facts), links, document)


# The checks that need more than one key.


def _channels(found: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    base: dict[str, Any] = found.get("channels", {})
    for name, settings in base.items():
        yield from _channel_problems(("channels", name), name, settings, settings, found, facts)
    for team, own in found.get("teams", {}).items():
        for name, settings in own.items():
            yield from _channel_problems(
                ("teams", team, name), name, settings, base.get(name, {}) | settings, found, facts
            )
    if (settings := found.get("watchdog")) is not None:
        yield from _channel_problems(("watchdog",), "webhook", settings, settings, found, facts)
    configured = {*base, *(name for own in found.get("teams", {}).values() for name in own)}
    defaults = facts.config["alertmanager"]["audiences"]
    for audience, names in found.get("audiences", {}).items():
        if names and names != defaults[audience] and not configured.intersection(names):
            text = f"reaches nobody, for none of {', '.join(names)} is set; set channels.{names[0]}"
            yield Finding(("audiences", audience), text)


def _channel_problems(
    place: Place, name: str, own: Mapping[str, Any], merged: Mapping[str, Any], found: Mapping[str, Any], facts: Facts
) -> Iterator[Finding]:
    """What is wrong with a channel: `own` is written here, `merged` with what it is laid over."""
    for keys in facts.required[name]:
        if not any(key in merged for key in keys):
            where = f"; set it here or in channels.{name}" if place[0] == "teams" else ""
            yield Finding(place, f"{' or '.join(keys)} is missing{where}")
    version = found.get("alertmanager_version") or facts.config["alertmanager"]["version"]
    for key in own:
        first = facts.since.get(f"{name}.{key}", "0.0")
        if _number(first) > _number(version):
            text = f"needs Alertmanager {first}; set alertmanager_version to the version that you run (it is {version})"
            yield Finding((*place, key), text)


def _number(version: str) -> int:
    return int(version.partition(".")[2])


_MATCHED = {"freshness": ("dataset", "organization")}
"""Service level -> labels of its series, where they are not those of a probe."""
_OF_PROBES = ("target", "module", "model", "endpoint")


def _lists(found: Mapping[str, Any]) -> Iterator[Finding]:
    for level, settings in found.get("slo", {}).items():
        for name in ("objectives", "bounds"):
            if isinstance(settings, dict) and name in settings:
                yield from _first_match(("slo", level, name), settings[name], _MATCHED.get(level, _OF_PROBES))
    for index, name in enumerate(found.get("disabled_alerts", ())):
        if name in found.get("severities", {}):
            yield Finding(
                ("severities", name),
                "is disabled; remove it here or from disabled_alerts",
                None,
                ("disabled_alerts", index),
            )
    if found.get("slo", {}).get("burn") == []:
        yield Finding(("slo", "burn"), "has no entry; give one or remove the list")


def _first_match(place: Place, entries: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Iterator[Finding]:
    if not entries:
        yield Finding(place, "has no entry; give at least one without match, or remove the list")
        return
    for index, entry in enumerate(entries):
        for label in entry.get("match", {}):
            if label not in labels:
                yield Finding((*place, index, "match", label), unknown_key(label, labels))
        if not entry.get("match") and index < len(entries) - 1:
            text = "has no match and so applies to all that is left: no entry after it counts; move it to the end"
            yield Finding((*place, index), text)
    if all(entry.get("match") for entry in entries):
        text = (
            "the last entry must have no match, so that every series has a value; add one, such as - {objective: 99.5%}"
        )
        yield Finding(
            (*place, len(entries) - 1), text.replace("objective: 99.5%", "bound: 5s") if place[-1] == "bounds" else text
        )


_WEEK = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_YEAR = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip


def _times(found: Mapping[str, Any]) -> Iterator[Finding]:
    if found.get("business_hours") == []:
        yield Finding(
            ("business_hours",), "has no entry, so cost alerts would never be sent; give one or remove the key"
        )
    for name in ("business_hours", "quiet_times"):
        for index, interval in enumerate(found.get(name, ())):
            for key, values in interval.items():
                for number, value in enumerate(values if isinstance(values, list) else ()):
                    place = (name, index, key, number)
                    start, end = (
                        (value["start_time"], value["end_time"]) if key == "times" else value.partition(":")[::2]
                    )
                    if end and _order(key, start) > _order(key, end) - (key == "times"):
                        text = f"{start} is not before {end}; write two entries for what goes round"
                        yield Finding(place, text)


_AT_MOST: Mapping[Place, Place] = {
    ("thresholds", "budget", "half"): ("thresholds", "budget", "full"),
    ("thresholds", "credit", "page_days"): ("thresholds", "credit", "days"),
    ("thresholds", "key_spike", "min_usd"): ("thresholds", "key_spike", "page", "min_usd"),
    ("thresholds", "key_spike", "factor"): ("thresholds", "key_spike", "page", "factor"),
    ("anomaly", "min_days"): ("anomaly", "days"),
}
"""Setting -> the one that it must not exceed."""


def _orders(found: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    for low, high in _AT_MOST.items():
        lower, upper = (_value(found, facts.config, place) for place in (low, high))
        if lower[0] > upper[0]:
            if lower[1]:
                yield Finding(low, f"must not exceed {'.'.join(map(str, high))}, which is {upper[0]:g}", lower[0])
            else:
                yield Finding(high, f"must not be below {'.'.join(map(str, low))}, which is {lower[0]:g}", upper[0])


def _value(found: Any, defaults: Any, place: Place) -> tuple[float, bool]:
    """A setting, and whether it is given rather than the default."""
    for key in place:
        found = found.get(key, {}) if isinstance(found, dict) else found
        defaults = {_snake(name): value for name, value in defaults.items()}[str(key)]
    return (defaults, False) if found == {} else (found, True)


def _order(key: str, value: str) -> int:
    if key in ("weekdays", "months") and value.isalpha():
        return _WEEK.index(value) if key == "weekdays" else _YEAR.index(value) + 1
    number = int(value.replace(":", ""))
    # As Alertmanager counts days from the end: a month has 28 for certain.
    return number + 28 if key == "days_of_month" and number < 0 else number


# To and from the mixin's `_config`.


def _at(data: Any, path: Place) -> Any:
    for part in path:
        data = data[part]
    return data


def _config(found: Mapping[str, Any], links: Mapping[str, str], facts: Facts) -> dict[str, Any]:
    """What the settings change of `_config`."""
    config: dict[str, Any] = {}
    for key, value in found.items():
        *holders, last = map(str, _PATHS[key])
        target = config
        for name in holders:
            target = target.setdefault(name, {})
        if key in _JOINED:
            target[last] = _SPECIAL.sub(".", _JOINED[key].join(value))
        else:
            target[last] = _camel(value, _at(facts.config, _PATHS[key]))
    for name, path in (("grafana", "grafanaUrl"), ("runbooks", "runbookUrlPattern"), ("exporter", "exporterUrl")):
        if name in links:
            config[path] = links[name]
    return config


def _camel(value: Any, default: Any) -> Any:
    """A setting with its keys as `_config` spells them."""
    if isinstance(value, list) and isinstance(default, list):
        merged = {key: each for entry in default if isinstance(entry, dict) for key, each in entry.items()}
        return [_camel(each, merged) for each in value]
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    names = {_snake(name): name for name in default}
    return {names.get(key, key): _camel(each, default.get(names.get(key, key))) for key, each in value.items()}


_LEAD = re.compile(
    r"(?:_config: )?(?:alertmanager: )?(?P<path>[A-Za-z_]\w*(?:\.\w+|\[\d+\])*)(?=[,: ])"
    r"(?:, objective (?P<objective>[\d.]+),.*?(?=: ))?"
)
_CAMEL = re.compile(r"\b[a-z]+(?:[A-Z][a-z]+)+\b")


def located(message: str, settings: Settings) -> list[Problem]:
    """The sentences with which the mixin refuses settings, each once and at its place in the file."""
    inverse = {path[-1]: key for key, path in _PATHS.items()}
    problems: dict[tuple[Place, str], Problem] = {}
    for line in message.splitlines():
        match = _LEAD.match(line)
        parts = re.findall(r"\w+", match["path"]) if match else []
        place: Place = tuple(int(part) if part.isdigit() else _snake(part) for part in parts)
        if parts and parts[0] in inverse:
            place = (inverse[parts[0]], *place[1:])
        known = bool(place) and place[0] in _PATHS
        rest = line[match.end() :].lstrip(",: ") if match and known else line
        text = _CAMEL.sub(lambda found: inverse.get(found[0], _snake(found[0])), rest)
        if match and match["objective"] and known:
            place, text = _of_windows(place, match["objective"], text, settings)
        problems.setdefault((place, text), settings.document.problem(place if known else (), text))
    return list(problems.values())


def _of_windows(place: Place, objective: str, text: str, settings: Settings) -> tuple[Place, str]:
    """Where a setting stands that does not go with the windows of an objective, and what is said of it there."""
    for path in (("probe_interval",), ("retention",), ("slo", "period")):
        if path[-1] in text and settings.value(path):
            return path, text
    entries = settings.config.get("slo", {}).get(place[-1], {}).get("objectives", ())
    index = next((index for index, entry in enumerate(entries) if f"{entry['objective']:g}" == objective), None)
    if index is not None and "objective" in text:
        return (*place, "objectives", index, "objective"), f"{objective}: {text}"
    return (("slo", "burn") if settings.value(("slo", "burn")) else place), text

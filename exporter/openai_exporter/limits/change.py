# SPDX-License-Identifier: Apache-2.0
"""From what is set to what is wanted: the limits file, and the changes that it asks for in a safe order."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from openai_exporter.config import base
from openai_exporter.config.document import Document, Finding, Place
from openai_exporter.config.schema import Shape
from openai_exporter.errors import ConfigError, Problem, StartError
from openai_exporter.files import read_text
from openai_exporter.limits.setting import (
    RATES,
    WHOLE,
    RateLimit,
    Settings,
    SpendAlert,
    Value,
    base as path_of,
    find_project,
)
from openai_exporter.report.documents import UNKNOWN
from openai_exporter.usage.names import Project

What = Literal["spend_limit", "spend_alert", "rate_limit"]
_WORDS: Mapping[str, str] = {field: name.replace("_", " ") for name, field in RATES.items()}
"""The API's rate limits in words."""
FLOOR = 1
"""Requests and tokens a minute that `freeze` leaves: the official description has no lower one that is safe to send."""


@dataclass(frozen=True, slots=True)
class Change:
    """One call that changes one setting.

    Attributes:
        project_id: empty for the organization.
        project: its name.
        target: id of the spend alert (empty for a new one) or of the rate limit.
        label: what a person calls it: a model, or nothing.
        old: what is set before; None where nothing is.
        new: what is to be set; None removes it.
    """

    project_id: str
    project: str
    what: What
    target: str
    label: str
    old: Value | None
    new: Value | None

    @property
    def scope(self) -> str:
        """Such as `project Search`."""
        return f"project {self.project}" if self.project_id else "organization"

    @property
    def title(self) -> str:
        """Such as `project Search: gpt-6-luna`."""
        return f"{self.scope}: {self.label}" if self.label else self.scope

    @property
    def request(self) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body of the call."""
        path = f"{path_of(self.project_id)}/{self.what}"
        if self.what == "rate_limit":
            return "POST", f"{path}s/{self.target}", dict(self.new or {})
        if self.what == "spend_alert":
            path = f"{path}s/{self.target}" if self.target else f"{path}s"
        if self.new is None:
            return "DELETE", path, None
        body = {"threshold_amount": self.new["cents"], "currency": "USD", "interval": "month"}
        if self.what == "spend_alert":
            channel = {"type": "email", "recipients": self.new["recipients"]}
            prefix = self.new["subject_prefix"]
            body["notification_channel"] = channel | ({"subject_prefix": prefix} if prefix is not None else {})
        return "POST", path, body

    @property
    def tightens(self) -> bool:
        """Whether requests may be rejected after it that were not before."""
        if self.what == "spend_alert" or self.new is None:
            return False
        old = self.old or {}
        return any(name not in old or number < old[name] for name, number in self.new.items())

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """What is set, from what, to what, in words."""
        if self.what != "rate_limit":
            yield self.what.replace("_", " "), words(self.old), words(self.new)
            return
        for field, number in (self.new or {}).items():
            yield _WORDS[field], f"{(self.old or {})[field]:,}", f"{number:,}"

    def reversed(self, target: str, value: Value | None) -> "Change":
        """What brings the old value back, where `value` is set now under the id `target`."""
        target = "" if self.what == "spend_alert" and value is None else target
        return replace(self, target=target, old=value, new=self.old)


def words(value: Value | None) -> str:
    """What is set, in words."""
    if value is None:
        return "none"
    if "cents" not in value:
        return ", ".join(f"{UNKNOWN if n is None else f'{n:,}'} {_WORDS[field]}" for field, n in value.items())
    amount = f"${Decimal(value['cents']) / 100:,.2f}"
    if "recipients" not in value:
        return amount
    prefix = value["subject_prefix"]
    return f"{amount} to {', '.join(value['recipients']) or 'nobody'}" + (f", subject '{prefix}'" if prefix else "")


_CENT = Decimal(100)
_MOST_USD = 10**12


def cents(usd: float) -> int:
    """Whole cents of an amount in US dollars.

    Raises:
        ValueError: it is less than a cent, or not a whole number of them.
    """
    amount = Decimal(str(usd)) * _CENT
    if amount != int(amount) or amount < 1:
        raise ValueError("must be a whole number of cents, at least 0.01 USD")
    return int(amount)


def _in_cents(usd: float) -> float:
    cents(usd)
    return usd


Usd = Annotated[base.Money, Field(le=_MOST_USD), AfterValidator(_in_cents)]
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+")


def _email(address: str) -> str:
    if not _EMAIL.fullmatch(address):
        raise ValueError("must be an e-mail address, such as finance@example.com")
    return address


Email = Annotated[str, AfterValidator(_email)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class WantedAlert(base.Section):
    """A spend alert, known by its amount."""

    at_usd: Usd = Field(description="Month's spend at which OpenAI sends the e-mail, in US dollars.")
    notify: Annotated[tuple[Email, ...], base.LIST, base.DISTINCT] | None = Field(
        None, description="E-mail addresses; when omitted, those of an alert that is there already."
    )
    subject_prefix: Annotated[str, Field(max_length=100)] | None = Field(None, description="Before the subject.")


class WantedRates(base.Section):
    """Rate limits for one model; what is omitted stays as it is."""

    model: base.ModelName = Field(description="Model as the project's rate limits name it; `*` is each of them.")
    requests_per_minute: Count | None = Field(None, description="Requests a minute.")
    tokens_per_minute: Count | None = Field(None, description="Input and output tokens a minute.")
    images_per_minute: Count | None = Field(None, description="Images a minute.")
    audio_megabytes_per_minute: Count | None = Field(None, description="Megabytes of audio a minute.")
    requests_per_day: Count | None = Field(None, description="Requests a day.")
    batch_input_tokens_per_day: Count | None = Field(None, description="Input tokens of the Batch API a day.")

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if all(getattr(self, name) is None for name in RATES):
            raise ValueError(f"gives no limit; give one of {', '.join(RATES)}")
        return self


class Wanted(base.Section):
    """The limits of the organization, of a project, or of each project; what is omitted stays as it is."""

    project: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Name or id; the organization itself when omitted."
    )
    each: Literal["project_id"] | None = Field(None, description="Every active project that has no entry of its own.")
    spend_limit_usd: Usd | None = Field(None, description="US dollars a month; null removes the limit.")
    spend_alerts: Annotated[tuple[WantedAlert, ...], Field(strict=False)] = Field(
        (), description="Alerts that must be there; others stay."
    )
    rate_limits: Annotated[tuple[WantedRates, ...], Field(strict=False)] = Field(
        (), description="Rate limits of models; others stay."
    )

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        for name in {"project", "each"} & self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is empty (null); give a value, or remove the key for the organization")
        if self.project is not None and self.each is not None:
            raise ValueError("gives project and each; keep one of them")
        if self.rate_limits and self.project is None and self.each is None:
            raise ValueError("gives rate_limits for the organization; the API sets them for projects: give project")
        if not self.model_fields_set - {"project", "each"}:
            raise ValueError("gives no limit; give spend_limit_usd, spend_alerts or rate_limits")
        return self


class LimitsFile(base.Section):
    """A file of wanted limits."""

    organization: str | None = Field(None, description="Name in the configuration; may be omitted when there is one.")
    limits: Annotated[tuple[Wanted, ...], Field(strict=False, min_length=1)]


@cache
def _shape() -> Shape:
    return Shape(LimitsFile.model_json_schema())


def wanted(options: Mapping[str, Any]) -> Wanted:
    """The limits of one project, or of the organization, from the options of a command.

    Raises:
        ValueError: what is wrong with one of them.
    """
    document = Document(yaml.safe_dump({"limits": [options]}), "")
    try:
        return LimitsFile.model_validate(document.data).limits[0]
    except ValidationError as error:
        path, message = next(iter(_shape().mistakes(error, document).items()))
        raise ValueError(f"{next(name for name in reversed(path) if isinstance(name, str))}: {message}") from None


_EXAMPLE = "start with `limits:` and a list, such as `- {project: my-project, spend_limit_usd: 500}`"


def load_limits(path: Path) -> tuple[LimitsFile, Document]:
    """The file of wanted limits, and where its parts stand.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    document = Document(read_text(path, "a file of limits"), str(path))
    if not isinstance(document.data, dict) or not document.data:
        raise ConfigError([Problem(str(path), f"is no file of limits; {_EXAMPLE}")])
    try:
        file = LimitsFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(_shape().problems(error, document)) from None
    if twice := document.problems(_twice(file)):
        raise ConfigError(twice)
    return file, document


def _twice(file: LimitsFile) -> Iterator[Finding]:
    """Entries for one scope, and rate limits for one model, that an earlier one is for."""
    lists: dict[Place, list[Any]] = {("limits",): [(wanted.project, wanted.each) for wanted in file.limits]}
    for index, wanted in enumerate(file.limits):
        lists["limits", index, "rate_limits"] = [rates.model for rates in wanted.rate_limits]
    for place, keys in lists.items():
        for later, first in base.repeated(keys):
            yield Finding((*place, later), "is there twice; join the entries", first=(*place, first))


def by_project(
    wanted: Sequence[Wanted], document: Document, projects: tuple[Project, ...]
) -> dict[str, tuple[Project, Wanted]]:
    """What is wanted of each project, and of the organization under the empty id.

    Raises:
        ConfigError: projects are unknown, or named twice.
    """
    found: dict[str, tuple[Project, Wanted]] = {}
    problems = []
    for index, entry in enumerate(wanted):
        if entry.each is not None:
            continue
        try:
            project = find_project(projects, entry.project) if entry.project else WHOLE
            if project.id in found:
                raise StartError(f"project {project.name} ({project.id}) has two entries; join them")
            found[project.id] = project, entry
        except StartError as error:
            problems.append(document.problem(("limits", index, "project"), str(error)))
    if problems:
        raise ConfigError(problems)
    for entry in wanted:
        if entry.each is not None:
            found = {one.id: (one, entry) for one in projects if one.status == "active"} | found
    return found


def changes(settings: Settings, wanted: Wanted) -> Iterator[Change]:
    """What must be changed so that `wanted` holds; nothing where it does.

    Raises:
        StartError: the project has no rate limit for a model, or an alert has nobody to notify.
    """
    if "spend_limit_usd" in wanted.model_fields_set:
        yield from _limit(settings, None if wanted.spend_limit_usd is None else cents(wanted.spend_limit_usd))
    yield from _alerts(settings, wanted.spend_alerts)
    explicit = {rates.model for rates in wanted.rate_limits}
    for rates in wanted.rate_limits:
        new = {RATES[name]: n for name, n in rates.model_dump(exclude={"model"}, exclude_none=True).items()}
        if rates.model == "*":  # it skips what a model has no limit on
            for rate in settings.rates:
                yield from _rate(settings, rate, new if rate.model not in explicit else {})
            continue
        rate = settings.rate(rates.model)
        if unknown := [_WORDS[field] for field in new if field not in rate.limits]:
            raise StartError(f"project {settings.name}: the API has no limit of {rate.model} on {', '.join(unknown)}")
        yield from _rate(settings, rate, new)


def _change(
    settings: Settings, what: What, old: Value | None, new: Value | None, target: str = "", label: str = ""
) -> Change:
    return Change(settings.project_id, settings.name, what, target, label, old, new)


def _limit(settings: Settings, wanted: int | None) -> Iterator[Change]:
    """To that spend limit in cents; None for none."""
    old, new = (None if amount is None else {"cents": amount} for amount in (settings.spend_limit, wanted))
    if old != new:
        yield _change(settings, "spend_limit", old, new)


def _rate(settings: Settings, rate: RateLimit, wanted: Mapping[str, int]) -> Iterator[Change]:
    """To those limits of a model, by one call."""
    new = {field: n for field, n in wanted.items() if rate.limits.get(field, n) != n}
    if new:
        yield _change(settings, "rate_limit", {field: rate.limits[field] for field in new}, new, rate.id, rate.model)


def _alerts(settings: Settings, wanted: Sequence[WantedAlert]) -> Iterator[Change]:
    """To those alerts; one of the same amount that nobody wants becomes the new one."""
    news = [_alert(settings, alert) for alert in wanted]
    spare = [alert for alert in settings.alerts if alert.value not in news]
    for place, new in enumerate(news):
        if new in news[:place] or any(alert.value == new for alert in settings.alerts):
            continue
        if not new["recipients"]:
            scope = settings.name or "organization"
            usd = wanted[place].at_usd
            raise StartError(f"{scope}: the alert at {usd:g} USD has nobody to notify; give an e-mail address")
        there = next((alert for alert in spare if alert.cents == new["cents"]), None)
        if there is None:
            yield _change(settings, "spend_alert", None, new)
        else:
            spare.remove(there)
            yield _change(settings, "spend_alert", there.value, new, there.id)


def _alert(settings: Settings, wanted: WantedAlert) -> Value:
    """What is stated, and for the rest what an alert of this amount, or the first one, has."""
    amount = cents(wanted.at_usd)
    none = SpendAlert("", 0, settings.alerts[0].recipients if settings.alerts else ())
    there = next((alert for alert in settings.alerts if alert.cents == amount), none)
    notify = there.recipients if wanted.notify is None else wanted.notify
    prefix = there.subject_prefix if wanted.subject_prefix is None else wanted.subject_prefix or None
    return SpendAlert("", amount, notify, prefix).value


def cleared(settings: Settings, *, spend_limit: bool, alerts: Sequence[int]) -> Iterator[Change]:
    """What removes the spend limit, and the alerts at those amounts in cents.

    Raises:
        StartError: there is no alert at an amount.
    """
    for amount in alerts:
        named = [alert for alert in settings.alerts if alert.cents == amount]
        if not named:
            have = ", ".join(f"{alert.cents / 100:g}" for alert in settings.alerts) or "none"
            raise StartError(f"no spend alert is at {amount / 100:g} USD; there are: {have}")
        for alert in named:
            yield _change(settings, "spend_alert", alert.value, None, alert.id)
    if spend_limit:
        yield from _limit(settings, None)


def frozen(settings: Settings, spent: Decimal | None, busy: Sequence[str]) -> Iterator[Change]:
    """What stops a project: the lowest spend limit above what is spent, rate limits at the floor.

    Args:
        spent: US dollars of this month; None where that is unknown, and the spend limit stays.
        busy: models in use, those that cost most first: their rate limits are changed first.
    """
    lowest = None if spent is None else max(1, int(spent * _CENT) + 1)
    if lowest is not None and (settings.spend_limit is None or settings.spend_limit > lowest):
        yield from _limit(settings, lowest)
    rank = {model: place for place, model in enumerate(busy)}
    for rate in sorted(settings.rates, key=lambda rate: rank.get(rate.model, len(rank))):
        yield from _rate(settings, rate, {field: min(limit, FLOOR) for field, limit in rate.limits.items()})


def ordered(changes: Iterable[Change]) -> list[Change]:
    """Alerts, which reject nothing; then what allows more; then what allows less.

    A plan that stops half-way so rejects no request that both the old and the new limits allow.
    """
    return sorted(changes, key=lambda change: (change.what != "spend_alert", change.tightens))

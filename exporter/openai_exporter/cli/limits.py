# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter limits`: show, change, plan, freeze and undo what is set at the API."""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import click
import yaml
from click.core import ParameterSource
from pydantic import ValidationError

from openai_exporter.cli import common
from openai_exporter.cli.report import open_source
from openai_exporter.client.organization import HEADER, Params
from openai_exporter.config import mask_keys
from openai_exporter.config.base import Section
from openai_exporter.config.document import Document
from openai_exporter.config.secret import Credential, credential, printable
from openai_exporter.errors import StartError, UpstreamError
from openai_exporter.limits import change as changing
from openai_exporter.limits.apply import OF_THIS_ALONE, SCOPE, Applier, Outcome, WritingClient, undone
from openai_exporter.limits.change import Change, LimitsFile, WantedAlert, WantedRates, words
from openai_exporter.limits.journal import Entry, Journal
from openai_exporter.limits.pace import WEEK, Peaks, Spend, busy_models, consequence, read_peaks, read_spend
from openai_exporter.limits.setting import RATES, WHOLE, RateLimit, Reader, Settings, find_project
from openai_exporter.model import Answer
from openai_exporter.report.documents import UNKNOWN, Grid, TextTable, dollars, percent
from openai_exporter.report.source import Source, organization_flag
from openai_exporter.usage.ledger import HOUR
from openai_exporter.usage.limits import API
from openai_exporter.usage.names import Project

WRITE_KEY = "OPENAI_ADMIN_KEY_WRITE"
_READ_KEY = "OPENAI_ADMIN_KEY"
_AMOUNT = re.compile(r"\$?(\d{1,3}(?:,\d{3})+|\d{1,12})(\.\d{1,2})?(?:\s*USD)?", re.IGNORECASE)
_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Usd(click.ParamType):  # type: ignore[type-arg]
    """An amount: `500`, `$1,000.50` or `500 USD`."""

    name = "USD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _AMOUNT.fullmatch(str(value).strip())
        amount = float((match[1] + (match[2] or "")).replace(",", "")) if match else 0.0
        if amount < 0.01:
            self.fail(f"{value!r} is not an amount in US dollars, such as 500 or 49.99", param, ctx)
        return amount


_USD = _Usd()
_currency = click.argument(
    "currency", required=False, type=click.Choice(["USD"], case_sensitive=False), metavar="[USD]", expose_value=False
)


def _not_empty(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A shell variable that is not set must not become the organization."""
    if value is not None and not value.strip():
        raise click.BadParameter("is empty; give the name or id of a project")
    return value


_project = click.option(
    "--project", metavar="P", callback=_not_empty, help="Name or id of a project; the organization when omitted."
)
_apply = click.option("--apply", "apply_", is_flag=True, help="Make the changes; without it they are only shown.")
_yes = click.option("--yes", is_flag=True, help="Do not ask on a terminal before changes are made.")


_file = click.argument(
    "file", type=click.Path(path_type=Path), metavar="FILE",
    callback=lambda context, argument, path: Path("/dev/stdin") if path == Path("-") else path,
)  # fmt: skip


def _shared(command: _Command) -> _Command:
    """The options of every subcommand."""
    for option in (
        common.storage_option("Keeps the journal of changes."),
        click.option(
            "--admin-key-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"Admin key with scope api.management.write; also: environment variable {WRITE_KEY}.",
        ),
        common.config_file_option(f"{_READ_KEY} or {WRITE_KEY} is"),
        click.option(
            "--organization",
            metavar="NAME",
            help="May be omitted when there is one; without a configuration, any name.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def limits() -> None:
    """Show and change what is set at the API: spend limits, spend alerts, rate limits of projects.

    Nothing is changed without --apply. Each change is written to a journal first, and `undo` brings the old values
    back. Changes need an admin key with scope api.management.write, in OPENAI_ADMIN_KEY_WRITE or --admin-key-file;
    the exporter itself never uses that key.

    \b
    In an emergency:
      openai-exporter limits freeze --project Search           # only shows it
      openai-exporter limits freeze --project Search --apply   # stops spend
      openai-exporter limits undo --apply                      # brings it back
    """


@dataclass(frozen=True)
class _Desk:
    """What a subcommand works with.

    Attributes:
        write: where the key that changes limits is read from; None where none is given.
        now: the API's time.
        apply: whether changes are made, not only shown.
        yes: whether they are made without a question.
    """

    source: Source
    write: Credential | None
    storage: Path | None
    now: float
    apply: bool
    yes: bool

    @property
    def organization(self) -> str:
        """Name of the organization in the configuration."""
        return self.source.organization.name

    @property
    def folder(self) -> Path:
        """Where the journal is."""
        if self.storage is None:
            raise StartError("changes need a directory for their journal: set --storage.path")
        return self.storage

    def projects(self) -> tuple[Project, ...]:
        """All projects, archived ones included."""
        return self.source.retry(Reader(self.get).projects)

    def archived(self) -> set[str]:
        """Ids of projects of which nothing can be changed, as far as they can be listed."""
        try:
            return {one.id for one in self.projects() if one.status != "active"}
        except UpstreamError:
            return set()

    def settings(self, project: str | None) -> Settings:
        """What is set for a project by name or id, or for the organization; an id needs no list of projects."""
        if project is None:
            return self.of(WHOLE)
        try:
            return self.of(find_project(self.projects(), project))
        except UpstreamError as error:
            if not project.startswith("proj_"):
                raise
            _say(f"projects cannot be listed, so {project} is taken for an id: {error}")
            return self.of(Project(project, "", "active"))

    def of(self, project: Project) -> Settings:
        """What is set for a project."""
        return self.source.retry(lambda: Reader(self.get).settings(project.id, project.name or project.id))

    def get(self, path: str, params: Params) -> Answer:
        """Read one page."""
        return self.source.calls.get(path, params, api=API)

    @cached_property
    def spend(self) -> Spend | None:
        """What is spent; None, and a line on standard error, where it could not be read: limits can be set anyway."""
        return self._known(lambda: read_spend(self.source, self.now))

    def peaks(self, changes: Sequence[Change]) -> Peaks | None:
        """The last hour's peaks where rate limits change; None as for `spend`."""
        models: dict[str, list[str]] = {}
        for change in changes:
            if change.what == "rate_limit":
                models.setdefault(change.project_id, []).append(change.label)
        return self._known(lambda: read_peaks(self.source, models, HOUR)) if models else {}

    def _known(self, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except UpstreamError as error:
            _say(f"what this means at the current run rate is unknown: {error}")
            return None


@contextmanager
def _desk(
    organization: str | None,
    config_file: Path | None,
    admin_key_file: Path | None,
    storage: Path | None,
    apply_: bool = False,
    yes: bool = False,
    of_file: str | None = None,
) -> Iterator[_Desk]:
    if organization and of_file not in (None, organization):
        raise StartError(f"the file is for organization {of_file}, not {organization}; omit --organization")
    env, write = dict(os.environ), None
    if admin_key_file is not None:
        write = Credential(f"--admin-key-file {admin_key_file}", str(admin_key_file), admin_key_file)
    elif env.get(WRITE_KEY, "").strip():
        write = credential(None, WRITE_KEY, env, Path())
    if write is not None and config_file is None and not env.get(_READ_KEY, "").strip():
        env[_READ_KEY] = write.read().reveal()  # what may write may read
    if config_file is None and organization:  # as the exporter's configuration names it, in an alert's command
        _say(f"no configuration is given: organization {organization} is that of the key")
        organization = of_file = None
    with open_source(config_file, organization or of_file, env, _say) as source:
        try:
            now = source.learn_time()
        except UpstreamError as error:
            if error.status in (None, 401):
                raise
            _say(f"the API's time could not be read, so this machine's is used: {error}")
            now = source.context.clock.now()
        yield _Desk(source, write, storage, now, apply_, yes)


def _say(text: str) -> None:
    click.echo(printable(mask_keys(text)), err=True)


@limits.command()
@_project
@click.option("--format", "form", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
@_shared
def show(project: str | None, form: str, **options: Any) -> None:
    """Show limits compared with usage: spend limits and alerts, rate limits and last week's peak.

    \b
    --format yaml writes the file that `plan` and `apply` read:
      openai-exporter limits show --format yaml > limits.yml
    """
    with common.exit_on_error(), _desk(**options) as desk:
        if project is not None:
            shown = [desk.settings(project)]
        else:
            shown = [desk.of(one) for one in (WHOLE, *desk.projects()) if one.status == "active"]
        if form == "yaml":
            click.echo(yaml.safe_dump(_as_file(shown, project), sort_keys=False, allow_unicode=True), nl=False)
            return
        spend = read_spend(desk.source, desk.now)
        peaks = read_peaks(desk.source, {one.project_id: [rate.model for rate in one.rates] for one in shown}, WEEK)
        if form == "json":
            click.echo(json.dumps([_as_json(one, spend, peaks) for one in shown], indent=2))
            return
        _print_tables(shown, spend, peaks, whole=project is not None)
        if desk.storage is not None and (waiting := Journal.read(desk.storage).open(desk.organization)):
            _say(f"{len(waiting)} changes have no known result; `limits undo` finds it out, without changing anything")


def _print_tables(shown: Sequence[Settings], spend: Spend, peaks: Peaks, *, whole: bool) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None
    money = TextTable(
        "Spend limits (USD a month)",
        ("", "Limit", "Spent", "Used", "Enforced", "Alerts at"),
        tuple(_money_row(one, spend) for one in shown),
    )
    rates = tuple(
        (f"{one.name}: {rate.model}", *_rate_row(rate, peaks.get((one.project_id, rate.model))))
        for one in shown
        for rate in one.rates
        if whole or (one.project_id, rate.model) in peaks
    )
    heads = ("", "Requests/min", "Peak", "Tokens/min", "Peak")
    title = "Rate limits and last week's peak minute" + ("" if whole else ", of models in use")
    for table in (money, TextTable(title, heads, rates)):
        if table.rows:
            grid = Grid(table, width)
            click.echo("\n".join(map(printable, grid.lines())) + "\n")
            if grid.omitted:
                hidden = ", ".join(grid.omitted)
                _say(f"{width} columns have no room for {hidden}: use a wider terminal or --format json.")


def _money_row(one: Settings, spend: Spend) -> tuple[str, ...]:
    spent = spend.of_month(one.project_id)
    limit = None if one.spend_limit is None else Decimal(one.spend_limit) / 100
    alerts = ", ".join(dollars(Decimal(alert.cents) / 100) for alert in one.alerts) or "none"
    return (
        one.name or "(organization)",
        "none" if limit is None else dollars(limit),
        dollars(spent),
        percent(float(spent / limit)) if limit else UNKNOWN,
        "yes" if one.enforcing else "no",
        alerts,
    )


def _rate_row(rate: RateLimit, peak: tuple[int, int] | None) -> Iterator[str]:
    for place, name in enumerate(("requests_per_minute", "tokens_per_minute")):
        limit = rate.limits.get(RATES[name])
        yield UNKNOWN if limit is None else f"{limit:,}"
        yield UNKNOWN if peak is None else f"{peak[place]:,}"


def _as_file(shown: Sequence[Settings], project: str | None) -> dict[str, Any]:
    """What the file of limits can state; what it cannot is omitted, which leaves it as it is.

    Args:
        project: the name or id that was asked for, which is known to be one project's.
    """
    names, entries = Counter(one.name for one in shown), []
    for one in shown:
        entry = _entry(one)
        for name, section in (("spend_alerts", WantedAlert), ("rate_limits", WantedRates)):
            stated = [each for each in entry.pop(name) if _is_valid(section, each)]
            if len(stated) < len(one.alerts if section is WantedAlert else one.rates):
                _say(f"{one.name or 'organization'}: {name} that a file of limits cannot state are omitted")
            entry |= {name: stated} if stated else {}
        unique = project or (one.name if names[one.name] == 1 else one.project_id)
        entries.append({"project": unique, **entry} if one.project_id else entry)
    return {"limits": entries}


def _is_valid(section: type[Section], entry: Mapping[str, Any]) -> bool:
    try:
        section.model_validate(entry)
    except ValidationError:
        return False
    return True


def _entry(one: Settings) -> dict[str, Any]:
    ours = {field: name for name, field in RATES.items()}
    return {
        "spend_limit_usd": None if one.spend_limit is None else _usd(one.spend_limit),
        "spend_alerts": [
            {"at_usd": _usd(alert.cents), "notify": [*alert.recipients]}
            | ({} if alert.subject_prefix is None else {"subject_prefix": alert.subject_prefix})
            for alert in one.alerts
        ],
        "rate_limits": [
            {"model": rate.model, **{ours[field]: n for field, n in rate.limits.items()}} for rate in one.rates
        ],
    }


def _usd(cents: int) -> int | float:
    return cents // 100 if cents % 100 == 0 else cents / 100


def _as_json(one: Settings, spend: Spend, peaks: Peaks) -> dict[str, Any]:
    entry = {name: value for name, value in _entry(one).items() if value != []}
    for rate in entry.get("rate_limits", []):
        peak = peaks.get((one.project_id, rate["model"]))
        rate["peak_requests_per_minute"], rate["peak_tokens_per_minute"] = peak or (None, None)
    return {
        "project_id": one.project_id or None,
        "name": one.name or None,
        **entry,
        "enforcing": one.enforcing,
        "spent_usd": float(spend.of_month(one.project_id)),
        "usd_per_hour": float(spend.an_hour(one.project_id)),
    }


@limits.command("set")
@_project
@click.option("--spend-limit", type=_USD, metavar="USD", help="US dollars a month, such as 500 or 500 USD.")
@click.option(
    "--spend-alert", type=_USD, multiple=True, metavar="USD", help="Send an e-mail at this spend; repeatable."
)
@click.option("--notify", multiple=True, metavar="EMAIL", help="Whom; default is whom another alert there notifies.")
@click.option("--model", metavar="M", help="Model of the rate limits; `*` is each of the project.")
@click.option("--requests-per-minute", type=click.IntRange(0), metavar="N", help="Rate limit of --model.")
@click.option("--tokens-per-minute", type=click.IntRange(0), metavar="N", help="Rate limit of --model.")
@_currency
@_apply
@_yes
@_shared
def set_(
    project: str | None,
    spend_limit: float | None,
    spend_alert: tuple[float, ...],
    notify: tuple[str, ...],
    model: str | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    **options: Any,
) -> None:
    """Set limits of the organization or of a project: shows from what to what, and what that means now.

    \b
    Examples:
      openai-exporter limits set --project Search --spend-limit 500 USD
      openai-exporter limits set --spend-alert 4000 --notify a@example.com --apply
      openai-exporter limits set --project Search --model gpt-6-luna \\
          --requests-per-minute 100 --apply
    """
    rates = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    given = {name: n for name, n in rates.items() if n is not None}
    if bool(given) != (model is not None):
        raise click.UsageError("--model needs --requests-per-minute or --tokens-per-minute, and these need --model")
    if given and project is None:
        raise click.UsageError("rate limits are set for projects; give --project")
    wanted = {
        "spend_limit_usd": spend_limit,
        "spend_alerts": [{"at_usd": usd, "notify": [*notify] or None} for usd in spend_alert],
        "rate_limits": [{"model": model, **given}] if given else [],
    }
    wanted = {name: value for name, value in wanted.items() if value}
    if not wanted:
        raise click.UsageError("nothing to set; give --spend-limit, --spend-alert, or --model with a rate limit")
    try:
        entry = changing.wanted(wanted if project is None else {"project": project, **wanted})
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with common.exit_on_error(), _desk(**options) as desk:
        _propose(desk, [*changing.changes(desk.settings(project), entry)], "set")


@limits.command()
@_project
@click.option("--spend-limit", is_flag=True, help="Remove the spend limit.")
@click.option(
    "--spend-alert", type=_USD, multiple=True, metavar="USD", help="Remove the alert at this spend; repeatable."
)
@_currency
@_apply
@_yes
@_shared
def clear(project: str | None, spend_limit: bool, spend_alert: tuple[float, ...], **options: Any) -> None:
    """Remove the spend limit or spend alerts. (Rate limits cannot be removed; set them.)

    \b
    Example:
      openai-exporter limits clear --project Search --spend-limit --apply
    """
    if not spend_limit and not spend_alert:
        raise click.UsageError("nothing to remove; give --spend-limit or --spend-alert")
    with common.exit_on_error(), _desk(**options) as desk:
        alerts = [changing.cents(usd) for usd in spend_alert]
        _propose(desk, [*changing.cleared(desk.settings(project), spend_limit=spend_limit, alerts=alerts)], "clear")


@limits.command()
@click.option("--project", metavar="P", required=True, callback=_not_empty, help="Name or id of the project.")
@_apply
@_yes
@_shared
def freeze(project: str, **options: Any) -> None:
    """Stop a project's spend: a spend limit just above what is spent, and one request a minute for each model.

    Rate limits hold at once, those of the models that cost most first; OpenAI enforces spend limits some minutes
    later. `undo` brings everything back.
    """
    with common.exit_on_error(), _desk(**options) as desk:
        settings, spend = desk.settings(project), desk.spend
        busy = busy_models(spend or Spend(), settings.project_id, [rate.model for rate in settings.rates])
        spent = None if spend is None else spend.of_month(settings.project_id)
        if spent is None:
            _say("the spend limit is left as it is, as the spend is unknown; rate limits can be changed")
        _propose(desk, [*changing.frozen(settings, spent, busy)], "freeze")


@limits.command()
@_file
@click.option("--check", is_flag=True, help="Exit with status 1 when something differs, for CI.")
@_shared
def plan(file: Path, check: bool, **options: Any) -> None:
    """Show what FILE would change. Nothing that the file does not name is touched.

    \b
    FILE, which `show --format yaml` writes a first one of:
      limits:
        - spend_limit_usd: 5000              # the organization
          spend_alerts: [{at_usd: 4000, notify: [finance@example.com]}]
        - project: Search                    # name or id
          spend_limit_usd: 500               # null removes it
          rate_limits: [{model: gpt-6-luna, requests_per_minute: 100}]
        - each: project_id                   # every other active project
          spend_limit_usd: 200
    """
    with common.exit_on_error():
        wanted, document = changing.load_limits(file)
        with _desk(**options, of_file=wanted.organization) as desk:
            changes = _planned(desk, wanted, document)
            _propose(desk, changes, "plan")
            if changes and check:
                sys.exit(common.FAILED)


@limits.command()
@_file
@_yes
@_shared
def apply(file: Path, yes: bool, **options: Any) -> None:
    """Make the changes that `plan FILE` shows: alerts first, then what allows more, then what allows less.

    It shows them and asks; without a terminal it needs --yes. It stops at the first failure and says what was done.
    """
    with common.exit_on_error():
        wanted, document = changing.load_limits(file)
        with _desk(**options, of_file=wanted.organization, apply_=yes or sys.stdin.isatty(), yes=yes) as desk:
            changes = _planned(desk, wanted, document)
            _propose(desk, changes, "apply")
            if changes and not desk.apply:
                sys.exit(common.FAILED)


def _planned(desk: _Desk, wanted: LimitsFile, document: Document) -> list[Change]:
    scopes = changing.by_project(wanted.limits, document, desk.projects())
    found = (changing.changes(desk.of(project), entry) for project, entry in scopes.values())
    return changing.ordered(change for changes in found for change in changes)


@limits.command()
@click.argument("batch", type=click.IntRange(1), required=False, metavar="[N]")
@_apply
@_yes
@_shared
def undo(batch: int | None, **options: Any) -> None:
    """Bring back the values before change N of the journal; the last change when N is omitted.

    What somebody changed since then is shown and left as it is. An undo can be undone, too.
    """
    with common.exit_on_error(), _desk(**options) as desk:
        with _settled(desk) as (journal, looking):
            ours = [entry for entry in journal.entries.values() if entry.organization == desk.organization]
            number = batch or max((entry.batch for entry in ours if entry.done), default=0)
            entries = [entry for entry in ours if entry.batch == number]
            if not entries:
                known = ", ".join(str(n) for n in sorted({entry.batch for entry in ours})) or "none"
                lines = ", ".join(map(str, journal.unreadable))
                lost = f"; lines that cannot be read in {journal.path}: {lines}" if lines else ""
                raise StartError(f"no change {number or ''} of {desk.organization} to undo; there are: {known}{lost}")
            archived = desk.archived()
            changes = [change for change in undone(entries) if _still_set(looking, change, archived)]
        _propose(desk, changes, f"undo {number}")


def _still_set(looking: Applier, change: Change, archived: Collection[str]) -> bool:
    """Whether what an undo takes back is still set, and can be; says what is, when not."""
    if change.project_id in archived:
        _say(f"{change.title}: this project is archived: left as it is")
        return False
    try:
        current = looking.current(change)
    except UpstreamError as error:
        if error.status not in OF_THIS_ALONE:
            raise
        _say(f"{change.title}: {error}: left as it is")
        return False
    if current not in (change.old, change.new):
        _say(f"{change.title}: {words(current)} is set now, not {words(change.old)}: left as it is")
    return current == change.old


@limits.command()
@_shared
def journal(organization: str | None, storage: Path | None, **options: Any) -> None:
    """Print every change that was made from this machine: when, by whom, from what to what, with what result."""
    with common.exit_on_error():
        if storage is None:
            raise StartError("the journal is in a directory: set --storage.path")
        for entry in Journal.read(storage).entries.values():
            if organization in (None, entry.organization):
                click.echo(printable(mask_keys(_journal_line(entry))))


def _journal_line(entry: Entry) -> str:
    what = "; ".join(f"{name} {old} -> {new}" for name, old, new in entry.change.lines())
    more = f" ({entry.message})" if entry.message else ""
    request = f" {entry.request_id}" if entry.request_id else ""
    head = f"{entry.batch}.{entry.number} {entry.time} {entry.who} {entry.command}: {entry.organization}"
    return f"{head}: {entry.change.title}: {what}: {entry.result}{request}{more}"


# From changes to their result, with a person in between.


def _propose(desk: _Desk, changes: Sequence[Change], command: str) -> None:
    """Show changes and what they mean; make them where that is asked for.

    Raises:
        StartError: they cannot be made, or not all of them were.
    """
    if not changes:
        why = "everything is set like that already"
        if command.startswith("undo"):
            why = "nothing of this change is left to undo"
        click.echo(f"Nothing to change: {why}.")
        return
    say = _tell if desk.apply else click.echo
    for line in _diff(changes, desk.spend, desk.peaks(changes)):
        say(printable(line))
    these = "this change" if len(changes) == 1 else f"these {len(changes)} changes"
    if not desk.apply:
        how = {"plan": "run `limits apply`", "apply": "add --yes"}.get(command, "add --apply")
        click.echo(f"\nNothing is changed yet. To make {these}, {how}.")
        return
    if desk.write is None:
        how = f"set {WRITE_KEY}, or give --admin-key-file"
        raise StartError(f"changes need an admin key with scope {SCOPE}: {how}; nothing is changed")
    if not desk.yes and sys.stdin.isatty() and not _agreed(f"\nMake {these}?"):
        raise StartError("nothing is changed")
    with _settled(desk) as (journal, _):
        outcome = _make(desk, desk.write, journal, changes, command)
    made = [entry for entry in outcome.entries if entry.done]
    flags = organization_flag(desk.source.config, desk.organization) + _given()
    back = f"; `openai-exporter limits undo {made[0].batch}{flags} --apply` brings the old values back" if made else ""
    count, left = len(changes), len(changes) - len(made)
    if outcome.problem:
        raise StartError(f"{outcome.problem}. {len(made)} of {count} changes are made, {left} are not{back}")
    _tell(f"{len(made)} of {count} changes are made{back}.")


def _given() -> str:
    """The flags of this command that its `undo` needs, too."""
    context = click.get_current_context()
    flags = (("--config.file", "config_file"), ("--storage.path", "storage"), ("--admin-key-file", "admin_key_file"))
    return "".join(
        f" {flag} {quote(str(context.params[name]))}"
        for flag, name in flags
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def _tell(line: str) -> None:
    """Print what belongs to changes that are made: on standard error once nobody reads standard output any more."""
    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.stdout.flush()


def _agreed(question: str) -> bool:
    """The answer to a question; end of input and Ctrl-C are a no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _diff(changes: Sequence[Change], spend: Spend | None, peaks: Peaks | None) -> Iterator[str]:
    """Lines of a diff, under the title of each project, with what each change means."""
    title = None
    for change in changes:
        if change.scope != title:
            title = change.scope
            yield title
        for name, old, new in change.lines():
            yield f"  {f'{change.label}: ' if change.label else ''}{name}: {old} -> {new}"
        if effect := consequence(change, spend, peaks):
            yield f"      {effect}"


@contextmanager
def _settled(desk: _Desk) -> Iterator[tuple[Journal, Applier]]:
    """The journal, after finding out and saying what became of changes that an earlier command did not see the end
    of; and what found it out."""

    def never(method: str, path: str, body: Any) -> Answer:
        raise AssertionError("this one only reads")

    with Journal.held(desk.folder, time.time) as journal:
        looking = Applier(journal, desk.organization, desk.get, never)
        for entry in looking.settle():
            _say(f"an earlier command ended before it knew: {_journal_line(entry)}")
        yield journal, looking


def _make(desk: _Desk, key: Credential, journal: Journal, changes: Sequence[Change], command: str) -> Outcome:
    """Send changes, and say what became of each."""
    organization = desk.source.organization
    client = WritingClient(organization.base_url, key, organization.timeout, desk.source.network)
    identity = desk.source.calls.identity.get(HEADER, "")

    def get(path: str, params: Params) -> Answer:
        answer = client.get(path, params, api=API)
        other = answer.headers.get(HEADER, "")
        if identity and other and other != identity:
            raise StartError(
                f"{key.place}: this key is of organization {other}, but the plan was made for {identity}; "
                "give a key of the same organization"
            )
        return answer

    def told(number: int, entry: Entry) -> None:
        result = "done" if entry.done else entry.result.replace("_", " ")
        request = f" ({entry.request_id})" if entry.request_id else ""
        _tell(printable(f"{number}/{len(changes)} {entry.change.title}: {result}{request}"))

    try:
        client.check()
        with _signals() as stopped:
            applier = Applier(journal, desk.organization, get, client.write, say=told, stopped=stopped)
            return applier.apply(changes, command, skip=command.startswith("undo"))
    finally:
        client.close()


@contextmanager
def _signals() -> Iterator[Callable[[], str]]:
    """The name of the signal that asked to stop, empty before: the change that is being made comes to its end first.

    A second one ends the program at once; but not SIGHUP, which a shell and the kernel both send.
    """
    names: list[str] = []

    def note(number: int, frame: object) -> None:
        names.append(signal.Signals(number).name)
        for each in before.keys() - {signal.SIGHUP}:
            signal.signal(each, before[each])
        with suppress(OSError):  # the terminal is gone
            _say(f"{names[0]}: stops after the change that is being made; again: at once")

    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under `nohup`
        handled.append(signal.SIGHUP)
    main = threading.current_thread() is threading.main_thread()
    before = {each: signal.signal(each, note) for each in handled if main}
    try:
        yield lambda: "".join(names[:1])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

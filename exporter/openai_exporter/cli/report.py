# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter report` and `backfill`: usage and costs of a period, for people, finance and Prometheus."""

import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from openai_exporter.cli.common import config_file_option, exit_on_error, renamed_option
from openai_exporter.config import mask_keys
from openai_exporter.config.base import parse_duration
from openai_exporter.config.secret import printable
from openai_exporter.errors import ExporterError, StartError
from openai_exporter.files import private
from openai_exporter.metrics import CATALOGUE
from openai_exporter.report import data, documents, report as reports
from openai_exporter.report.backfill import Backfill, Request
from openai_exporter.report.source import CallsSpentError, Source, find_organization
from openai_exporter.web.live import Settings, read_config

_RENDERERS = {
    "csv": data.render_csv,
    "json": data.render_json,
    "markdown": documents.render_markdown,
    "html": documents.render_html,
}
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.+)", re.DOTALL)
_BLOCK = "162h"
"""Blocks of up to a week: promtool reads the whole file once per block, at its default of 2 h often."""
_HEAD_SECONDS = 3 * 3600
"""Prometheus holds the last hours in memory; blocks that reach into them would overlap."""

_organization = click.option("--organization", metavar="NAME", help="May be omitted if there is only one.")


@click.command()
@click.option(
    "--period", "span", default="month", show_default=True, metavar="PERIOD", help=f"{reports.ALLOWED} (UTC)."
)
@click.option("--by", type=click.Choice(list(reports.DIMENSIONS)), default="model", show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["table", *_RENDERERS, "focus"]), default="table", show_default=True,
    help="csv: with --output it begins with a byte order mark, so that Excel reads names right. "
    "focus: billed costs in the columns of the FinOps Open Cost and Usage Specification, as CSV.",
)  # fmt: skip
@_organization
@config_file_option("OPENAI_ADMIN_KEY is")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; standard output."
)
def report(
    span: str, by: reports.By, form: str, organization: str | None, config_file: Path | None, output: Path | None
) -> None:
    """Report usage and costs of a period: totals, change against the period before, ratios, movers, forecast.

    \b
    Examples:
      OPENAI_ADMIN_KEY=... openai-exporter report
      openai-exporter report --config.file exporter.yml --by project
      openai-exporter report --period 2026-10 --format html -o october.html
      openai-exporter report --period 2026-10 --format focus -o costs.csv

    \b
    Exit status: 0 when it is made, 1 when not, 2 for a wrong flag.
    """
    console = Console(stderr=True)
    with _wrong_flag():  # before anything is read
        reports.parse_period(span, reports.ANY_TIME)
    with exit_on_error():
        with _progress(console) as progress, _source(config_file, organization, console) as source:
            text = _rendered(source, span, by, form, progress)
        if output is None:
            if isinstance(sys.stdout, TextIOWrapper):  # a terminal without a character, such as a dash, shows another
                sys.stdout.reconfigure(errors="replace")
            click.echo(text, nl=False)
            return
        try:
            # Excel takes a file without the mark for an old 8-bit encoding, and spoils names.
            encoding = "utf-8-sig" if form == "csv" else "utf-8"
            with open(output, "w", encoding=encoding, newline="", opener=private) as file:
                file.write(text)
        except OSError as error:
            problem = f"{output}: cannot be written: {error.strerror}; choose another --output"
            raise StartError(problem) from None


def _rendered(source: Source, span: str, by: reports.By, form: str, progress: Progress) -> str:
    task = progress.add_task("reading usage and costs", total=None)
    now = source.learn_time()
    with _wrong_flag():
        period = reports.parse_period(span, now)
    if form == "focus":
        return data.render_focus(source, period, now)
    made = reports.read_report(
        source, period, by, now, lambda done, total: progress.update(task, completed=done, total=total)
    )
    if form in _RENDERERS:
        return _RENDERERS[form](made)
    width = shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None
    color = width is not None and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return documents.render_terminal(made, width, color=color)


def _step(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Seconds that divide a day."""
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < 60 or 86_400 % seconds:
        raise click.BadParameter(f"{value}: must be 1m or longer and divide a day, such as 5m, 30m, 1h or 6h")
    return int(seconds)


def _prometheus(ctx: click.Context, param: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username):
        raise click.BadParameter(f"{value!r} is not a URL such as http://localhost:9090")
    return value.rstrip("/")


def _labels(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for value in values:
        match = _LABEL.fullmatch(value)
        if match is None:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as instance=exporter:9985")
        name, labels[match[1]] = match.groups()
        if any(name in metric.labels for metric in CATALOGUE.values()):
            raise click.BadParameter(f"{name!r} is a label that the series have themselves")
    return labels


@click.command()
@click.option("--from", "first", required=True, metavar="DATE", help="First day (UTC), such as 2026-08-01.")
@click.option("--to", "last", metavar="DATE", help="Last day (UTC); default is today.")
@click.option(
    "--scraped-since", metavar="TIME",
    help="When Prometheus began to read the exporter, such as 2026-11-21T09:30:00Z: the import ends there. Required "
    "if that has begun; otherwise the time since then is counted twice.",
)  # fmt: skip
@click.option(
    "--prometheus", default="", callback=_prometheus, metavar="URL",
    help="With --scraped-since: asks that Prometheus for the first value of each live series, so that the import ends "
    "with it. Without it, counters of the three days before (`finalize_after` if longer) are one increase where the "
    "live series begin, and the recorded increase counts usage twice that the API reported after --scraped-since.",
)  # fmt: skip
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Where to write; FILE.parts next to it holds data already read until the end.",
)  # fmt: skip
@_organization
@config_file_option("OPENAI_ADMIN_KEY is")
@click.option(
    "--step", callback=_step, default="30m", show_default=True, metavar="DURATION",
    help="Time between two samples of a series.",
)  # fmt: skip
@click.option(
    "--hourly-days", type=click.IntRange(0, 366), default=14, show_default=True, metavar="N",
    help="Days before the end that are read by hour; earlier ones are read by day.",
)  # fmt: skip
@click.option(
    "--label", "labels", callback=_labels, multiple=True, metavar="NAME=VALUE",
    help="Added to each series; give those of the live series. Always there: organization, job=openai.",
)  # fmt: skip
@click.option("--max-calls", type=click.IntRange(1), metavar="N", help="Stop after N API calls; run again to continue.")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Continue with data that an earlier run has read."
)
@renamed_option("--live-from", "--scraped-since")
@renamed_option("--fine-days", "--hourly-days")
def backfill(
    first: str,
    last: str | None,
    scraped_since: str | None,
    prometheus: str,
    output: Path,
    organization: str | None,
    config_file: Path | None,
    step: int,
    hourly_days: int,
    labels: dict[str, str],
    max_calls: int | None,
    resume: bool,
) -> None:
    """Write the past of an organization as OpenMetrics with times: the series of /usage, for days gone by.

    Counters run from the first of each month, as the live ones do; what they grow by is written as the bundle's
    rules record it, for the pages of usage and costs. The API tells usage by the hour or day; in
    between a counter is drawn as rising evenly. Graphs need a range of at least two steps: `increase(x[1h])` at
    the default step. A gauge, or a counter without a range, is only drawn within 5 minutes after a sample:
    ask for `last_over_time(x[1h])`, or import with --step 5m (six times the size).

    \b
    Example:
      openai-exporter backfill --from 2026-08-01 --output history.om \\
          --label instance=exporter:9985 --scraped-since 2026-11-21T09:30:00Z

    \b
    Exit status: 0 when the file is written, 1 when not, 2 for a wrong flag;
    data already read is kept, and the same command resumes.
    """
    console, names = Console(stderr=True), ("--from", "--to")
    with _wrong_flag():  # before anything is read
        reports.parse_days(first, last or first, names, reports.ANY_TIME)
        if scraped_since is not None:
            reports.parse_time(scraped_since, "--scraped-since", reports.ANY_TIME)
        elif prometheus:
            raise StartError("--prometheus needs --scraped-since: when that Prometheus began to read the exporter")
    with exit_on_error(), _interruptible(output), _source(config_file, organization, console, max_calls) as source:
        now = source.learn_time()
        with _wrong_flag():
            start, end = reports.parse_days(first, last or reports.format_date(now), names, now)
            began = None if scraped_since is None else reports.parse_time(scraped_since, "--scraped-since", now)
            if began is not None and began <= start:
                raise StartError(f"--scraped-since: {scraped_since} is not after --from: there is no past to import")
        named = {"job": "openai", "organization": source.organization.name} | labels
        request = Request(start, end, step, hourly_days, tuple(sorted(named.items())), began, prometheus)
        planned = Backfill(source, request, output, now, resume=resume)
        _announce(console, planned, source.organization.name, max_calls)
        _read(console, planned)
        samples = _write(console, planned)
    _explain(planned, samples, source.calls.made)


@contextmanager
def _wrong_flag() -> Iterator[None]:
    try:
        yield
    except ExporterError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _interruptible(output: Path) -> Iterator[None]:
    """Say what an interruption (Ctrl-C) costs: nothing."""
    try:
        yield
    except KeyboardInterrupt:
        raise StartError(
            f"interrupted; what was read is kept in {output}.parts: run the same command again to continue"
        ) from None


def _source(config_file: Path | None, name: str | None, console: Console, max_calls: int | None = None) -> Source:
    def say(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    return open_source(config_file, name, os.environ, say, max_calls)


def open_source(
    config_file: Path | None,
    name: str | None,
    env: Mapping[str, str],
    say: Callable[[str], object],
    max_calls: int | None = None,
) -> Source:
    """The API of an organization; `say` prints why and when a call is retried."""

    def on_wait(reason: str, seconds: float) -> None:
        say(printable(mask_keys(f"{reason}; trying again in {seconds:.0f} s")))

    settings = Settings(env=dict(env), proxies=urllib.request.getproxies(), config_file=config_file)
    config = read_config(settings)
    organization = find_organization(config, name)
    return Source(config, organization, settings.proxies, max_calls=max_calls, on_wait=on_wait)


def _announce(console: Console, planned: Backfill, name: str, max_calls: int | None) -> None:
    start, end = reports.iso(planned.request.start), reports.iso(planned.end)
    bound = f", at most {max_calls} now (--max-calls)" if max_calls else ""
    before = f", {len(planned.steps) - planned.missing} more were made before" if planned.resumed else ""
    lines = [f"organization {name}: {start} to {end}: {planned.missing} API calls{before}{bound}"]
    # Before the first call: the same command with the option then resumes, and has nothing to read twice.
    if planned.request.scraped_since is None:
        lines.append(
            f"Without --scraped-since the import goes up to {end}: where Prometheus reads the exporter already, "
            "the time since that began is counted twice; give it, such as --scraped-since 2026-11-21T09:30:00Z"
        )
    elif not planned.request.prometheus:
        lines.append(
            "Without --prometheus counters of the last three days before the live series began show as one increase; "
            "give it, such as --prometheus http://localhost:9090, for an exact joint"
        )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _read(console: Console, planned: Backfill) -> None:
    with _progress(console) as progress:
        task = progress.add_task("reading", total=len(planned.steps))
        try:
            planned.read(lambda step: progress.update(task, advance=1, description=step.dataset))
        except CallsSpentError as error:
            left = planned.missing
            raise StartError(f"{error} (--max-calls); {left} left: run the same command again to continue") from None


def _write(console: Console, planned: Backfill) -> int:
    with _progress(console) as progress:
        task = progress.add_task("writing", total=len({step.dataset for step in planned.steps}))
        return planned.write(lambda name: progress.update(task, advance=1))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _explain(planned: Backfill, samples: int, calls: int) -> None:
    output, end = planned.journal.output, reports.iso(planned.end)
    file, blocks = quote(str(output)), quote(f"{output}.blocks")
    size = output.stat().st_size / 1e6
    click.echo(
        f"{output}: {samples} samples, {size:.1f} MB, {calls} API calls, up to {end}\n"
        "Make blocks of it, and move them to where Prometheus keeps its own:\n"
        f"  promtool tsdb create-blocks-from openmetrics --max-block-duration={_BLOCK} {file} {blocks}\n"
        f"  mv {blocks}/* /path/to/prometheus/data/    # --storage.tsdb.path; same owner as the other blocks\n"
        "Prometheus takes them over within a minute or two; blocks older than its retention are deleted then."
    )
    if planned.journal.as_of - planned.end < _HEAD_SECONDS:
        click.echo("If Prometheus runs already, wait 3 hours before you move them: it still holds this time in memory.")
    if "instance" not in dict(planned.request.labels):
        click.echo("Without --label instance=HOST:PORT these are separate series next to the live ones; sums add both.")

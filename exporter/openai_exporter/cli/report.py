# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter report` and `backfill`: usage and costs of a period, for people, finance and Prometheus."""

import functools
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from openai_exporter.cli.stderr import told
from openai_exporter.config import Config, mask_keys
from openai_exporter.config.base import parse_duration
from openai_exporter.config.organization import Organization
from openai_exporter.errors import StartError
from openai_exporter.metrics import CATALOGUE
from openai_exporter.prices import price_table
from openai_exporter.report.backfill.fetch import Journal, Request, identity
from openai_exporter.report.backfill.run import Import, planned, read, write
from openai_exporter.report.book import DIMENSIONS, By
from openai_exporter.report.dates import ALLOWED, ANY_TIME, Period, days, iso, moment, period, shown
from openai_exporter.report.report import Report, gathered
from openai_exporter.report.source import CallsSpentError, Source, chosen, opened
from openai_exporter.web.live import Settings, read_config

# `openai-exporter report`: usage and costs of a period, for people and for finance.

_FORMATS = ("table", "csv", "json", "markdown", "html", "focus")


@click.command()
@click.option(
    "--period", "span", default="month", show_default=True, metavar="PERIOD", help=f"{ALLOWED} (UTC)."
)
@click.option("--by", type=click.Choice(list(DIMENSIONS)), default="model", show_default=True)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True,
    help="csv: with --output it begins with a byte order mark, so that Excel reads names right. "
    "focus: billed costs in the columns of the FinOps Open Cost and Usage Specification, as CSV.",
)  # fmt: skip
@click.option("--organization", metavar="NAME", help="May be left out when there is one.")
@click.option(
    "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
    show_envvar=True, metavar="FILE", help="Configuration; without one, OPENAI_ADMIN_KEY is enough.",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; standard output."
)
def report(
    span: str, by: By, form: str, organization: str | None, config_file: Path | None, output: Path | None
) -> None:
    """Report usage and costs of a period: totals, change against the period before, ratios, movers, forecast.

    \b
    Examples:
      OPENAI_ADMIN_KEY=... openai-exporter report
      openai-exporter report --config.file exporter.yml --period 2026-10 --by project --format html -o october.html
      openai-exporter report --period 2026-10 --format focus -o costs.csv

    \b
    Exit status: 0 when it is made, 1 when not, 2 for a wrong flag.
    """
    with told():
        period(span, ANY_TIME)  # a slip is told before anything is read
        config = read_config(Settings(env=dict(os.environ), config_file=config_file))
        one = chosen(config, organization)
        with opened(config, one, urllib.request.getproxies()) as client:
            source = Source(one, client, waiting=_waiting, prices=functools.partial(price_table, config))
            now = source.learn_time()
            text = _made(source, config, one, period(span, now), by, form, now)
            # Excel takes a file without the mark for an old 8-bit encoding, and spoils names.
            _write(text, output, "utf-8-sig" if form == "csv" else "utf-8")


def _made(
    source: Source, config: Config, one: Organization, found: Period, by: By, form: str, now: float
) -> str:
    if form == "focus":
        from openai_exporter.report import focus

        return focus.render(one, focus.charges(source, found, now), focus.names_of(source, one))
    return _rendered(gathered(source, config, one, found, by, now), form)


def _rendered(found: Report, form: str) -> str:
    from openai_exporter.report import data, tables

    match form:
        case "csv":
            return data.render_csv(found)
        case "json":
            return data.render_json(found)
        case "markdown":
            return tables.render_markdown(found)
        case "html":
            from openai_exporter.report import page

            return page.render(found)
    tty = sys.stdout.isatty()
    return tables.render_terminal(found, shutil.get_terminal_size().columns if tty else None, color=tty)


def _write(text: str, output: Path | None, encoding: str) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding=encoding, newline="")
    except OSError as error:
        raise StartError(f"{output}: cannot be written: {error.strerror}; choose another --output") from None


def _waiting(why: str, seconds: float) -> None:
    click.echo(mask_keys(f"{why}; trying again in {seconds:.0f} s"), err=True)


# `openai-exporter backfill`: the past of an organization as a file that promtool makes blocks of.

_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.+)", re.DOTALL)
_BLOCK = "162h"
"""Blocks of up to a week: promtool reads the whole file once per block, at its default of 2 h often."""
_HEAD_SECONDS = 3 * 3600
"""Prometheus holds the last hours in memory; blocks that reach into them would overlap."""


class Step(click.ParamType[int]):
    """A duration that divides a day."""

    name = "DURATION"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 60 or 86_400 % seconds:
            self.fail(
                f"{value}: must be 1m or longer and divide a day, such as 5m, 30m, 1h or 6h", param, ctx
            )
        return int(seconds)


class Label(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`."""

    name = "NAME=VALUE"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Name and value."""
        if isinstance(value, tuple):
            return value
        found = _LABEL.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not NAME=VALUE, such as instance=exporter:9985", param, ctx)
        if any(found[1] in metric.labels for metric in CATALOGUE.values()):
            self.fail(f"{found[1]!r} is a label that the series have themselves", param, ctx)
        return found[1], found[2]


@click.command()
@click.option("--from", "first", required=True, metavar="DATE", help="First day (UTC), such as 2026-08-01.")
@click.option("--to", "last", metavar="DATE", help="Last day (UTC); today when left out.")
@click.option(
    "--live-from", metavar="TIME",
    help="When Prometheus began to read the exporter with the bundle's rules, such as 2026-11-21T09:30:00Z: what they "
    "record of growth is written up to then. Needed wherever that has begun: left out, growth is written to the end, "
    "and pages count the time since twice.",
)  # fmt: skip
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Where to write; FILE.parts beside it holds what was read until the end.",
)  # fmt: skip
@click.option("--organization", metavar="NAME", help="May be left out when there is one.")
@click.option(
    "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
    show_envvar=True, metavar="FILE", help="Configuration; without one, OPENAI_ADMIN_KEY is enough.",
)  # fmt: skip
@click.option(
    "--step", type=Step(), default="30m", show_default=True, help="Time between two samples of a series."
)
@click.option(
    "--fine-days", type=click.IntRange(0, 366), default=14, show_default=True, metavar="N",
    help="Days before the end that are read by the hour; days before them are read whole.",
)  # fmt: skip
@click.option(
    "--label", "labels", type=Label(), multiple=True,
    help="Added to each series; give those of the live series. Always there: organization, job=openai.",
)  # fmt: skip
@click.option(
    "--max-calls", type=click.IntRange(1), metavar="N", help="Stop after N API calls; run again to go on."
)
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Go on with what an earlier run has read."
)
def backfill(
    first: str,
    last: str | None,
    live_from: str | None,
    output: Path,
    organization: str | None,
    config_file: Path | None,
    step: int,
    fine_days: int,
    labels: tuple[tuple[str, str], ...],
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
      OPENAI_ADMIN_KEY=... openai-exporter backfill --from 2026-08-01 --output history.om \\
          --label instance=exporter:9985 --live-from 2026-11-21T09:30:00Z

    \b
    Exit status: 0 when the file is written; 1 when not; what was read is kept, and the same command goes on.
    """
    console = Console(stderr=True)

    def waiting(why: str, seconds: float) -> None:
        console.print(Text(f"{why}; trying again in {seconds:.0f} s"))

    with told(), _interruptible(output):
        days(first, last or first, ("--from", "--to"), ANY_TIME)  # a slip is told before anything is read
        config = read_config(Settings(env=dict(os.environ), config_file=config_file))
        one = chosen(config, organization)
        with opened(config, one, urllib.request.getproxies()) as client:
            prices = functools.partial(price_table, config)
            source = Source(one, client, most=max_calls, waiting=waiting, prices=prices)
            now = source.learn_time()
            request = _request(config, one, (first, last), (step, fine_days), labels, now)
            if live_from is not None:
                request = replace(request, live_from=moment(live_from, "--live-from", now))
            found = planned(one, request, Journal(output), now, resume=resume)
            _announce(console, found, max_calls)
            _warn(console, found)
            _read(console, found, source)
            samples = _write_history(console, found, config, source)
    _explain(found, samples, source.made)


@contextmanager
def _interruptible(output: Path) -> Iterator[None]:
    """Say what an interruption (Ctrl-C) costs: nothing."""
    try:
        yield
    except KeyboardInterrupt:
        raise StartError(
            f"interrupted; what was read is kept in {output}.parts: run the same command again to go on"
        ) from None


def _request(
    config: Config,
    organization: Organization,
    dates: tuple[str, str | None],
    grain: tuple[int, int],
    labels: Iterable[tuple[str, str]],
    now: float,
) -> Request:
    first, last = dates
    start, end = days(first, last or shown(now), ("--from", "--to"), now)
    named = {"job": "openai", "organization": organization.name} | dict(labels)
    return Request(start, end, *grain, tuple(sorted(named.items())), identity(config, organization))


def _announce(console: Console, found: Import, most: int | None) -> None:
    days = f"{iso(found.request.start)} to {iso(found.end)}"
    bound = f", at most {most} now (--max-calls)" if most else ""
    told = f", {len(found.steps) - found.missing} more were made before" if found.resumed else ""
    name = found.organization.name
    console.print(
        Text(f"organization {name}: {days}: {found.missing} API calls{told}{bound}"), soft_wrap=True
    )


def _warn(console: Console, found: Import) -> None:
    """Before the first call: the same command with the option then goes on, and has nothing to read twice."""
    if found.request.live_from is None:
        console.print(
            Text(
                f"Without --live-from growth is written up to {iso(found.end)}: where Prometheus reads the exporter "
                "already, pages count the time since that began twice; give it, such as "
                "--live-from 2026-11-21T09:30:00Z"
            ),
            soft_wrap=True,
        )


def _read(console: Console, found: Import, source: Source) -> None:
    with _progress(console) as progress:
        task = progress.add_task("reading", total=len(found.steps))
        try:
            read(found, source, lambda step: progress.update(task, advance=1, description=step.dataset))
        except CallsSpentError as error:
            left = found.missing
            raise StartError(
                f"{error} (--max-calls); {left} left: run the same command again to go on"
            ) from None


def _write_history(console: Console, found: Import, config: Config, source: Source) -> int:
    names = len({step.dataset for step in found.steps})
    with _progress(console) as progress:
        task = progress.add_task("writing", total=names)
        return write(found, config, source, lambda name: progress.update(task, advance=1))


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _explain(found: Import, samples: int, calls: int) -> None:
    output = found.journal.output
    size = output.stat().st_size / 1e6
    blocks = quote(f"{output}.blocks")
    click.echo(f"{output}: {samples} samples, {size:.1f} MB, {calls} API calls, up to {iso(found.end)}")
    click.echo("Make blocks of it, and move them to where Prometheus keeps its own:")
    click.echo(
        f"  promtool tsdb create-blocks-from openmetrics --max-block-duration={_BLOCK} {quote(str(output))} {blocks}"
    )
    click.echo(
        f"  mv {blocks}/* /path/to/prometheus/data/    # --storage.tsdb.path; same owner as the other blocks"
    )
    click.echo(
        "Prometheus takes them over within a minute or two; blocks older than its retention are deleted then."
    )
    if found.journal.as_of - found.end < _HEAD_SECONDS:
        click.echo(
            "If Prometheus runs already, wait 3 hours before you move them: it still holds this time in memory."
        )
    if "instance" not in dict(found.request.labels):
        click.echo(
            "Without --label instance=HOST:PORT these are series of their own beside the live ones; sums join them."
        )

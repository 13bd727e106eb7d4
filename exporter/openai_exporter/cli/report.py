# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter report`: usage and costs of a period, for people and for finance."""

import functools
import os
import shutil
import sys
import urllib.request
from pathlib import Path

import click

from openai_exporter.cli.failing import told
from openai_exporter.config import Config, mask_keys
from openai_exporter.config.organization import Organization
from openai_exporter.errors import StartError
from openai_exporter.report.access import chosen, opened
from openai_exporter.report.book import DIMENSIONS, By
from openai_exporter.report.moments import ANY_TIME
from openai_exporter.report.period import ALLOWED, Period, period
from openai_exporter.report.report import Report, gathered
from openai_exporter.report.source import Source
from openai_exporter.usage.ownprices import price_table
from openai_exporter.web.live import read_config
from openai_exporter.web.settings import Settings

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
        from openai_exporter.report.formats import focus

        return focus.render(one, focus.charges(source, found, now), focus.names_of(source, one))
    return _rendered(gathered(source, config, one, found, by, now), form)


def _rendered(found: Report, form: str) -> str:
    from openai_exporter.report.formats import document, markdown, sheet, terminal

    match form:
        case "csv":
            return sheet.render(found)
        case "json":
            return document.render(found)
        case "markdown":
            return markdown.render(found)
        case "html":
            from openai_exporter.report.formats import page

            return page.render(found)
    tty = sys.stdout.isatty()
    return terminal.render(found, shutil.get_terminal_size().columns if tty else None, color=tty)


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

# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter check`, `schema` and `metrics`: what a configuration does, and what documents are generated from."""

import json
import os
import re
import shlex
import urllib.request
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import click

from openai_exporter.cli.common import exit_on_error
from openai_exporter.client.network import check_proxies
from openai_exporter.config import Config, load_config, schema_document
from openai_exporter.config.base import format_duration
from openai_exporter.config.secret import printable
from openai_exporter.config.sections import DEFAULT_PROMPT, SLOWEST_RESULTS, Budget, Scope
from openai_exporter.errors import ConfigError
from openai_exporter.limits.setting import ORGANIZATION, Reader
from openai_exporter.metrics import CATALOGUE, Metric, Page
from openai_exporter.model import Endpoint, Provider
from openai_exporter.report.source import Source, organization_flag
from openai_exporter.rules.bundle import bundle_root, facts
from openai_exporter.rules.settings import schema_document as settings_schema
from openai_exporter.usage.limits import API
from openai_exporter.web.webconfig import WebFile


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Check this web configuration too, with its certificates.",
)  # fmt: skip
@click.option(
    "--without-keys", is_flag=True,
    help="Take a key that is not on this machine for one that will be there, as in CI; check all else.",
)  # fmt: skip
@click.option(
    "--spend-limits", is_flag=True,
    help="Call the API: compare monthly budgets with the spend limits that OpenAI enforces.",
)  # fmt: skip
def check(file: Path, web_config_file: Path | None, without_keys: bool, spend_limits: bool) -> None:
    """Check a configuration FILE and say what it makes the exporter do; calls no API without --spend-limits.

    \b
    Exit status: 0 when it can be used, 1 when not; each line names one error:
      exporter.yml:7: targets[0].api_key_fil: unknown key; did you mean ...
    """
    if spend_limits and without_keys:
        raise click.UsageError("--spend-limits calls the API, which needs the keys; omit --without-keys")
    with exit_on_error():
        config = load_config(file, os.environ, absent_keys=not without_keys)
        if config.unreadable_keys:
            raise ConfigError(list(config.unreadable_keys))
        check_proxies(config.urls, urllib.request.getproxies())
        WebFile(web_config_file)
        compared = list(_compared(config)) if spend_limits else []
    click.echo(f"{file}: can be used" + (", if the keys are there: they were not looked for" if without_keys else ""))
    for line in (*_summary(config), *compared):
        click.echo(f"  {printable(line)}")


def _summary(config: Config) -> Iterator[str]:
    """What a configuration makes the exporter do, in lines."""
    for probe in config.probes:
        module = config.modules[probe.module]
        what = f"{module.endpoint}{', streamed' if module.stream else ''}"
        models = ", ".join(probe.models) or "all models"
        yield f"probes {probe.target} with {probe.module} ({what}, within {format_duration(module.timeout)}): {models}"
    for organization in config.organizations:
        usage = ", ".join(organization.usage) or "no usage"
        costs = "and costs" if organization.costs else "but no costs"
        interval = format_duration(organization.refresh_interval)
        yield f"reads organization {organization.name} each {interval}: {usage} {costs}"
    for budget in config.budgets:
        yield f"watches budget {budget.name}: {_usd(budget.limit_usd)} USD per {budget.period}"
    for page in config.status_pages:
        yield f"reads status page {page.name}: {page.url}"
    for note in _notes(config):
        yield f"note: {note}"


def _compared(config: Config) -> Iterator[str]:
    """Which monthly budgets, of an organization or of projects, no spend limit enforces, or one does too early."""
    for organization in config.organizations:
        budgets = [
            budget
            for budget in config.budgets
            if (budget.organization or organization.name, budget.period) == (organization.name, "month")
            and budget.each in (None, "project_id")
            and budget.scope == Scope(project=budget.scope.project)
        ]
        yield f"compared with the spend limits of organization {organization.name}: {len(budgets)} monthly budgets"
        flag = organization_flag(config, organization.name)
        with Source(config, organization, urllib.request.getproxies()) as source:
            reader = Reader(partial(source.calls.get, api=API))
            comparison = _Comparison(reader, f"openai-exporter limits set{flag}")
            for budget in budgets:
                yield from source.retry(partial(comparison.lines, budget))


class _Comparison:
    """Budgets of an organization and its spend limits, each of which is read once."""

    def __init__(self, reader: Reader, command: str) -> None:
        self._limit = cache(lambda project_id: reader.spend_limit(project_id)[0])
        self._projects = cache(lambda: {project.id: project for project in reader.projects()})
        self._command = command

    def lines(self, budget: Budget) -> list[str]:
        """What a budget lacks, of the organization, of a project, or of each active one."""
        return list(self._lines(budget))

    def _lines(self, budget: Budget) -> Iterator[str]:
        if budget.each is None and budget.scope.project is None:
            yield from self._line(budget, ORGANIZATION, "the organization", "")
            return
        active = {id: project.name for id, project in self._projects().items() if project.status == "active"}
        for id in active if budget.each else [budget.scope.project or ""]:
            if id in active:
                yield from self._line(budget, id, f"project {active[id] or id}", f" --project {shlex.quote(id)}")
            else:
                yield f"budget {budget.name}: project {id} is no active project of the organization"

    def _line(self, budget: Budget, id: str, scope: str, flag: str) -> Iterator[str]:
        limit, amount = self._limit(id), _usd(budget.limit_usd)
        if limit is None:
            yield (
                f"budget {budget.name} of {scope} has no spend limit: nothing stops spend at {amount} USD; "
                f"`{self._command}{flag} --spend-limit {amount}`"
            )
        elif limit < round(budget.limit_usd * 100):
            yield (
                f"budget {budget.name} ({amount} USD) is above the spend limit of {scope} ({_usd(limit / 100)} USD): "
                "requests are rejected before the budget is spent"
            )


def _usd(amount: float) -> str:
    return f"{amount:.2f}".removesuffix(".00")


_VERSION = re.compile(r"/v[0-9]+(?:/|$)")
_ENDPOINT = re.compile(
    r"(?i)/(?:deployments(?:/.*)?|(?:chat/)?completions|responses|embeddings|moderations|models|images(?:/generations)?|"
    r"audio(?:/(?:speech|transcriptions))?|organization(?:/.*)?|api/v2(?:/.*)?)$"
)
"""What a base URL ends in that holds more than the root of an API: an endpoint, a deployment, a document."""


LOOKBACK = 300.0
"""Seconds for which Prometheus takes a sample for present by default."""


def _notes(config: Config) -> Iterator[str]:
    """What is defined and has no effect, no limit, or no price."""
    used = {probe.module for probe in config.probes}
    for name in sorted(set(config.modules) - used):
        yield f"module {name} is used by no probe"
    for name in sorted(used):
        module = config.modules[name]
        if module.stream and module.request.prompt == DEFAULT_PROMPT:
            yield f"module {name} streams the default prompt's one word: no gaps between tokens to measure"
        free = module.endpoint in (Endpoint.MODELS, Endpoint.MODERATIONS)
        if module.min_interval > SLOWEST_RESULTS:
            yield (
                f"module {name}: min_interval {format_duration(module.min_interval)} is longer than the hour that "
                "alerts on results in a row cover; OpenAISLOMetricAbsent reports it"
            )
        if module.timeout > LOOKBACK:
            yield (
                f"module {name}: timeout {format_duration(module.timeout)} makes scrapes rarer than one in "
                f"{format_duration(LOOKBACK)}, after which Prometheus takes a sample for gone; alerts have gaps"
            )
        if not (free or module.min_interval or module.daily_cost_limit_usd):
            yield f"module {name} has no min_interval and no daily_cost_limit_usd: every scrape is paid"
    targets = {probe.target for probe in config.probes}
    for target in config.targets:
        if target.name not in targets:
            yield f"target {target.name} is used by no probe"
        if target.provider is Provider.OPENAI and not _VERSION.search(target.base_url):
            yield f"target {target.name}: base_url has no version; OpenAI's API has it: {target.base_url}/v1"
    roots = [(f"target {each.name}: base_url", each.base_url) for each in config.targets]
    roots += [(f"organization {each.name}: base_url", each.base_url) for each in config.organizations]
    for place, url in [*roots, *((f"status page {each.name}: url", each.url) for each in config.status_pages)]:
        if match := _ENDPOINT.search(url):
            yield f"{place} has the path of a call, {match[0]}; each call appends its own: {url[: match.start()]}"
    if not (config.probes or config.organizations or config.status_pages):
        yield "nothing is probed or read; add `probes:` or `organizations:`"


@click.command()
@click.option("--settings", is_flag=True, help="That of the bundle's settings.yml instead of exporter.yml's.")
def schema(settings: bool) -> None:
    """Print the JSON Schema of the configuration, for editors and CI.

    \b
    In an editor that knows YAML language servers, first line of exporter.yml:
      # yaml-language-server: $schema=exporter.schema.json
    """
    with exit_on_error():
        click.echo(schema_text(settings=settings), nl=False)


@click.command()
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
def metrics(form: str) -> None:
    """Print the catalogue: every metric with its page, type, labels and meaning."""
    if form == "json":
        click.echo(json.dumps([_document(metric) for metric in CATALOGUE.values()], indent=2))
    else:
        click.echo("\n".join(line for page in Page for line in _table(page)), nl=False)


def schema_text(*, settings: bool = False) -> str:
    """The JSON Schema of `exporter.yml`, or of `settings.yml`, ending in a newline."""
    document = settings_schema(facts(bundle_root())) if settings else schema_document()
    return json.dumps(document, indent=2) + "\n"


def _document(metric: Metric) -> dict[str, object]:
    document = {
        "name": metric.name,
        "type": metric.kind.value,
        "page": metric.page.value,
        "labels": list(metric.labels),
        "help": metric.help,
    }
    return document | ({"buckets": list(metric.buckets)} if metric.buckets else {})


def _table(page: Page) -> Iterator[str]:
    yield f"## `{page.value}`\n"
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    yield from (_row(metric) for metric in CATALOGUE.values() if metric.page is page)
    yield ""


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    text = metric.help.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {text} |"

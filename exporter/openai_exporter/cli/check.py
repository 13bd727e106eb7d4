# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter check`, `schema` and `metrics`: what a configuration does, and what documents are generated from."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click

from openai_exporter.cli.stderr import exit_on_error
from openai_exporter.config import Config, load_config, schema_document
from openai_exporter.config.base import format_duration
from openai_exporter.config.organization import PRICED
from openai_exporter.config.probing import DEFAULT_PROMPT
from openai_exporter.errors import ConfigError
from openai_exporter.metrics import CATALOGUE, Metric, Page
from openai_exporter.model import Endpoint
from openai_exporter.web.webconfig import WebFile

# `openai-exporter check`: every mistake of a configuration, or what the exporter would do with it.


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--web.config.file", "web_config_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Check this web configuration too, with its certificates.",
)  # fmt: skip
def check(file: Path, web_config_file: Path | None) -> None:
    """Check a configuration FILE and say what it makes the exporter do; calls no API.

    \b
    Exit status: 0 when it can be used, 1 when not; then each line names one mistake:
      exporter.yml:7: targets[0].api_key_fil: unknown key; did you mean 'api_key_file'? ...
    """
    with exit_on_error():
        config = load_config(file, os.environ)
        if config.unreadable_keys:
            raise ConfigError(list(config.unreadable_keys))
        WebFile(web_config_file)
    click.echo(f"{file}: can be used")
    for line in summary(config):
        click.echo(f"  {line}")


def summary(config: Config) -> Iterator[str]:
    """What a configuration makes the exporter do, in lines."""
    for probe in config.probes:
        module = config.modules[probe.module]
        what = f"{module.endpoint}{', streamed' if module.stream else ''}"
        models = ", ".join(probe.models) or "all models"
        yield f"probes {probe.target} with {probe.module} ({what}, within {format_duration(module.timeout)}): {models}"
    for each in config.organizations:
        usage = ", ".join(each.usage) or "no usage"
        costs = "and costs" if each.costs else "but no costs"
        yield f"reads organization {each.name} each {format_duration(each.refresh_interval)}: {usage} {costs}"
    for budget in config.budgets:
        yield f"watches budget {budget.name}: {budget.limit_usd:g} USD per {budget.period}"
    for page in config.status_pages:
        yield f"reads status page {page.name}: {page.url}"
    yield from _idle(config)


def _not_estimated(config: Config) -> Iterator[str]:
    """Usage whose model is unknown, so that its list price is unknown."""
    for each in config.organizations:
        for name, usage in each.usage.items():
            if name in PRICED and "model" not in usage.group_by:
                yield f"note: organization {each.name} does not group {name} by model: its cost is not estimated"


def _idle(config: Config) -> Iterator[str]:
    """What is defined and has no effect, or no bound."""
    for name in sorted(set(config.modules) - {each.module for each in config.probes}):
        yield f"note: module {name} is used by no probe"
    for name in sorted({each.module for each in config.probes}):
        module = config.modules[name]
        if module.stream and module.request.prompt == DEFAULT_PROMPT:
            yield f"note: module {name} streams the default prompt's one word: no gaps between tokens to measure"
        free = module.endpoint in (Endpoint.MODELS, Endpoint.MODERATIONS)
        if not (free or module.min_interval or module.daily_cost_limit_usd):
            yield f"note: module {name} has no min_interval and no daily_cost_limit_usd: every scrape is paid"
    yield from _not_estimated(config)
    used = {each.target for each in config.probes}
    for target in config.targets:
        if target.name not in used:
            yield f"note: target {target.name} is used by no probe"
    if not (config.probes or config.organizations or config.status_pages):
        yield "note: nothing is probed or read; add `probes:` or `organizations:`"


# `openai-exporter schema` and `metrics`: what documents and editors are generated from.


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and CI.

    \b
    In an editor that knows YAML language servers, first line of exporter.yml:
      # yaml-language-server: $schema=exporter.schema.json
    """
    click.echo(schema_text(), nl=False)


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True
)
def metrics(form: str) -> None:
    """Print the catalogue: every metric with its page, type, labels and meaning."""
    click.echo(catalogue_json() if form == "json" else catalogue_markdown(), nl=False)


def schema_text() -> str:
    """The JSON Schema of `exporter.yml`, ending in a newline."""
    return json.dumps(schema_document(), indent=2) + "\n"


def catalogue_json() -> str:
    """The catalogue as a JSON list, ending in a newline."""
    listed = [
        {
            "name": each.name,
            "type": each.kind.value,
            "page": each.page.value,
            "labels": list(each.labels),
            "help": each.help,
            **({"buckets": list(each.buckets)} if each.buckets else {}),
        }
        for each in CATALOGUE.values()
    ]
    return json.dumps(listed, indent=2) + "\n"


def catalogue_markdown() -> str:
    """The catalogue as Markdown tables, one per page."""
    return "\n".join(line for page in Page for line in _table(page))


def _table(page: Page) -> Iterator[str]:
    found = [each for each in CATALOGUE.values() if each.page is page]
    yield f"## `{page.value}`\n"
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    yield from (_row(each) for each in found)
    yield ""


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{each}`" for each in metric.labels)
    text = metric.help.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {text} |"

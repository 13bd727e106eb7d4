# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter schema` and `metrics`: what documents and editors are generated from."""

import json
from collections.abc import Iterator

import click

from openai_exporter.config import schema_document
from openai_exporter.metrics import CATALOGUE, Metric, Page


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

# SPDX-License-Identifier: Apache-2.0
"""Writes the generated parts of docs/reference/ and exporter/exporter.schema.json; --check lists the stale ones.

A part stands between `<!-- generated: name -->` and `<!-- end: name -->`; what is around it is written by people.
"""

import argparse
import importlib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from openai_exporter.cli.check import schema_text
from openai_exporter.cli.main import COMMANDS
from openai_exporter.client.exchange import STATUSES
from openai_exporter.config.schema import Node, config_shape, schema_document
from openai_exporter.metrics import CATALOGUE, LABELS, Metric, Page
from openai_exporter.probe.judge import CODES, OUTCOMES, BackOff, OutcomeFact
from openai_simulator.faults import KINDS, Fault

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = "docs/reference"
PAGES = ("cli.md", "configuration.md", "metrics.md", "outcomes.md", "simulator.md")
SCHEMA = "exporter/exporter.schema.json"
SETTINGS_SCHEMA = "alerting/settings.schema.json"

_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def files(root: Path) -> dict[str, str]:
    """Every generated file: path relative to `root` -> text as it should be.

    Raises:
        KeyError: a page has a marker of an unknown name, or one that is missing or repeated.
    """
    pages = {f"{REFERENCE}/{name}": (root / REFERENCE / name).read_text(encoding="utf-8") for name in PAGES}
    marked = [match[1] for text in pages.values() for match in re.finditer(r"<!-- generated: (\w+) -->", text)]
    if sorted(marked) != sorted(PARTS):
        raise KeyError(f"{REFERENCE} has the generated parts {marked}, not each of {list(PARTS)} once")
    schemas = {SCHEMA: schema_text(), SETTINGS_SCHEMA: schema_text(settings=True)}
    return {path: _filled(text) for path, text in pages.items()} | schemas


def _filled(text: str) -> str:
    return _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def flags() -> str:
    """One table per command that has flags; a group's commands each have their own."""
    text = ""
    for name, (place, summary) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        for typed, each in _commands(name, command):
            text += _command(typed, each, summary if each is command else each.get_short_help_str(200))
    return text + "\n"


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The command itself, then those of a group, by what is typed."""
    yield name, command
    for inner, each in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {inner}", each)


def _command(name: str, command: click.Command, summary: str) -> str:
    rows = [_flag(each) for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if not rows:
        return ""
    return f"\n### `{_usage(name, command)}`\n\n{textwrap.fill(summary, 100)}\n\n" + _table(
        ("flag", "default", "meaning"), iter(rows)
    )


def _usage(name: str, command: click.Command) -> str:
    arguments = [str(each.name).upper() for each in command.params if isinstance(each, click.Argument)]
    return " ".join(["openai-exporter", name, "[flags]", *arguments])


def _flag(option: click.Option) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = option.default if isinstance(option.default, str | int | float | tuple) else None
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    known = "" if shown in (None, "", False) or option.is_flag or option.required else f"`{shown}`"
    text = " ".join((option.help or "").split())
    if isinstance(option.type, click.Choice):
        text = f"{text} One of {', '.join(f'`{each}`' for each in option.type.choices)}.".strip()
    if option.envvar:
        text += f" Also as environment variable `{option.envvar}`."
    return names, known, text.strip()


def configuration() -> str:
    """One table per section of the configuration."""
    document = schema_document()
    text = f"\n{_section('(top level)', document)}"
    for path, node in _sections(document, ""):
        text += f"\n### `{path}`\n\n{textwrap.fill(node.get('description', ''), 100)}\n\n{_section(path, node)}"
    return text + "\n"


def _sections(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """The sections below a node, in the order of the schema."""
    for name, value in node.get("properties", {}).items():
        here, below = f"{path}.{name}" if path else name, config_shape().resolved(value)
        if below.get("type") == "array":
            here, below = f"{here}[]", config_shape().resolved(below.get("items", {}))
        elif isinstance(below.get("additionalProperties"), dict):
            here, below = f"{here}.<name>", config_shape().resolved(below["additionalProperties"])
        elif name == "usage":
            yield f"{here}.<operation>", below
            continue
        if "properties" in below:
            yield here, below
            yield from _sections(below, here)


def _section(path: str, node: Node) -> str:
    if path.endswith("<operation>"):
        operations = node["properties"].items()
        return _table(("key", "a list of any of"), (_operation(*each) for each in operations))
    required = node.get("required", ())
    rows = (_key(name, value, name in required) for name, value in node["properties"].items())
    return _table(("key", "value", "default", "meaning"), rows)


def _operation(name: str, usage: Node) -> tuple[str, str]:
    allowed: list[str] = usage["properties"]["group_by"]["items"]["enum"]
    return f"`{name}.group_by`", ", ".join(f"`{each}`" for each in allowed)


def _key(name: str, value: Node, required: bool) -> tuple[str, str, str, str]:
    node = config_shape().resolved(value)
    # Null is worth a word where it differs from leaving the key out.
    null = {"type": "null"} in value.get("anyOf", []) and value.get("default", "") is not None
    kind = "a mapping" if node.get("type") == "object" else config_shape().words(node)
    default = value.get("default")
    shown = "required" if required else "" if default is None else f"`{json.dumps(default)}`"
    return (f"`{name}`", kind + (" or null" if null else ""), shown.replace('"', ""), value.get("description", ""))


def metrics() -> str:
    """One table per page."""
    text = ""
    for page in Page:
        found = [each for each in CATALOGUE.values() if each.page is page]
        text += f"\n### On `{page}`\n\n" + _table(("metric", "type", "labels", "meaning"), map(_metric, found))
    return text + "\n"


def _metric(metric: Metric) -> tuple[str, str, str, str]:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    return f"`{metric.name}`", str(metric.kind), labels, metric.help


def labels() -> str:
    """What each label means."""
    return "\n" + _table(("label", "meaning"), ((f"`{name}`", text) for name, text in LABELS.items())) + "\n"


def outcomes() -> str:
    """The outcome taxonomy."""
    rows = (
        (f"`{each.name}`", each.meaning, matched_on(each.name), _counts(each), _WAITS[each.backoff], each.remedy)
        for each in OUTCOMES.values()
    )
    head = ("outcome", "meaning", "matched on", "availability", "backoff", "what to do")
    return "\n" + _table(head, rows) + "\n"


_WAITS = {BackOff.NONE: "", BackOff.LIMIT: "Retry-After, else 5 s to 5 min", BackOff.QUOTA: "1 min to 1 h"}


def _counts(fact: OutcomeFact) -> str:
    return "not counted" if not fact.valid else "good event" if fact.good else "bad event"


def matched_on(outcome: str) -> str:
    """The codes and statuses that make an outcome, as the tables that judge answers have them."""
    codes = [f"`{code}`" for code, found in CODES.items() if found == outcome]
    statuses = [str(status) for status, (_, found) in STATUSES.items() if found == outcome]
    return ", ".join([*codes, *statuses])


def faults() -> str:
    """The faults of the simulator."""
    rows = ((f"`{kind}`", " ".join((each.__doc__ or "").split()), _fields(each)) for kind, each in KINDS.items())
    return "\n" + _table(("kind", "what it does", "fields"), rows) + "\n"


def _fields(fault: type[Fault]) -> str:
    return ", ".join(f"`{name}`" for name in fault.model_fields if name not in Fault.model_fields)


PARTS: Mapping[str, Callable[[], str]] = {
    "flags": flags,
    "configuration": configuration,
    "metrics": metrics,
    "labels": labels,
    "outcomes": outcomes,
    "faults": faults,
}


def stale(root: Path) -> list[str]:
    """The generated files that are missing or differ from what they should be."""
    return [
        path
        for path, text in files(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 when all is well, 1 when a file is stale (--check) or has wrong markers."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this one)")
    options: Any = parser.parse_args(arguments)
    try:
        found = stale(options.root)
    except KeyError as error:
        print(f"docs: {error.args[0]}", file=sys.stderr)
        return 1
    for path in found:
        if not options.check:
            (options.root / path).write_text(files(options.root)[path], encoding="utf-8")
        print(f"docs: {path}: {'is stale; run `make generate`' if options.check else 'written'}", file=sys.stderr)
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter rules` and `bundle`: compile the user's rules; write the files that go with the exporter."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from openai_exporter.cli.common import exit_on_error, print_problems
from openai_exporter.config.secret import printable
from openai_exporter.errors import ConfigError, StartError
from openai_exporter.files import write_atomically
from openai_exporter.rules.examples import failures
from openai_exporter.rules.rule_file import MISSING, Built, build as build_rules, find_promtool, is_stale, write
from openai_exporter.rules.thresholds import load_thresholds, place_of

THRESHOLDS = Path("alerting/thresholds.yml")
RULES_DIR = Path("alerting/rules.d")
OUTPUT = Path("prometheus/rules/user-thresholds.yml")

_thresholds = click.option(
    "--thresholds", type=click.Path(path_type=Path), default=THRESHOLDS, show_default=True, metavar="FILE",
    help="The thresholds.",
)  # fmt: skip
_rules_dir = click.option(
    "--rules-dir", type=click.Path(path_type=Path), default=RULES_DIR, show_default=True, metavar="FOLDER",
    help="Folder of raw Prometheus rule files; it need not exist.",
)  # fmt: skip


@click.group("rules")
def rules() -> None:
    """Compile thresholds.yml and raw rule files to Prometheus rules.

    \b
    From the root of the bundle, or with --thresholds, --rules-dir and --output:
      openai-exporter rules check
      openai-exporter rules test
      openai-exporter rules build
    """


@rules.command("build")
@_thresholds
@_rules_dir
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default=OUTPUT, show_default=True,
    metavar="FILE", help="The rule file; - prints it.",
)  # fmt: skip
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 when the rule file is stale.")
def build(thresholds: Path, rules_dir: Path, output: Path, only_check: bool) -> None:
    """Write the rule file, whole or not at all.

    A mistake in the thresholds leaves the old file as it is (exit 1). A raw file with a mistake is left out and
    told on standard error; the other rules are written.
    """
    with exit_on_error():
        built = build_rules(thresholds, rules_dir, find_promtool())
        _print_left_out(built)
        if str(output) == "-":
            click.echo(built.text, nl=False)
            return
        stale = is_stale(output, built.text)
        if stale and not only_check:
            write(output, built.text)
        if stale and only_check:
            raise StartError(f"{output}: is stale; run `openai-exporter rules build`")
    state = "written" if stale else "up to date"
    click.echo(f"{output}: {state}, {_counted(built.rules, 'rule')}")


@rules.command("check")
@_thresholds
@_rules_dir
def check(thresholds: Path, rules_dir: Path) -> None:
    """Check thresholds and raw rules; writes nothing, exits 1 when there is a mistake.

    \b
    Each line names one mistake:
      alerting/thresholds.yml:12: thresholds[0].threshold: 5: must be a duration with its unit, ...
    """
    promtool = find_promtool()
    with exit_on_error():
        built = build_rules(thresholds, rules_dir, promtool)
    enabled = sum(threshold.enabled for threshold in built.file.thresholds)
    click.echo(f"{thresholds}: {_counted(len(built.file.thresholds), 'threshold')}, {enabled} enabled")
    for name in built.raw:
        click.echo(printable(f"{rules_dir / name}: can be used"))
    click.echo(f"promtool accepts {_counted(built.rules, 'rule')}" if promtool else f"note: {MISSING}")
    _print_left_out(built)
    if built.left_out:
        raise SystemExit(1)


@rules.command("test")
@_thresholds
def test(thresholds: Path) -> None:
    """Run the examples of the thresholds through promtool; exits 1 when one does not hold.

    \b
    An example is a value that lasts, or one value per probe, and whether the alert fires at some time:
      examples:
        - {value: 4.9s, fires: false}
        - {values: [1s x10, 9s x5], fires: true}
        - {values: [ok x10, fail, ok x10], fires: false}   # error_rate and throughput
    """
    promtool = find_promtool()
    with exit_on_error():
        if promtool is None:
            raise StartError(MISSING)
        file = load_thresholds(thresholds)
        failed = failures(file, promtool)
    for index, number in failed:
        example = file.thresholds[index].examples[number]
        outcome = "the alert stays silent" if example.fires else "the alert fires"
        place = place_of(thresholds, ("thresholds", index, "examples", number))
        click.echo(f"openai-exporter: {place}: {file.thresholds[index].name}: {outcome}", err=True)
    count = sum(len(threshold.examples) for threshold in file.thresholds)
    without = [threshold.name for threshold in file.thresholds if not threshold.examples]
    if without:
        click.echo(f"note: no examples: {', '.join(without)}")
    click.echo(f"{_counted(count, 'example')}, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


def _print_left_out(built: Built) -> None:
    if built.left_out:
        print_problems(ConfigError(list(built.left_out)))
        files = _counted(len({problem.place.partition(".yml")[0] for problem in built.left_out}), "file")
        click.echo(f"openai-exporter: {files} of raw rules left out", err=True)
    for note in built.notes:
        click.echo(printable(f"note: {note}"), err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# The bundle: rules, dashboards, routing, runbooks, manifests, default configuration.

PACKAGED = "_bundle"
"""Folder inside the package; pyproject.toml puts the files there when it builds a wheel."""
_PROOF = "mixin.libsonnet"
"""A file that each root of a bundle has."""
_SHOWN = 5
"""Files that are named when they would be overwritten."""

State = Literal["new", "same", "differs"]
"""Of a file in the folder: not there, there byte for byte, or another one."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some files of the bundle that are used together.

    Attributes:
        paths: files and folders, relative to the bundle's root.
        use: what to do with them, for --help and for the end of `openai-exporter bundle`.
    """

    paths: tuple[str, ...]
    use: str


PARTS: Mapping[str, Part] = {
    "exporter": Part(
        ("exporter/exporter.yml", "exporter/exporter.schema.json"),
        "the default configuration with its JSON Schema: openai-exporter --config.file=exporter/exporter.yml",
    ),
    "prometheus": Part(
        ("prometheus",), "prometheus.yml, rule files, remote write: add prometheus/rules/*.yml to rule_files"
    ),
    "alerting": Part(
        ("alerting",),
        "Alertmanager configuration and templates, runbooks, your own thresholds (openai-exporter rules build)",
    ),
    "dashboards": Part(
        ("dashboards",), "Grafana pages in dashboards/generated, provisioning in dashboards/provisioning"
    ),
    "mixin": Part(
        ("mixin.libsonnet", "jsonnetfile.json", "alerting", "dashboards"),
        "the Jsonnet sources, for jsonnet-bundler, Tanka and kube-prometheus",
    ),
    "kubernetes": Part(
        ("deploy/kubernetes", "dashboards", "prometheus/rules"),
        "Kustomize base and overlays: kubectl apply -k deploy/kubernetes/overlays/operator",
    ),
    "systemd": Part(("deploy/systemd", "exporter/exporter.yml"), "unit and settings for a Debian server"),
}
"""The parts by name, in the order of --help."""


_PARTS_HELP = "\b\nParts:\n" + "\n".join(f"  {name:<11} {part.use}" for name, part in PARTS.items())


@click.command(epilog=_PARTS_HELP)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--only", "only", multiple=True, type=click.Choice(list(PARTS)), metavar="PART",
    help="Write this part; may be given several times.  [default: all of them]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that differ.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
def bundle(directory: Path, only: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Write the monitoring bundle of this version into DIR: rules, alerts, dashboards, routing, runbooks, manifests.

    Files that are there already and differ stop it before anything is written, so that your changes are
    safe; --force overwrites them. Run it again after an upgrade to see what is new.

    \b
    Examples:
      openai-exporter bundle openai-monitoring
      openai-exporter bundle --only prometheus --only dashboards /etc/openai
      openai-exporter bundle --dry-run /etc/openai       # after an upgrade
    """
    with exit_on_error():
        root, parts = bundle_root(), only or tuple(PARTS)
        states = {path: _state(root / path, directory / path) for path in part_files(root, parts)}
        changed = [directory / path for path, state in states.items() if state == "differs"]
        if changed and not (force or dry_run):
            raise StartError(_refusal(changed))
        if not dry_run:
            _write(root, directory, (path for path, state in states.items() if state != "same"))
    _report(directory, states, parts, dry_run)


def bundle_root() -> Path:
    """The folder that holds the bundle.

    Raises:
        StartError: the package was installed without it.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / PACKAGED, package.parent.parent):
        if (root / _PROOF).is_file():
            return root
    raise StartError(f"{package / PACKAGED} is missing: install openai-exporter from its wheel or sdist again")


def part_files(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Every file of the parts of these names, relative to the root, sorted; each once."""
    paths = {path for name in names for path in PARTS[name].paths}
    yield from sorted({file.relative_to(root) for path in paths for file in _files(root / path)})


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        # What an editor, an interpreter or an interrupted `make generate` leaves in a source tree.
        if not child.name.startswith((".", "__pycache__")):
            yield from _files(child)


def _state(source: Path, target: Path) -> State:
    if not os.path.lexists(target):
        return "new"
    return "same" if target.is_file() and target.read_bytes() == source.read_bytes() else "differs"


def _write(root: Path, into: Path, paths: Iterable[Path]) -> None:
    """Write these files, each whole or not at all.

    Raises:
        StartError: a file cannot be written; the message names it.
    """
    for path in paths:
        target = into / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, (root / path).read_bytes().decode())
        except OSError as error:
            raise StartError(f"{target}: cannot be written: {error.strerror}") from error


def _refusal(changed: list[Path]) -> str:
    named = ", ".join(map(str, changed[:_SHOWN]))
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return (
        f"nothing was written: {named}{more} would be overwritten; compare with --dry-run, "
        "move them away, name another folder, or give --force"
    )


def _report(directory: Path, states: Mapping[Path, State], parts: tuple[str, ...], dry_run: bool) -> None:
    if dry_run:
        for path, state in states.items():
            if state != "same":
                click.echo(f"{state:<8} {directory / path}")
    count = Counter(states.values())
    verb = "would write" if dry_run else "wrote"
    click.echo(
        f"{directory}: {verb} {count['new']} new files and {count['differs']} over others; "
        f"{count['same']} were up to date"
    )
    console = Console(highlight=False)
    for name in () if dry_run else parts:
        console.print(f"  [bold]{name:<11}[/] {PARTS[name].use}", soft_wrap=True)

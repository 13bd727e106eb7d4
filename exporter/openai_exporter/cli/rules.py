# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter rules` and `bundle`: compile the user's rules; write the bundle into a directory."""

from collections import Counter
from pathlib import Path

import click
from rich.console import Console

from openai_exporter.bundle import PARTS, Copy, bundle_root, copies, part_files, write as write_bundle
from openai_exporter.cli.stderr import exit_on_error, print_problems
from openai_exporter.errors import ConfigError, StartError
from openai_exporter.rules import Built, build as build_rules, failures, find_promtool, is_stale, load_thresholds, write
from openai_exporter.rules.rule_file import MISSING
from openai_exporter.rules.thresholds import place_of

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
        click.echo(f"{rules_dir / name}: can be used")
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
        click.echo(f"note: {note}", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_SHOWN = 5
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
        root = bundle_root()
        planned = copies(root, directory, part_files(root, only or tuple(PARTS)))
        changed = [copy for copy in planned if copy.state == "differs"]
        if changed and not (force or dry_run):
            raise StartError(_refusal(directory, changed))
        if not dry_run:
            write_bundle(root, directory, planned)
    _report(directory, planned, only or tuple(PARTS), dry_run)


def _refusal(directory: Path, changed: list[Copy]) -> str:
    named = ", ".join(str(directory / copy.path) for copy in changed[:_SHOWN])
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return (
        f"nothing was written: {named}{more} would be overwritten; compare with --dry-run, "
        "move them away, name another folder, or give --force"
    )


def _report(directory: Path, planned: list[Copy], parts: tuple[str, ...], dry_run: bool) -> None:
    if dry_run:
        for copy in planned:
            if copy.state != "same":
                click.echo(f"{copy.state:<8} {directory / copy.path}")
    count = Counter(copy.state for copy in planned)
    verb = "would write" if dry_run else "wrote"
    click.echo(
        f"{directory}: {verb} {count['new']} new files and {count['differs']} over others; "
        f"{count['same']} were up to date"
    )
    console = Console(highlight=False)
    for name in () if dry_run else parts:
        console.print(f"  [bold]{name:<11}[/] {PARTS[name].use}", soft_wrap=True)

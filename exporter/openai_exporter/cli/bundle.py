# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter bundle`: write rules, dashboards, routing, runbooks and manifests into a folder."""

from collections import Counter
from pathlib import Path

import click
from rich.console import Console

from openai_exporter.bundle import PARTS, Copy, bundle_root, copies, part_files, write
from openai_exporter.cli.failing import fail, told

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
    with told():
        root = bundle_root()
        planned = copies(root, directory, part_files(root, only or tuple(PARTS)))
        changed = [copy for copy in planned if copy.state == "differs"]
        if changed and not (force or dry_run):
            fail(_refusal(directory, changed))
        if not dry_run:
            write(root, directory, planned)
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

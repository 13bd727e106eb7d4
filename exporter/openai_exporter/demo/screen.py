# SPDX-License-Identifier: Apache-2.0
"""The demo's terminal: where everything runs, and live figures."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from openai_exporter.bundle import PACKAGED
from openai_exporter.demo import keys
from openai_exporter.demo.outage import FAULT
from openai_exporter.demo.plan import Plan
from openai_exporter.demo.state import State
from openai_exporter.demo.timeline import Event

SHOWN_EVENTS = 12


def overview(plan: Plan, console: Console) -> None:
    """Print what runs where, what to look at, and what is missing."""
    table = Table(
        title="openai-exporter demo", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for heading in ("", "address", "what to look at"):
        table.add_column(heading, overflow="fold")
    for service in plan.services:
        table.add_row(Text(service.name, style="bold"), service.url, service.hint)
    console.print(table)
    for program in plan.missing:
        console.print(f"[yellow]without {program.title}[/] ({program.remedy})")
    if plan.prometheus is None:
        console.print("The exporter is scraped by the demo itself; nothing is stored.")
    if plan.simulator is None:
        console.print("[bold]These are real probes of the real API[/]: each one costs a fraction of a cent.")
    else:
        _how_to_break_it(plan, plan.simulator, console)
    if plan.rules is not None:
        console.print(_own_rules(plan.rules), soft_wrap=True, markup=False)
    for note in plan.notes:
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(f"{'q or ' if _takes_keys(console) else ''}Ctrl-C ends it all.\n")


def _own_rules(bundle: Path) -> str:
    """Where a person puts rules; not among the files of an installed package, which the next version replaces."""
    if bundle.name == PACKAGED:
        return "Rules of your own: openai-exporter bundle DIR, edit DIR/alerting, demo --bundle-dir DIR"
    folder = bundle / "alerting"
    return f"Rules of your own: {folder / 'thresholds.yml'} (here at the demo's pace), {folder / 'rules.d'}"


def _takes_keys(console: Console) -> bool:
    return console.is_terminal and keys.available()


def _how_to_break_it(plan: Plan, simulator: str, console: Console) -> None:
    watch = (
        f"; a page arrives within a minute, here and at {plan.pages}"
        if plan.pages and plan.prometheus
        else ""
    )
    if _takes_keys(console):
        console.print(
            f"Everything shown is simulated. Press [bold cyan]b[/] to break it, [bold cyan]m[/] to mend it{watch}.",
            soft_wrap=True,
        )
        return
    faults = f"{simulator}/_simulator/faults"
    console.print(f"Everything shown is simulated. Try an outage{watch}:", soft_wrap=True)
    console.print(f"  [cyan]curl -X POST {faults} -d '{json.dumps(FAULT)}'[/]", soft_wrap=True)
    console.print(f"  [cyan]curl -X DELETE {faults}[/]   # and mend it", soft_wrap=True)


def live_screen(state: State, seconds: float, events: Sequence[Event] = (), broken: bool = False) -> RenderableType:
    """The live figures and the last events, for rich's Live display."""
    table = Table.grid(padding=(0, 2))
    table.add_row("running", f"{int(seconds) // 60:d} min {int(seconds) % 60:02d} s")
    table.add_row("scrape targets up", _share(state.targets_up, state.targets))
    table.add_row("probes that succeed", _share(state.probes_good, state.probes))
    table.add_row("tokens this month", "…" if state.tokens is None else f"{state.tokens:,.0f}")
    table.add_row("billed this month", "…" if state.cost is None else f"{state.cost:,.2f} USD")
    firing = Text(", ".join(state.firing), style="red") if state.firing else Text("none", style="green")
    table.add_row("alerts firing", firing)
    if state.pages is not None:
        table.add_row("pages delivered", str(len(state.pages)))
    if broken:
        table.add_row("simulated API", Text("broken; press m to mend it", style="bold red"))
    return Group(table, *_lines(events[-SHOWN_EVENTS:]))


def _lines(events: Sequence[Event]) -> list[Text]:
    """One line per event, after an empty one."""
    if not events:
        return []
    lines = [Text.assemble((f"{event.at:>5.0f} s  ", "dim"), (event.text, event.style)) for event in events]
    return [Text(), *lines]


def line(state: State, seconds: float) -> str:
    """The same in one line, for a terminal that cannot redraw."""
    cost = "?" if state.cost is None else f"{state.cost:.2f}"
    tokens = "?" if state.tokens is None else f"{state.tokens:.0f}"
    return (
        f"t={seconds:.0f}s up={_plain(state.targets_up, state.targets)} "
        f"probe_success={_plain(state.probes_good, state.probes)} tokens={tokens} billed_usd={cost} "
        f"firing={','.join(state.firing) or 'none'} pages={'?' if state.pages is None else len(state.pages)}"
    )


def _plain(part: int | None, whole: int | None) -> str:
    return "?" if whole is None else f"{part or 0}/{whole}"


def _share(part: int | None, whole: int | None) -> Text:
    if whole is None:
        return Text("…")
    return Text(f"{part or 0} of {whole}", style="green" if part == whole else "red")

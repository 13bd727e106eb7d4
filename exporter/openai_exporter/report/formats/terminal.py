# SPDX-License-Identifier: Apache-2.0
"""A report for the terminal."""

from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter.report import view
from openai_exporter.report.report import Report

_PLAIN_WIDTH = 200


def render(report: Report, width: int | None = None, *, color: bool = False) -> str:
    """Tables; as wide as `width`, or as they need to be."""
    shown = view.view(report)
    console = Console(
        file=StringIO(),
        width=width or _PLAIN_WIDTH,
        force_terminal=color,
        no_color=not color,
        highlight=False,
    )
    console.print(Text(shown.title, style="bold"))
    for name, value in shown.lead:
        console.print(Text(f"  {name:<24} {value:>18}"))
    for each in shown.tables:
        console.print()
        console.print(_table(each))
    for note in (*shown.notes, *view.explanations(report)):
        console.print(Text(note, style="dim"))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _table(each: view.Table) -> Table:
    made = Table(
        title=each.title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        show_footer=bool(each.foot),
    )  # fmt: skip
    for place, name in enumerate(each.head):
        foot = Text(each.foot[place]) if each.foot else Text("")
        figures = place > 0
        made.add_column(
            Text(name), foot, justify="right" if figures else "left", no_wrap=figures, overflow="fold",
            footer_style="bold",
        )  # fmt: skip
    for row in each.rows:
        made.add_row(*map(Text, row))
    return made

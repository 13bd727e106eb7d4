# SPDX-License-Identifier: Apache-2.0
"""A report as Markdown with tables (GitHub's form)."""

import re
from collections.abc import Iterator, Sequence

from openai_exporter.exposition import clean
from openai_exporter.report import view
from openai_exporter.report.report import Report

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def render(report: Report) -> str:
    """The whole document."""
    shown = view.view(report)
    return "\n".join(_lines(shown, report)) + "\n"


def _lines(shown: view.View, report: Report) -> Iterator[str]:
    yield f"# {_text(shown.title)}\n"
    for name, value in shown.lead:
        yield f"- {name}: **{_text(value)}**"
    for table in shown.tables:
        yield f"\n## {_text(table.title)}\n"
        yield _row(table.head)
        yield "|" + "|".join([" --- ", *[" ---: "] * (len(table.head) - 1)]) + "|"
        yield from map(_row, table.rows)
        if table.foot:
            yield "| " + " | ".join(f"**{_text(cell)}**" for cell in table.foot) + " |"
    yield ""
    for note in (*shown.notes, *view.explanations(report)):
        yield f"{_text(note)}  "


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: str) -> str:
    """Names are foreign: they must make neither markup nor a new row."""
    return _SPECIAL.sub(r"\\\1", clean(value))

# SPDX-License-Identifier: Apache-2.0
"""Pages in the terminal. Control characters of a page are shown, never obeyed."""

import time
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from openai_exporter.pagesink.page import RESOLVED, Alert, Page

STYLES = {"critical": "bold white on red", "warning": "bold black on yellow", "info": "bold white on blue"}
_RESOLVED_STYLE = "bold black on green"
_LINKS = ("runbook_url", "dashboard_url")


def show(page: Page, console: Console) -> None:
    """Print a page: one headline, then each alert with its texts and links."""
    console.print(_headline(page), soft_wrap=True)
    for text in _body(page):
        console.print(Text.assemble(" " * 10, text), soft_wrap=True)


def _headline(page: Page) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(page.received))
    resolved = page.status == RESOLVED
    word = RESOLVED if resolved else page.severity or page.status or page.channel
    style = _RESOLVED_STYLE if resolved else STYLES.get(page.severity, "bold")
    text = Text.assemble(
        (clock, "dim"), "  ", (f" {_safe(word).upper()} ", style), "  ", (_safe(page.title), "bold")
    )
    return text.append(
        f"  {page.channel}" + (f" to {_safe(page.receiver)}" if page.receiver else ""), style="dim"
    )


def _body(page: Page) -> Iterator[Text]:
    if not page.alerts:
        yield from (Text(_safe(line)) for line in page.text.splitlines() if line.strip())
    for alert in page.alerts:
        yield from _alert(alert)


def _alert(alert: Alert) -> Iterator[Text]:
    texts = alert.annotations
    mark = Text("✓ ", style="green") if alert.status == RESOLVED else Text("● ", style="red")
    yield mark.append(
        _safe(texts.get("description") or texts.get("summary") or _labels(alert)), style="default"
    )
    for name in _LINKS:
        if texts.get(name):
            yield Text(f"  {name.removesuffix('_url')} {_safe(texts[name])}", style="dim")


def _labels(alert: Alert) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)

# SPDX-License-Identifier: Apache-2.0
"""Pages in the terminal."""

import io

from rich.console import Console

from openai_exporter.pagesink.page import Alert, Page
from openai_exporter.pagesink.terminal import show


def printed(page: Page, *, colours: bool = False) -> str:
    out = io.StringIO()
    show(
        page,
        Console(file=out, force_terminal=colours, color_system="standard" if colours else None, width=200),
    )
    return out.getvalue()


ALERT = Alert(
    "firing",
    {"alertname": "OpenAITargetDown", "severity": "critical"},
    {"description": "No probe has succeeded.", "runbook_url": "https://r.example.org/x"},
)
PAGE = Page("webhook", "firing", "critical", "OpenAITargetDown", "", "page", (ALERT,), 1, 0.0)


def test_a_page_has_a_headline_its_text_and_its_links() -> None:
    text = printed(PAGE)

    assert "CRITICAL" in text.splitlines()[0]
    assert "OpenAITargetDown  webhook to page" in text
    assert "● No probe has succeeded." in text
    assert "runbook https://r.example.org/x" in text


def test_severity_and_end_have_colours() -> None:
    resolved = Page(
        "webhook", "resolved", "critical", "X", "", alerts=(Alert("resolved", {"alertname": "X"}),)
    )

    assert "\x1b[1;37;41m" in printed(PAGE, colours=True)
    assert "\x1b[1;30;42m RESOLVED " in printed(resolved, colours=True)
    assert "✓ alertname=X" in printed(resolved)


def test_mail_shows_its_text() -> None:
    text = printed(Page("email", "firing", "warning", "[warning] x", "first\n\nsecond", "a@example.org"))

    assert [line.strip() for line in text.splitlines()[1:]] == ["first", "second"]


def test_what_a_page_holds_is_shown_and_never_obeyed() -> None:
    evil = "\x1b]0;owned\x07 [bold]not markup[/] \x1b[2J"
    text = printed(
        Page("webhook", "firing", evil, evil, evil, evil, (Alert("firing", {"a": evil}, {"summary": evil}),)),
    )

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]not markup[/]" in text

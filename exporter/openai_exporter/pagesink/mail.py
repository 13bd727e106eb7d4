# SPDX-License-Identifier: Apache-2.0
"""Mail to pages: an SMTP server's handler, and the reading of a message."""

from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from openai_exporter.pagesink.page import Page
from openai_exporter.pagesink.webhook import read_words

_LONGEST = 20_000


class MailHandler:
    """aiosmtpd's handler: hands each mail on as a page.

    Args:
        deliver: takes the page.
    """

    def __init__(self, deliver: Callable[[Page], object]) -> None:
        self._deliver = deliver

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail; the answer to the client."""
        self._deliver(page_of(envelope.content, list(envelope.rcpt_tos)))
        return "250 page taken"


def page_of(content: bytes, recipients: list[str]) -> Page:
    """The page that a mail is; the subject is its title, the plain text its text."""
    message = message_from_bytes(content, policy=default)
    subject = str(message.get("Subject", "")) or "mail without a subject"
    status, severity = read_words(subject)
    return Page("email", status, severity, subject, _text(message)[:_LONGEST].strip(), ", ".join(recipients))


def _text(message: EmailMessage) -> str:
    try:
        part = message.get_body(("plain", "html"))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError, AttributeError):
        # A character set or structure that is none: the mail is shown without its text rather than lost.
        return "(text that cannot be decoded)"

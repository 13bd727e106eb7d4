# SPDX-License-Identifier: Apache-2.0
"""Mail to pages."""

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.pagesink.mail import page_of


def mail(subject: str, text: str, html: str = "") -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "alerts@example.org"
    message["To"] = "oncall@example.org"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


@pytest.mark.parametrize(
    ("subject", "status", "severity"),
    [
        ("[critical x2] OpenAITargetDown openai", "firing", "critical"),
        ("[resolved] OpenAITargetDown", "resolved", ""),
        ("[FIRING:1] OpenAIHighLatency (warning)", "firing", "warning"),
        ("Größe: é", "firing", ""),
    ],
)
def test_the_subject_says_status_and_severity(subject: str, status: str, severity: str) -> None:
    found = page_of(mail(subject, "body"), ["a@example.org", "b@example.org"])

    assert (found.title, found.status, found.severity) == (subject, status, severity)
    assert found.receiver == "a@example.org, b@example.org"


def test_the_plain_text_is_the_text() -> None:
    assert page_of(mail("s", "plain\ntext", "<p>html</p>"), []).text == "plain\ntext"


def test_a_character_set_that_is_none_loses_the_text_not_the_page() -> None:
    content = b"Subject: [critical] x\r\nContent-Type: text/plain; charset=nosuch\r\n\r\n\xff\xfe"

    found = page_of(content, [])

    assert found.title == "[critical] x"
    assert found.text


@given(st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    assert page_of(content, []).channel == "email"
    assert page_of(b"Subject: x\r\nContent-Type: " + content, []).channel == "email"

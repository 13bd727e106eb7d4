# SPDX-License-Identifier: Apache-2.0
"""The running receiver: webhooks, mail, lists, HTML, and its end."""

import json
import signal
import smtplib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from .test_webhook import ALERT, NOTIFICATION

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sink:
    """A running page-sink."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.smtp = self._place("taking mail on smtp://")
        self.url = "http://" + self._place("listening on http://").split()[0]

    def _place(self, start: str) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(start), line
        return line.removeprefix(start).strip()

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"{self.url}{path}", body, method=method)
        try:
            with OPENER.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def post(self, data: object) -> tuple[int, str]:
        return self.call("POST", "/alerts", json.dumps(data).encode())

    def pages(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.call("GET", f"/api/v1/pages{query}")[1])["pages"]
        return found


@contextmanager
def running(*flags: str) -> Iterator[Sink]:
    argv = [sys.executable, "-m", "openai_exporter", "page-sink", "--listen-address", "127.0.0.1:0"]
    with subprocess.Popen(
        [*argv, "--smtp-listen-address", "127.0.0.1:0", *flags], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Sink(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with running() as found:
        yield found


@pytest.fixture(autouse=True)
def _empty(sink: Sink) -> None:
    sink.call("DELETE", "/api/v1/pages")


def test_a_posted_page_is_listed_and_forgotten(sink: Sink) -> None:
    status, text = sink.post(NOTIFICATION)

    number = json.loads(text)["id"]
    assert status == 200
    assert [(page["id"], page["title"]) for page in sink.pages()] == [(number, "OpenAITargetDown")]
    assert sink.pages(f"?since={number}") == []
    assert sink.call("DELETE", "/api/v1/pages") == (200, '{"deleted":1}')
    assert sink.pages() == []


def test_a_mail_is_a_page(sink: Sink) -> None:
    message = EmailMessage()
    message["Subject"] = "[critical] OpenAITargetDown"
    message["From"], message["To"] = "alerts@example.org", "oncall@example.org"
    message.set_content("No probe has succeeded.\n")
    host, _, port = sink.smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as client:
        client.send_message(message)

    page = sink.pages()[0]
    assert (page["channel"], page["severity"], page["receiver"]) == (
        "email",
        "critical",
        "oncall@example.org",
    )
    assert page["text"] == "No probe has succeeded."


def test_the_html_page_escapes_what_it_shows_and_links_only_to_web_pages(sink: Sink) -> None:
    notes = {
        "description": "<script>x</script>",
        "runbook_url": "javascript:alert(1)",
        "dashboard_url": "https://g.x/d",
    }
    sink.post(NOTIFICATION | {"alerts": [ALERT | {"annotations": notes}]})

    status, text = sink.call("GET", "/")

    assert status == 200
    assert "&lt;script&gt;x" in text
    assert "<script" not in text
    assert "javascript:" not in text
    assert '<a href="https://g.x/d">dashboard</a>' in text


def test_without_pages_the_html_page_says_what_to_do(sink: Sink) -> None:
    assert "No page yet." in sink.call("GET", "/")[1]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/", b"no json", 400),
        ("POST", "/x/y", b"{}", 200),
        ("POST", "/", b"{" + b" " * (1 << 20) + b"}", 413),
        ("GET", "/nosuch", None, 405),
        ("PUT", "/", b"{}", 405),
        ("GET", "/api/v1/pages?since=x", None, 400),
        ("GET", "/-/healthy", None, 200),
        ("GET", "/-/ready", None, 200),
    ],
)
def test_requests_and_their_status(
    sink: Sink, method: str, path: str, body: bytes | None, expected: int
) -> None:
    assert sink.call(method, path, body)[0] == expected


def test_a_signal_ends_it_with_status_zero_and_the_file_keeps_the_pages(tmp_path: Path) -> None:
    file = tmp_path / "pages.jsonl"
    with running("--file", str(file)) as first:
        first.post(NOTIFICATION)
        first.process.send_signal(signal.SIGTERM)
        out, _ = first.process.communicate(timeout=20)

        assert first.process.returncode == 0
        assert "CRITICAL" in out
    with running("--file", str(file)) as second:
        assert [page["title"] for page in second.pages()] == ["OpenAITargetDown"]


@pytest.mark.parametrize("flag", ["--listen-address", "--smtp-listen-address"])
def test_a_taken_port_is_told_with_its_flag(flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [
            sys.executable,
            "-m",
            "openai_exporter",
            "page-sink",
            "--listen-address",
            "127.0.0.1:0",
            flag,
            address,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert done.stderr == (
        f"openai-exporter: cannot listen on {address}: the port is in use; choose another with {flag} HOST:PORT\n"
    )

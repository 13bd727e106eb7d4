# SPDX-License-Identifier: Apache-2.0
"""The receiver of webhooks: what it makes of a notification, stores, lists and prints."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from openai_exporter.demo.page_sink import Alert, Page, Store, parse_webhook, show
from openai_exporter.errors import StartError
from tests.deadlines import next_line

# Posted JSON to pages.

WEBHOOK_ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "OpenAITargetDown", "severity": "critical", "target": "openai"},
    "annotations": {"summary": "Every probe of a target fails.", "description": "No probe has succeeded."},
    "startsAt": "2026-11-21T08:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "abc",
}
NOTIFICATION: dict[str, Any] = {
    "version": "4",
    "groupKey": "{}",
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "page",
    "groupLabels": {},
    "commonLabels": {},
    "commonAnnotations": {"summary": "Every probe of a target fails."},
    "externalURL": "http://alertmanager",
    "alerts": [WEBHOOK_ALERT],
}


def parse(data: object) -> Page:
    return parse_webhook(json.dumps(data).encode())


def test_a_notification_of_alertmanager_is_a_page_with_its_alerts() -> None:
    found = parse(NOTIFICATION)

    assert (found.channel, found.status, found.severity, found.receiver) == ("webhook", "firing", "critical", "page")
    assert (found.title, found.text) == ("OpenAITargetDown", "Every probe of a target fails.")
    assert found.alerts[0].labels["target"] == "openai"
    assert found.alerts[0].ends_at == ""
    assert found.alerts[0].generator_url == "http://prometheus/graph"


def test_the_worst_severity_and_every_name_stand_for_a_group() -> None:
    mild = WEBHOOK_ALERT | {"labels": {"alertname": "OpenAIHighLatency", "severity": "warning"}}
    found = parse(NOTIFICATION | {"alerts": [mild, WEBHOOK_ALERT, mild], "commonAnnotations": {}})

    assert found.severity == "critical"
    assert found.title == "OpenAIHighLatency, OpenAITargetDown"


def test_a_resolved_alert_has_its_end() -> None:
    over = WEBHOOK_ALERT | {"status": "resolved", "endsAt": "2026-11-21T09:00:00Z"}
    found = parse(NOTIFICATION | {"status": "resolved", "alerts": [over]})

    assert (found.status, found.alerts[0].ends_at) == ("resolved", "2026-11-21T09:00:00Z")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON"),
        (b"status=firing", "the body is not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"alerts": 3}', "alerts: input should be a valid list"),
        (b'{"alerts": [{"labels": {}}]}', "alerts.0.status: field required"),
        (b'{"alerts": [{"status": "firing", "labels": {"a": 1}}]}', "alerts.0.labels.a: input should be"),
        (b'{"attachments": [{"title": "for Slack"}]}', "alerts: field required"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_page_is_refused_with_the_reason(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_webhook(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(NOTIFICATION)), inner),
    max_leaves=20,
)


@given(JSON)
def test_no_json_raises_anything_else_and_every_page_survives_a_restart(data: object) -> None:
    try:
        found = parse(data)
    except ValueError:
        return
    assert found == Page.model_validate_json(found.model_dump_json())


# The running receiver: webhooks, lists, HTML, and its end.

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sink:
    """A running page-sink."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        line = next_line(process)
        assert line.startswith("listening on http://"), line
        self.url = line.split()[2]

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
    with subprocess.Popen([*argv, *flags], stdout=subprocess.PIPE, text=True) as process:
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


def test_the_html_page_escapes_what_it_shows_and_links_only_to_web_pages(sink: Sink) -> None:
    notes = {
        "description": "<script>x</script>",
        "runbook_url": "javascript:alert(1)",
        "dashboard_url": "https://g.x/d",
    }
    sink.post(NOTIFICATION | {"alerts": [WEBHOOK_ALERT | {"annotations": notes}]})

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
        ("POST", "/x/y", b'{"alerts": []}', 200),
        ("POST", "/x/y", b"{}", 400),
        ("POST", "/", b"{" + b" " * (1 << 20) + b"}", 413),
        ("GET", "/nosuch", None, 405),
        ("PUT", "/", b"{}", 405),
        ("GET", "/api/v1/pages?since=x", None, 400),
        ("GET", "/-/healthy", None, 200),
        ("GET", "/-/ready", None, 200),
    ],
)
def test_requests_and_their_status(sink: Sink, method: str, path: str, body: bytes | None, expected: int) -> None:
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


def test_a_taken_port_is_told_with_its_flag() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [sys.executable, "-m", "openai_exporter", "page-sink", "--listen-address", address]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert done.stderr == (
        f"openai-exporter: cannot listen on {address}: the port is in use; "
        "choose another with --listen-address HOST:PORT\n"
    )


# What is stored, for how long, and over a restart.


def page(title: str) -> Page:
    alert = Alert(status="firing", labels={"alertname": title})
    return Page(status="firing", severity="critical", title=title, text="text", receiver="page", alerts=(alert,))


def titles(store: Store) -> list[str]:
    return [page.title for page in store.pages()]


def test_pages_are_numbered_and_the_newest_comes_first() -> None:
    store = Store(keep=10, now=lambda: 42.0)

    kept = [store.add(page(title)) for title in "ab"]

    assert [(each.id, each.received) for each in kept] == [(1, 42.0), (2, 42.0)]
    assert titles(store) == ["b", "a"]


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "pages.jsonl"
    store = Store(keep=3, file=file)
    for number in range(20):
        store.add(page(str(number)))

    assert titles(store) == ["19", "18", "17"]
    lines = file.read_text().splitlines()
    assert 3 <= len(lines) <= 6
    assert json.loads(lines[-1])["title"] == "19"


def test_a_restart_keeps_pages_and_goes_on_counting(tmp_path: Path) -> None:
    file = tmp_path / "new" / "pages.jsonl"
    first = Store(keep=3, file=file)
    for title in "abcd":
        first.add(page(title))

    second = Store(keep=3, file=file)

    assert second.pages() == first.pages()
    assert second.add(page("e")).id == 5


def test_clearing_forgets_the_file_too(tmp_path: Path) -> None:
    file = tmp_path / "pages.jsonl"
    store = Store(keep=3, file=file)
    store.add(page("a"))

    assert store.clear() == 1
    assert store.pages() == ()
    assert Store(keep=3, file=file).pages() == ()
    assert store.add(page("b")).id == 2


@pytest.mark.parametrize("content", ["not json\n", '{"a": 1}\n', "3\n", '{"alerts": 3}\n'])
def test_a_file_of_something_else_is_not_touched(tmp_path: Path, content: str) -> None:
    file = tmp_path / "precious"
    file.write_text(content)

    with pytest.raises(StartError, match="holds something else than pages"):
        Store(keep=3, file=file)
    assert file.read_text() == content


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="name a file that can be written"):
        Store(keep=3, file=tmp_path / "file" / "pages")


def test_a_file_that_fails_later_loses_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    store = Store(keep=3, file=folder / "pages.jsonl")
    (folder / "pages.jsonl").unlink()
    folder.rmdir()

    store.add(page("a"))
    store.clear()
    store.add(page("b"))

    assert titles(store) == ["b"]
    assert "in memory only" in caplog.text


# Pages in the terminal.


def printed(page: Page, *, colours: bool = False) -> str:
    out = io.StringIO()
    show(page, Console(file=out, force_terminal=colours, color_system="standard" if colours else None, width=200))
    return out.getvalue()


ALERT = Alert(
    status="firing",
    labels={"alertname": "OpenAITargetDown", "severity": "critical"},
    annotations={"description": "No probe has succeeded.", "runbook_url": "https://r.example.org/x"},
)
PAGE = Page(
    status="firing", severity="critical", title="OpenAITargetDown", text="", receiver="page", alerts=(ALERT,), id=1
)


def test_a_page_has_a_headline_its_text_and_its_links() -> None:
    text = printed(PAGE)

    assert "CRITICAL" in text.splitlines()[0]
    assert "OpenAITargetDown  webhook to page" in text
    assert "● No probe has succeeded." in text
    assert "runbook https://r.example.org/x" in text


def test_severity_and_end_have_colours() -> None:
    over = Alert(status="resolved", labels={"alertname": "X"})
    resolved = Page(status="resolved", severity="critical", title="X", text="", alerts=(over,))

    assert "\x1b[1;37;41m" in printed(PAGE, colours=True)
    assert "\x1b[1;30;42m RESOLVED " in printed(resolved, colours=True)
    assert "✓ alertname=X" in printed(resolved)


def test_what_a_page_holds_is_shown_and_never_obeyed() -> None:
    evil = "\x1b]0;owned\x07 [bold]not markup[/] \x1b[2J"
    alert = Alert(status="firing", labels={"a": evil}, annotations={"summary": evil})
    page = Page(status="firing", severity=evil, title=evil, text=evil, receiver=evil, alerts=(alert,))
    text = printed(page)

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]not markup[/]" in text

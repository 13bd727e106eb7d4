# SPDX-License-Identifier: Apache-2.0
"""The real exporter on a real socket, in a thread or as a child process, and a client for it."""

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from openai_exporter.web import server
from openai_exporter.web.live import Live, Settings, read_config
from openai_exporter.web.server import ExporterServer
from openai_exporter.web.webconfig import WebFile

KEY, ADMIN_KEY = "sk-test-0123456789abcdef", "sk-admin-0123456789abcdef"
ENV = {"TEST_KEY": KEY, "TEST_ADMIN_KEY": ADMIN_KEY}
MODEL = "gpt-6-luna"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def request(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: float = 60,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request on its own connection."""
    made = (
        http.client.HTTPSConnection("localhost", port, timeout=timeout, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    )
    try:
        made.request(method, path, headers=dict(headers or {}))
        answer = made.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        made.close()


class Page(HTMLParser):
    """The text, links and tags of a page."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "rect", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {' '.join(data.split())}"


def page_of(reply: Reply) -> Page:
    """The page of an answer that is HTML, and well-formed."""
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    return Page(reply.text)


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter."""

    port: int
    live: Live
    server: ExporterServer
    config_file: Path

    def get(self, path: str, **headers: str) -> Reply:
        """GET; underscores in header names become hyphens."""
        return self.send("GET", path, **headers)

    def send(self, method: str, path: str, **headers: str) -> Reply:
        """One request of any method."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(self.port, path, method, named)

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the configuration file; a reload makes it count."""
        self.config_file.write_text(yaml.safe_dump(dict(document), sort_keys=False))


def document(api_url: str, **more: Any) -> dict[str, Any]:
    """A small configuration against an API."""
    root = api_url.removesuffix("/v1")
    return {
        "targets": [{"name": "sim", "base_url": api_url, "api_key_env": "TEST_KEY"}],
        "modules": {
            "chat": {"endpoint": "chat", "timeout": "5s"},
            "chat_stream": {"endpoint": "chat", "stream": True},
            "slow": {"endpoint": "chat", "timeout": "25s"},
            "models": {"endpoint": "models"},
        },
        "probes": [
            {"target": "sim", "module": "models"},
            {"target": "sim", "module": "chat", "models": [MODEL], "labels": {"team": "search"}},
            {"target": "sim", "module": "chat_stream", "models": [MODEL, "gpt-5.4-mini"]},
            {"target": "sim", "module": "slow", "models": [MODEL]},
        ],
        "organizations": [{"name": "acme", "base_url": api_url, "admin_key_env": "TEST_ADMIN_KEY"}],
        "status_pages": [{"name": "page", "url": f"{root}/status"}],
        **more,
    }


@contextmanager
def running(folder: Path, config: Mapping[str, Any], **settings: Any) -> Iterator[Exporter]:
    """The exporter in a thread of this process, on a free port."""
    file = folder / "exporter.yml"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    made = Settings(**{"env": ENV, "config_file": file, "listen": ("127.0.0.1:0",), **settings})
    listening = server.listen(made.listen)
    ready: list[ExporterServer] = []
    thread = threading.Thread(target=_serve, args=(made, listening, ready), daemon=True)
    thread.start()
    poll(lambda: bool(ready) and ready[0].started)
    try:
        yield Exporter(listening[0].getsockname()[1], ready[0].live, ready[0], file)
    finally:
        ready[0].should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def _serve(settings: Settings, listening: list[socket.socket], ready: list[ExporterServer]) -> None:
    async def main() -> None:
        live = Live(read_config(settings), settings)
        server = ExporterServer(live, WebFile(settings.web_config_file))
        ready.append(server)
        await server.serve(listening)

    with asyncio.Runner() as runner:
        runner.run(main())


@dataclass(frozen=True, slots=True)
class Child:
    """A running exporter process."""

    port: int
    process: subprocess.Popen[str]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[float, int, str]:
        """Send a signal; seconds until the end, exit status, and all that it wrote to standard error."""
        start = time.monotonic()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=60)
        return time.monotonic() - start, self.process.returncode, log


@contextmanager
def child(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """`openai-exporter serve` on a free port of 127.0.0.1, ready to answer."""
    port = free_port()
    process = run_cli("serve", "--web.listen-address", f"127.0.0.1:{port}", *arguments, env=env)
    try:
        poll(lambda: process.poll() is not None or _healthy(port), seconds=60)
        assert process.poll() is None, process.communicate(timeout=60)[1]
        yield Child(port, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


def run_cli(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line; its environment holds no key but those of `env`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_") or "STORAGE" in name}
    return subprocess.Popen(
        [sys.executable, "-m", "openai_exporter", *arguments],
        env={**kept, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def poll(condition: Any, seconds: float = 60) -> None:
    """Wait until a condition holds; fails when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come about in time"
        time.sleep(0.01)


def _healthy(port: int) -> bool:
    try:
        return request(port, "/-/healthy", timeout=2).status == 200
    except OSError:
        return False

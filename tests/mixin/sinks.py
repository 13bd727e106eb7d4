# SPDX-License-Identifier: Apache-2.0
"""Receivers on loopback that keep what Alertmanager sends: HTTP (Slack, webhooks) and mail."""

import email
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HttpSink(ThreadingHTTPServer):
    """Keeps the JSON body of every POST, by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.received: dict[str, list[dict[str, Any]]] = {}
        self.headers: dict[str, dict[str, str]] = {}

    def url(self, path: str) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def alerts(self, path: str, status: str) -> set[str]:
        """Names of the alerts of that status that came by webhook."""
        found = [alert for body in self.received.get(path, ()) for alert in body["alerts"]]
        return {alert["labels"]["alertname"] for alert in found if alert["status"] == status}


class _Post(BaseHTTPRequestHandler):
    server: HttpSink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers[self.path] = dict(self.headers)
        self.server.received.setdefault(self.path, []).append(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read what was kept, not a log."""


class MailSink(socketserver.ThreadingTCPServer):
    """An SMTP server without authentication that keeps every message."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.messages: list[Message] = []

    @property
    def smarthost(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Smtp(socketserver.StreamRequestHandler):
    server: MailSink

    def handle(self) -> None:
        self._say("220 sink")
        for line in self.rfile:
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                self._say("354 go on")
                self._keep()
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            self._say("250 sink")

    def _keep(self) -> None:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.server.messages.append(email.message_from_bytes(b"".join(lines)))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)

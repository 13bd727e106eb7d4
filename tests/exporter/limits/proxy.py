# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in front of the simulator: it counts what changes something, and does to it what a rule says."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Act = Literal["pass", "drop", "lose", "hang", "answer"]
"""Forward it; close without forwarding; forward it and close; forward it and stay silent; answer in the API's place."""


@dataclass
class Rule:
    """What happens to the n-th request of a kind (the first is 1; 0: each).

    `then` is called before the request is forwarded, or after it for `lose` and `hang`.
    """

    act: Act
    method: str = "WRITE"
    path: str = ""
    number: int = 1
    status: int = 500
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    then: Callable[[], object] = lambda: None
    seen: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether it is this request's turn."""
        if self.method not in (method, "WRITE" if method != "GET" else "") or self.path not in path:
            return False
        self.seen += 1
        return self.number in (0, self.seen)


class Proxy:
    """`writes` are the requests that reached the API and change something, `sent` all such, `read` the others."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self.rules: list[Rule] = []
        self.writes: list[tuple[str, str]] = []
        self.sent: list[tuple[str, str]] = []
        self.read: list[str] = []
        self.release = threading.Event()
        self.url = ""

    def reset(self) -> None:
        """Forget rules and requests; let go of what hangs."""
        self.release.set()
        self.rules, self.writes, self.sent, self.read, self.release = [], [], [], [], threading.Event()

    def rule_for(self, method: str, path: str) -> Rule:
        """What to do with a request."""
        with self._lock:
            matching = [rule for rule in self.rules if rule.matches(method, path)]
            return matching[0] if matching else Rule("pass")

    def forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, list[Any], bytes]:
        """Send it on and return the answer."""
        if method != "GET":
            self.writes.append((method, path))
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    @classmethod
    @contextlib.contextmanager
    def running(cls, upstream: str) -> Iterator["Proxy"]:
        """A proxy on a free port."""
        proxy = cls(upstream)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
        server.daemon_threads = True
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.reset()
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait 40 ms until the first is acknowledged.
    disable_nagle_algorithm = True
    proxy: Proxy

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.command != "GET":
            self.proxy.sent.append((self.command, self.path))
        else:
            self.proxy.read.append(self.path)
        rule = self.proxy.rule_for(self.command, self.path)
        if rule.act in ("pass", "drop", "answer"):
            rule.then()
        if rule.act == "drop":
            self.close_connection = True
            return
        if rule.act == "answer":
            self._reply(rule.status, list({"content-type": "application/json", **rule.headers}.items()), rule.body)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        status, answered, content = self.proxy.forward(self.command, self.path, body, headers)
        if rule.act in ("lose", "hang"):
            rule.then()
            if rule.act == "hang":
                self.proxy.release.wait(60)
            self.close_connection = True
            return
        self._reply(status, answered, content)

    def _reply(self, status: int, headers: list[Any], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815

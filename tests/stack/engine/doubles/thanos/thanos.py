#!/opt/openai-exporter/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A double of Thanos: `receive`, `query` and `rule` with the flags, ports and paths that docker-compose.yml uses.

They speak HTTP where Thanos speaks gRPC. Behind `receive` a Prometheus stores what is written to it, `query` passes
questions on to the first endpoint, and behind `rule` a Prometheus evaluates the rules over what `query` reads.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHIND = "http://127.0.0.1:9090"
LISTENS = ("--grpc-address", "--http-address")
FLAGS = {
    "receive": (*LISTENS, "--tsdb.path", "--tsdb.retention", "--label", "--remote-write.address"),
    "query": (*LISTENS, "--endpoint", "--query.replica-label"),
    "rule": (
        *LISTENS, "--data-dir", "--tsdb.retention", "--eval-interval", "--label", "--rule-file", "--query",
        "--alertmanagers.url", "--alert.label-drop", "--alert.query-url",
    ),
}  # fmt: skip


def given() -> tuple[str, dict[str, list[str]]]:
    """Component, and flag -> its values; a flag that is not known here ends the program, as in Thanos."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    components = parser.add_subparsers(dest="component", required=True)
    for name, flags in FLAGS.items():
        component = components.add_parser(name, allow_abbrev=False)
        for flag in flags:
            component.add_argument(flag, action="append", dest=flag, required=True)
    found = vars(parser.parse_args())
    return found.pop("component"), found


def serve(address: str, upstream: Callable[[str, str], str | None]) -> None:
    """Answer as the URL that `upstream(method, path)` names does, 200 where that is empty, 404 where there is none."""

    class Pages(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            url = upstream(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, content = self._ask(url, body) if url else (404 if url is None else 200, "", b"")
            self.send_response(status)
            # Remote read refuses an answer of another type.
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _ask(self, url: str, body: bytes) -> tuple[int, str, bytes]:
            left = ("host", "connection", "accept-encoding")
            kept = {name: value for name, value in self.headers.items() if name.lower() not in left}
            request = urllib.request.Request(url, body or None, kept, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.headers.get("Content-Type", ""), answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, "text/plain", error.read()
            except OSError as error:
                return 502, "text/plain", str(error).encode()

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    port = int(address.rpartition(":")[2])
    threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", port), Pages).serve_forever).start()


def prometheus(folder: Path, config: Mapping[str, object], *flags: str) -> None:
    """Start Prometheus on the loopback, with its data in the folder; when it ends, so does this."""
    file = folder / "double.yml"
    file.write_text(json.dumps(dict(config)))
    own = [f"--config.file={file}", f"--storage.tsdb.path={folder}", "--web.listen-address=127.0.0.1:9090"]
    process = subprocess.Popen(["prometheus", *own, "--web.enable-lifecycle", *flags])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    threading.Thread(target=lambda: os._exit(abs(process.wait()))).start()


def ready(path: str) -> str | None:
    return "" if path in ("/-/ready", "/-/healthy") else None


def receive(flags: dict[str, list[str]]) -> None:
    kept = f"--storage.tsdb.retention.time={flags['--tsdb.retention'][0]}"
    prometheus(Path(flags["--tsdb.path"][0]), {}, kept, "--web.enable-remote-write-receiver")
    written = {("POST", "/api/v1/receive"): f"{BEHIND}/api/v1/write"}
    serve(flags["--remote-write.address"][0], lambda method, path: written.get((method, path)))
    serve(flags["--grpc-address"][0], lambda _, path: BEHIND + path)
    serve(flags["--http-address"][0], lambda _, path: f"{BEHIND}/-/ready" if path == "/-/ready" else None)


def query(flags: dict[str, list[str]]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    store = f"http://{flags['--endpoint'][0]}"
    serve(flags["--http-address"][0], lambda _, path: store + path if path.startswith("/api/") else ready(path))


def rule(flags: dict[str, list[str]]) -> None:
    address = flags["--alertmanagers.url"][0].removeprefix("http://")
    config: dict[str, object] = {
        "global": {"evaluation_interval": flags["--eval-interval"][0]},
        "rule_files": flags["--rule-file"],
        "remote_read": [{"url": f"http://{flags['--query'][0]}/api/v1/read", "read_recent": True}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
    }
    prometheus(Path(flags["--data-dir"][0]), config)
    known = ("/-/ready", "/-/reload", "/api/v1/rules")
    serve(flags["--http-address"][0], lambda _, path: BEHIND + path if path in known else None)


if __name__ == "__main__":
    try:
        component, found = given()
        {"receive": receive, "query": query, "rule": rule}[component](found)
    except (KeyError, OSError) as error:
        sys.exit(f"double of Thanos: {error!r}")

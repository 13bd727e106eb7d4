# SPDX-License-Identifier: Apache-2.0
"""A server that answers with given documents, at a given time."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@contextmanager
def answering(documents: dict[str, Any], headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server of documents by path, or by path with bucket width or cursor; 404 for what is not there.

    A document is what JSON is made of, or a text that is served as it is. `headers` may change; Date is one of them.

    Yields its URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            path = url.path.removeprefix("/organization")
            more = [query.get(name, [""])[0] for name in ("page", "after", "bucket_width")]
            names = [f"{path} {each}" for each in more if each]
            found = next((documents[name] for name in (*names, path) if name in documents), None)
            answer = found or {"error": {"message": "Not found."}}
            body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                if name != "Date":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """What header Date says."""
            return (headers or {}).get("Date", "Sat, 21 Nov 2026 09:30:00 GMT")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(60)

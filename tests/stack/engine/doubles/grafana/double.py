# SPDX-License-Identifier: Apache-2.0
"""A double of Grafana: reads what that would read at its start, then answers /api/health and /metrics on port 3000."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = {
    "/api/health": ("application/json", b'{"database": "ok", "version": "double"}'),
    "/metrics": ("text/plain; version=0.0.4", b'grafana_build_info{version="double"} 1\n'),
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, body = PAGES.get(self.path, ("text/plain", b""))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> None:
    provisioning = Path(os.environ["GF_PATHS_PROVISIONING"])
    password = Path(os.environ["GF_SECURITY_ADMIN_PASSWORD__FILE"]).read_text().strip()
    assert len(password) >= 16, "the password is short"
    for folder in ("datasources", "dashboards"):
        files = [path.read_text() for path in (provisioning / folder).glob("*.yaml")]
        assert all(files or [""]), f"nothing to provision in {provisioning / folder}"
    assert Path(os.environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).read_text().startswith("{")
    Path("/var/lib/grafana/grafana.db").touch()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("0.0.0.0", 3000), Pages).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, KeyError, OSError) as error:
        sys.exit(f"double of Grafana: {error!r}")

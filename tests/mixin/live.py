# SPDX-License-Identifier: Apache-2.0
"""A real Alertmanager on loopback."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deadlines import stop
from tests.mixin.bundle import ALERTMANAGER_BINARY
from tests.stack.programs import free_port, get, wait_for

_NOTES = {
    "summary": "It is wrong.",
    "description": "a < b & c > d",
    "runbook_url": "https://r.example.org/x",
    "dashboard_url": "https://g.example.org/d/x?from=now-6h&to=now&viewPanel=7&var-target=openai&var-model=gpt-6",
}


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """One that runs.

    Attributes:
        log: its log at level debug.
    """

    url: str
    log: Path

    def post(
        self,
        alerts: Sequence[Mapping[str, str]],
        *,
        resolved: bool = False,
        began: str = "2026-01-01T00:00:00Z",
        **notes: str,
    ) -> None:
        """Send alerts by their labels, as Prometheus does; `notes` are annotations in place of the usual ones.

        A group waits for others only if it `began` within its wait.
        """
        times = {"startsAt": began} | ({"endsAt": "2026-01-01T01:00:00Z"} if resolved else {})
        body = [{"labels": dict(labels), "annotations": _NOTES | notes, **times} for labels in alerts]
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            assert answer.status == 200

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds, with each alert's state."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/api/v2/alerts")[1])
        return found

    def wait(self, what: Callable[[], object], said: str) -> None:
        """Until something is so; quotes the log when it never is."""
        try:
            wait_for(what, 180, said)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-3000:]}") from None


@contextmanager
def running_alertmanager(config: Path) -> Iterator[Alertmanager]:
    """Start one with a configuration file; its data lie beside it."""
    port = free_port()
    log = config.with_name("alertmanager.log")
    argv = [
        ALERTMANAGER_BINARY or "alertmanager",
        f"--config.file={config}",
        f"--storage.path={config.with_name('data')}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=debug",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out)
        found = Alertmanager(f"http://127.0.0.1:{port}", log)
        try:
            found.wait(lambda: get(f"{found.url}/-/ready")[0] == 200, "Alertmanager ready")
            yield found
        finally:
            stop(process)

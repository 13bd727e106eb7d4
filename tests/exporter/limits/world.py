# SPDX-License-Identifier: Apache-2.0
"""The command against the proxy, and what is set at the API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2
from click.testing import CliRunner, Result

from openai_exporter.cli.main import main
from openai_simulator.testing import SimulatorControl
from tests.exporter.demo.terminal import Terminal
from tests.exporter.limits.proxy import Proxy, Rule

NOW = "2026-11-02T09:00:00Z"
KEY = "sk-admin-0123456789abcdef-write"
USED = ("Search", "Customer support")
"""The projects that tests change."""
Snapshot = dict[str, dict[str, Any]]
"""By project id (empty: the organization): cents or None, alerts by amount, rate limits by model."""


@dataclass
class World:
    """One simulated organization, reached through a proxy."""

    simulator: SimulatorControl
    proxy: Proxy
    state: Path
    projects: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api = httpx2.Client(
            base_url=f"{self.simulator.api_url}/organization",
            headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False,
        )  # fmt: skip
        self.projects = {one["name"]: one["id"] for one in self.api.get("/projects").json()["data"]}

    def close(self) -> None:
        self.api.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPENAI_ADMIN_KEY_WRITE": KEY,
            "OPENAI_BASE_URL": f"{self.proxy.url}/v1",
            "OPENAI_EXPORTER_STORAGE_PATH": str(self.state),
        }

    def run(self, *arguments: str, **environment: str | None) -> Result:
        """`openai-exporter limits ...`; no terminal."""
        return CliRunner().invoke(main, ["limits", *arguments], env={**self.environment, **environment})

    @contextmanager
    def process(
        self, *arguments: str, largest_file: int = 0, stdin: IO[str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """The same as a process that can be killed, or that may write no file above so many bytes."""
        command = [sys.executable, "-m", "openai_exporter", "limits", *arguments]
        if largest_file:
            command = ["prlimit", f"--fsize={largest_file}", *command]
        env = {**os.environ, **self.environment}
        with subprocess.Popen(
            command, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def terminal(self, *arguments: str, answer: str = "", columns: int = 80) -> tuple[int, str]:
        """Exit status and output on a terminal on which somebody types `answer` when asked."""
        env = {**os.environ, **self.environment, "COLUMNS": str(columns)}
        terminal = Terminal([sys.executable, "-m", "openai_exporter", "limits", *arguments], env=env)
        if answer:
            terminal.shows("[y/N]")
            terminal.press(answer)
        return terminal.end(), terminal.raw.replace("\r\n", "\n")

    def projects_named(self, **names: str) -> Rule:
        """Others as the API's list of projects has them, these by other names."""
        body = self.api.get("/projects", params={"include_archived": "true"}).json()
        for one in body["data"]:
            one["name"] = names.get(one["name"], one["name"])
        listed = json.dumps(body).encode()
        return Rule("answer", method="GET", path="/organization/projects?", number=0, status=200, body=listed)

    def snapshot(self) -> Snapshot:
        return {scope: self._scope(scope) for scope in ("", *(self.projects[name] for name in USED))}

    def base(self, scope: str) -> str:
        return f"/projects/{scope}" if scope else ""

    def limit(self, scope: str = "") -> int | None:
        reply = self.api.get(f"{self.base(scope)}/spend_limit")
        cents: int | None = reply.json()["threshold_amount"] if reply.status_code == 200 else None
        return cents

    def set_limit(self, scope: str, cents: int | None) -> None:
        """What somebody else does."""
        if cents is None:
            self.api.delete(f"{self.base(scope)}/spend_limit")
        else:
            body = {"threshold_amount": cents, "currency": "USD", "interval": "month"}
            assert self.api.post(f"{self.base(scope)}/spend_limit", json=body).status_code == 200

    def rates(self, scope: str) -> list[dict[str, Any]]:
        return list(self.api.get(f"{self.base(scope)}/rate_limits", params={"limit": 100}).json()["data"])

    def rate(self, project: str, model: str) -> dict[str, Any]:
        return next(one for one in self.rates(self.projects[project]) if one["model"] == model)

    def _alerts(self, scope: str) -> list[dict[str, Any]]:
        return list(self.api.get(f"{self.base(scope)}/spend_alerts").json()["data"])

    def _scope(self, scope: str) -> dict[str, Any]:
        alerts = sorted((one["threshold_amount"], str(one["notification_channel"])) for one in self._alerts(scope))
        rates = {one["model"]: one for one in self.rates(scope)} if scope else {}
        return {"limit": self.limit(scope), "alerts": alerts, "rates": rates}

    def restore(self, before: Snapshot) -> None:
        for scope, settings in before.items():
            if self.limit(scope) != settings["limit"]:
                self.set_limit(scope, settings["limit"])
            for one in self._alerts(scope):
                if (one["threshold_amount"], str(one["notification_channel"])) not in settings["alerts"]:
                    self.api.delete(f"{self.base(scope)}/spend_alerts/{one['id']}")
            for one in self.rates(scope) if scope else ():
                old = settings["rates"][one["model"]]
                if old != one:
                    limits = {name: value for name, value in old.items() if name not in ("id", "model", "object")}
                    self.api.post(f"{self.base(scope)}/rate_limits/{one['id']}", json=limits)

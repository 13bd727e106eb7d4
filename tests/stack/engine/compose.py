# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml as a project of its own on an engine: its ports, its secrets, and what tests lay over it."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from openai_simulator.testing import SimulatorControl
from tests.stack.engine.engine import ROOT, Engine, images, rows
from tests.stack.programs import Prometheus, free_port, get

PORTS = {
    "exporter": "EXPORTER_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
    "grafana": "GRAFANA_PORT",
    "simulator": "SIMULATOR_PORT",
    "mailpit": "MAILPIT_PORT",
    "thanos-query": "THANOS_PORT",
}
SERVICES = {"exporter", "prometheus", "alertmanager", "grafana"}
"""What runs in every profile."""


IMAGE = images()["exporter"]
LIVES = {"test": ["CMD", "true"], "interval": "1s"}
"""A check of health for a service of a test: without one, `up --wait` returns before the others are healthy."""
API = {"image": IMAGE, "command": ["simulate", "--listen-address=0.0.0.0:8085"], "healthcheck": LIVES}
"""A service with a simulated API, which no profile is about."""
BUNDLED = "/opt/openai-exporter/lib/python3.13/site-packages/openai_exporter/_bundle"
"""Where the image has what rules and pages are made of."""
NO_HISTORY: Mapping[str, Any] = {"history": {"entrypoint": ["true"]}}
"""Laid over a demo whose past is not the point: 30 days of it take half a minute of each start."""
CONFINED = (False, {0}, "1", "ro")
"""What `confinement` says of a container that can do nothing."""


@dataclass(frozen=True)
class Compose:
    """One project: the shipped file, what a test lays over it, and its variables."""

    engine: Engine
    name: str
    folder: Path
    variables: Mapping[str, str]
    profiles: tuple[str, ...] = ()
    over: tuple[Path, ...] = ()

    def __call__(self, *arguments: str, check: bool = True) -> str:
        files = [part for path in (ROOT / "docker-compose.yml", *self.over) for part in ("-f", str(path))]
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        named = ["--project-directory", str(ROOT), "-p", self.name, "--env-file", "/dev/null"]
        given = {**dict.fromkeys(("OPENAI_BASE_URL", "HTTPS_PROXY", "NO_PROXY"), ""), **self.variables}
        return self.engine.docker("compose", *named, *files, *profiles, *arguments, env=given, check=check)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.variables[PORTS[service]]}"

    def get(self, service: str, path: str) -> tuple[int, str]:
        return self.engine.there(get, self.url(service) + path)

    def value(self, query: str, service: str = "prometheus") -> float | None:
        return self.engine.there(Prometheus(self.url(service)).value, query)

    def simulator(self, method: str, *arguments: Any) -> Any:
        return self.engine.there(getattr(SimulatorControl(self.url("simulator")), method), *arguments)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Service -> what `ps` says."""
        return {each["Service"]: each for each in rows(self("ps", "--all", "--format", "json"))}

    def states(self) -> dict[str, tuple[str, str]]:
        """Service -> whether it runs, and whether it is healthy."""
        return {name: (each["State"], each["Health"]) for name, each in self.containers().items()}

    def down(self) -> None:
        self("down", "--volumes", "--timeout", "2", check=False)

    def probe(self, path: str) -> dict[str, float]:
        status, text = self.get("exporter", path)
        assert status == 200, text
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def mails(self, text: str) -> list[str]:
        """Subjects with that text, newest first."""
        messages = json.loads(self.get("mailpit", "/api/v1/messages")[1])["messages"]
        return [each["Subject"] for each in messages if text in each["Subject"]]

    def confinement(self, services: Iterable[str]) -> dict[str, tuple[bool, set[int], str, str]]:
        """Service -> whether its first process is root, the capabilities that has, NoNewPrivs, how / is mounted."""
        found = {}
        for service in sorted(services):
            container = f"{self.name}-{service}-1"
            lines = self.engine.docker("exec", container, "cat", "/proc/1/status", "/proc/1/mounts").splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            root = next(line.split()[3].split(",")[0] for line in lines if line.split()[1] == "/")
            privileges = {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}
            is_root = 0 in map(int, status["Uid"].split())
            found[service] = (is_root, privileges, status["NoNewPrivs"].strip(), root)
        return found


def faster(folder: Path, times: int) -> str:
    """A volume for `prepare` by which the rules that it makes are that much faster than the shipped ones."""
    shipped = (ROOT / "alerting" / "config.libsonnet").read_text()
    changed = folder / "config.libsonnet"
    changed.write_text(shipped.replace("timeScale: 1,", f"timeScale: 1 / {times},"))
    assert changed.read_text() != shipped
    return f"{changed}:{BUNDLED}/alerting/config.libsonnet:ro"


def project(
    engine: Engine, folder: Path, over: Mapping[str, Any], profiles: tuple[str, ...] = (), **variables: str
) -> Compose:
    for name in ("exporter", "alertmanager", "prometheus"):
        (folder / "secrets" / name).mkdir(parents=True)
    (folder / "config").mkdir()
    overlay = folder / "over.yml"
    overlay.write_text(yaml.safe_dump(dict(over)))
    ports = {variable: str(free_port()) for variable in PORTS.values()}
    folders = {"SECRETS_DIR": str(folder / "secrets"), "CONFIG_DIR": str(folder / "config")}
    name = f"openai-exporter-test-{secrets.token_hex(3)}"
    return Compose(engine, name, folder, ports | folders | variables, profiles, (overlay,))

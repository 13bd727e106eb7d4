# SPDX-License-Identifier: Apache-2.0
"""What docker-compose.yml says, and what of it runs, in each odd case: on a real engine, and as a table in the guide.

Every case of a running stack also moves a port, so that containers are made anew, as an upgrade would make them.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from variables import KEYS, VARIABLES

from tests.stack.engine.compose import API, IMAGE, LIVES, PORTS, SERVICES
from tests.stack.engine.engine import ROOT, Engine, rows
from tests.stack.programs import Prometheus, free_port, get, wait_for

GUIDE = ROOT / "docs" / "compose.md"
ALL = frozenset(SERVICES)
NOTHING: frozenset[str] = frozenset()
WILDCARD = r"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    found = query[end - 4 : end - 2] == b"\0\1"
    head = query[:2] + b"\x81\x80\0\1\0" + bytes([found]) + b"\0\0\0\0" + query[12:end]
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton("192.0.2.1")
    server.sendto(head + answer * found, client)
"""
"""A name server that knows an address for every name."""


@dataclass
class Stack:
    """A copy of what people have of the project, in a directory of its own."""

    engine: Engine
    folder: Path
    name: str = field(default_factory=lambda: f"openai-cases-{secrets.token_hex(3)}")
    variables: dict[str, str] = field(default_factory=lambda: {each: str(free_port()) for each in PORTS.values()})
    over: dict[str, Any] = field(default_factory=dict)

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        for part in ("docker-compose.yml", "alerting/settings.yml", "alerting/thresholds.yml"):
            (self.folder / part).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, self.folder / part)
        shutil.copytree(ROOT / "alerting" / "rules.d", self.folder / "alerting" / "rules.d")
        for part in ("config", *(f"secrets/{name}" for name in ("exporter", "alertmanager", "prometheus"))):
            (self.folder / "deploy" / "compose" / part).mkdir(parents=True)

    def file(self, name: str) -> Path:
        folders = {"openai_": "deploy/compose/secrets/exporter", "ex": "deploy/compose/config"}
        folders |= {"prom": "deploy/compose/config", "th": "alerting", "rules.d": "alerting"}
        folder = next(folder for start, folder in folders.items() if name.startswith(start))
        return self.folder / folder / name

    def put(self, name: str, text: str) -> None:
        self.file(name).write_text(text)
        self.file(name).chmod(0o644)

    def compose(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        lines = (f"{name}={value}\n" for name, value in self.variables.items())
        (self.folder / ".env").write_text("".join(lines))
        (self.folder / "docker-compose.override.yml").write_text(yaml.safe_dump({"services": {}} | self.over))
        given = {"COMPOSE_PROJECT_NAME": self.name, **dict.fromkeys((*VARIABLES, *KEYS.values()), "")}
        unset = {name: value for name, value in given.items() if name not in self.variables}
        return self.engine.docker(
            "compose", "--project-directory", str(self.folder), *arguments, env=unset | (env or {}), check=False
        )

    def up(self, *profiles: str, env: dict[str, str] | None = None, build: bool = False) -> str:
        """Start it; what is said, by Compose when it fails and by `prepare`."""
        named = [part for profile in profiles for part in ("--profile", profile)]
        waits = ("--detach", "--wait", "--wait-timeout", "300", *(() if build else ("--no-build",)))
        said = self.compose(*named, "up", *waits, env=env)
        found = self.compose("ps", "--all", "--quiet", "prepare").split()
        if not found:
            return said
        started = self.engine.docker("inspect", "-f", "{{.State.StartedAt}}", found[0]).strip()
        return said + self.compose("logs", "--no-log-prefix", "--no-color", "--since", started, "prepare")

    def runs(self) -> frozenset[str]:
        states = {each["Service"]: each for each in rows(self.compose("ps", "--all", "--format", "json"))}
        return frozenset(name for name in ALL & states.keys() if _healthy(states[name]))

    def get(self, service: str, path: str) -> str:
        port = self.variables[PORTS[service]]
        return self.engine.there(get, f"http://127.0.0.1:{port}{path}")[1]

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "2")


def _healthy(state: dict[str, Any]) -> bool:
    return (state["State"], state["Health"]) == ("running", "healthy")


Change = Callable[[Stack], str]
"""Does something to a stack, starts it again, and returns what is said."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    what: str
    change: Change
    said: str
    runs: frozenset[str] = ALL


def start(stack: Stack, profiles: tuple[str, ...] = (), env: dict[str, str] | None = None, **files: str) -> str:
    for name, text in files.items():
        stack.put(NAMES[name], text)
    return stack.up(*profiles, env=env)


NAMES = {
    "api_key": "openai_api_key", "admin_key": "openai_admin_key", "exporter": "exporter.yml", "prom": "prometheus.yml",
    "thresholds": "thresholds.yml", "raw": "rules.d/own.yml",
}  # fmt: skip


def variable(name: str, value: str) -> Change:
    def change(stack: Stack) -> str:
        stack.variables[name] = value
        return stack.up()

    return change


def file(**files: str) -> Change:
    return lambda stack: start(stack, (), None, **files)


def modes(mask: int) -> Change:
    """The files as `git clone` makes them with this umask."""

    def change(stack: Stack) -> str:
        for path in stack.folder.rglob("*"):
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        return stack.up("demo")

    return change


def locked(stack: Stack) -> str:
    stack.file("openai_api_key").chmod(0)
    return stack.up()


def wildcard(stack: Stack) -> str:
    """Each name that Docker does not know is looked up in a search domain that has an address for all."""
    stack.put("openai_api_key", "sk-proj-1")
    server = {"image": IMAGE, "entrypoint": ["python", "-c", WILDCARD], "healthcheck": LIVES}
    lookup = {"dns": ["10.213.77.53"], "dns_search": ["wildcard.test"]}
    needs = {"depends_on": {"dns": {"condition": "service_started"}}}
    stack.over = {
        "services": {
            "dns": server | {"networks": {"default": {"ipv4_address": "10.213.77.53"}}},
            "prepare": lookup | needs,
            "exporter": lookup,
        },
        "networks": {"default": {"ipam": {"config": [{"subnet": "10.213.77.0/24"}]}}},
    }
    said = stack.up()
    found = "import socket; print(socket.getaddrinfo('simulator', 80)[0][4][0])"
    assert "192.0.2.1" in stack.compose("exec", "-T", "exporter", "python", "-c", found)
    assert "simulator" not in stack.get("exporter", "/config")
    return said


def full(stack: Stack, size: str) -> str:
    """A volume of the settings with that much room; what is in memory is held by a service of its own."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size},uid=65532,gid=65532,mode=2775"}
    holder = {"image": IMAGE, "entrypoint": ["sleep", "3600"], "volumes": ["settings:/stack/settings"]}
    stack.over = {
        "services": {"holder": holder | {"healthcheck": LIVES, "init": True}},
        "volumes": {"settings": {"driver": "local", "driver_opts": options}},
    }
    return stack.up()


def filled(stack: Stack) -> str:
    full(stack, "8m")
    stack.compose("exec", "-T", "holder", "sh", "-c", "cat /dev/zero > /stack/settings/fill || true")
    moved(stack)
    stack.put("exporter.yml", "status_pages:\n- {name: new}\n")
    return stack.up()


def crowded(volume: str, service: str) -> Change:
    """A volume for the data of a service is full, and the service starts anew."""

    def change(stack: Stack) -> str:
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,mode=1777"}
        holder = {"image": IMAGE, "entrypoint": ["sleep", "3600"], "volumes": [f"{volume}:/data"]}
        stack.over = {
            "services": {"holder": holder | {"healthcheck": LIVES, "init": True}, "api": API},
            "volumes": {volume: {"driver": "local", "driver_opts": options}},
        }
        stack.variables["OPENAI_BASE_URL"] = "http://api:8085/v1"
        stack.put("openai_api_key", "sk-first")
        stack.put("openai_admin_key", "sk-admin-first")
        stack.up()
        stack.compose("exec", "-T", "holder", "sh", "-c", "cat /dev/zero > /data/fill || true")
        moved(stack)
        said = stack.up()
        said += wait_for(lambda: _on_space(stack, service), 180, f"{service} reports that its volume is full")
        # Prometheus may end at a page of its file of queries that the volume has no room for, and is started again.
        wait_for(lambda: service in stack.runs(), 120, f"{service} goes on")
        return said

    return change


def _on_space(stack: Stack, service: str) -> str:
    lines = stack.compose("logs", "--no-log-prefix", "--no-color", service).splitlines()
    return next((line for line in lines if "no space left on device" in line.lower()), "")


def moved(stack: Stack) -> None:
    """Another port: what publishes it is made anew."""
    for name in ("EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"):
        stack.variables[name] = str(free_port())


def gone(stack: Stack) -> str:
    stack.variables["CONFIG_DIR"] = "./nowhere"
    return stack.up()


FIRST = (
    Case("no key", start, "no openai_api_key: nothing is probed; put the key into deploy/compose/secrets/exporter/"),
    Case(
        "a key, and a name server that answers every name", wildcard, "mode: production: the real API, with your keys"
    ),
    Case(
        "a key in the shell, and no file",
        partial(start, env={"OPENAI_API_KEY": "sk-1"}),
        "OPENAI_API_KEY: is set in the shell or in .env, where `docker inspect` would show it, and is not used",
        NOTHING,
    ),
    Case(
        "`LOG_LEVEL=verbose`", variable("LOG_LEVEL", "verbose"), "LOG_LEVEL in .env: 'verbose': must be one of", NOTHING
    ),
    Case(
        "`RETENTION=30`",
        variable("RETENTION", "30"),
        "RETENTION in .env: '30': must be a duration with its unit",
        NOTHING,
    ),
    Case("`EXPORTER_UID=0`", variable("EXPORTER_UID", "0"), "the exporter is not to run as root", NOTHING),
    Case("`CONFIG_DIR` that is not there", gone, "bind source path does not exist", NOTHING),
    Case("an error in exporter.yml", file(exporter="targts: []\n"), "exporter.yml:1: targts", NOTHING),
    Case("an error in thresholds.yml", file(thresholds="thresholds: [{name: a}]\n"), "thresholds.yml:1", NOTHING),
    Case("an admin key in openai_api_key", file(api_key="sk-admin-1"), "holds an admin key", NOTHING),
    Case("demo after `git clone` with umask 077", modes(0o077), "alerting: cannot be read by user 65532"),
    Case("demo after `git clone` with umask 027", modes(0o027), "alerting: cannot be read by user 65532"),
    Case(
        "demo with real keys in the secrets", partial(start, profiles=("demo",), api_key="sk-proj-1"), "is a real key"
    ),
    Case("a volume of the settings that is full", partial(full, size="256k"), "No space left on device", NOTHING),
)
"""Of a stack that never ran."""


def stranger(stack: Stack) -> str:
    """Demo asked for where production runs."""
    return stack.up("demo")


def killed(stack: Stack) -> str:
    """A crash of the exporter, with an error in its configuration since the start."""
    stack.put("exporter.yml", "targts: []\n")
    (container,) = (each["Name"] for each in rows(stack.compose("ps", "--format", "json", "exporter")))
    stack.engine.kill(container)
    wait_for(lambda: "exporter" in stack.runs(), 120, "the exporter is healthy again")
    return "(nothing: it reads what was accepted)"


def refused(stack: Stack) -> str:
    """A key that the API does not take."""
    stack.put("openai_api_key", "revoked")
    stack.up()
    return stack.get("exporter", "/probe?target=openai&module=models")


def beside(stack: Stack) -> str:
    """A second stack, in another directory."""
    stack.up()
    second = Stack(stack.engine, stack.folder.with_name("second"), name="")
    second.make()
    second.name = f"{stack.name}-second"
    try:
        said = second.up("demo")
        assert second.runs() == ALL
        volumes = stack.engine.docker("volume", "ls", "--quiet").split()
        assert {f"{each.name}_prometheus-data" for each in (stack, second)} <= set(volumes)
        return said
    finally:
        second.down()


RUNNING = (
    Case("nothing", start, "open: http://localhost:"),
    *(
        Case(f"`{name}={value}`", variable(name, value), said)
        for name, value, said in (
            ("LOG_LEVEL", "verbose", "LOG_LEVEL in .env: 'verbose': must be one of debug, info, warn, error"),
            ("RETENTION", "30", "RETENTION in .env: '30': must be a duration with its unit, such as 40d"),
            ("RETENTION_SIZE", "20", "RETENTION_SIZE in .env: '20': must be a size with its unit"),
            ("DEMO_INTERVAL", "fast", "DEMO_INTERVAL in .env: 'fast'"),
            ("HTTPS_PROXY", "ftp://proxy", "HTTPS_PROXY in .env: "),
            ("NO_PROXY", "a, b", "NO_PROXY in .env: 'a, b': must be names or addresses with commas between them"),
            ("CA_FILE", "/run/secrets/gone.pem", "CA_FILE in .env: '/run/secrets/gone.pem': must be a PEM file"),
            ("OPENAI_BASE_URL", "api.openai.com", "OPENAI_BASE_URL in .env: 'api.openai.com': must be an http:// or"),
            ("GRAFANA_URL", "grafana", "GRAFANA_URL in .env: 'grafana': must be an http:// or https:// URL"),
            ("PROMETHEUS_URL", "http://x:99999", "PROMETHEUS_URL in .env: 'http://x:99999': must be a URL with a host"),
            ("ALERTMANAGER_URL", "alerts", "ALERTMANAGER_URL in .env: 'alerts': must be an http:// or https:// URL"),
            ("RETENTON", "30d", "RETENTON in .env: is not known, and has no effect; did you mean RETENTION?"),
            ("GRAFANA_PORT", "http", "Invalid hostPort: http"),
            ("BIND_ADDRESS", "localhost", "localhost"),
            ("EXPORTER_MEMORY", "lots", "lots"),
            ("SECRETS_DIR", "./nowhere", "bind source path does not exist"),
        )
    ),
    Case("`EXPORTER_UID=0`", variable("EXPORTER_UID", "0"), "the exporter is not to run as root", ALL - {"exporter"}),
    Case("an error in thresholds.yml", file(thresholds="thresholds: [{name: a}]\n"), "alerting/thresholds.yml:1"),
    Case(
        "an error in rules.d/own.yml", file(raw="groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]\n"), "own.yml"
    ),
    Case("an error in exporter.yml", file(exporter="targts: []\n"), "deploy/compose/config/exporter.yml:1: targts"),
    Case("an error in prometheus.yml", file(prom="scrape: []\n"), "must be a mapping with scrape_configs"),
    Case("`NAME=` before a key", file(api_key="OPENAI_API_KEY=sk-1"), "holds a quote or NAME="),
    Case(
        "an admin key in openai_api_key", file(api_key="sk-admin-1"), "it belongs into deploy/compose/secrets/exporter"
    ),
    Case("a project key in openai_admin_key", file(admin_key="sk-proj-1"), "holds a project key"),
    Case("a key file that only root can read", locked, "cannot be read by user 65532; set EXPORTER_UID in .env"),
    Case("a key that the API rejects", refused, 'openai_probe_outcome{outcome="auth"} 1'),
    Case("a key in the shell, too", partial(start, env={"OPENAI_API_KEY": "sk-2"}), "is not used; the key is that in"),
    Case(
        "`docker compose --profile demo up`", stranger, "the demo is rejected, and production continues; run the demo"
    ),
    Case(
        "`docker compose --profile mail up`",
        partial(start, profiles=("mail",)),
        "alerts are mailed to the mail catcher and nowhere else",
    ),
    Case("an error in exporter.yml, and a crash", killed, "(nothing: it reads what was accepted)"),
    Case("a second stack in another directory", beside, "mode: demo: a simulated API; no number is real"),
)
"""Of a stack that runs in production with good settings, and whose ports move at the same time."""


def demo_first(stack: Stack) -> str:
    """Production asked for where a demo runs."""
    stack.up("demo")
    return stack.up()


def upgraded(stack: Stack, mistake: bool = False) -> str:
    """Data of a version whose rules lack one, then the files of this one, and the command of the guide."""
    left_out = shutil.ignore_patterns(".*cache*", ".venv", ".git", ".demo", ".env", "bench", "tests", "docs")
    shutil.rmtree(stack.folder)
    shutil.copytree(ROOT, stack.folder, ignore=left_out)
    for key in (stack.folder / "deploy" / "compose" / "secrets" / "exporter").glob("openai_*"):
        key.unlink()
    rule = stack.folder / "alerting" / "rules" / "samples.libsonnet"
    rule.write_text(rule.read_text().replace("name: 'openai-samples'", "name: 'before-samples'"))
    stack.over["services"] = {"api": API}
    stack.variables["OPENAI_BASE_URL"] = "http://api:8085/v1"
    stack.put("openai_api_key", "sk-first")
    stack.put("openai_admin_key", "sk-admin-first")
    stack.up(build=True)
    before = Prometheus(f"http://127.0.0.1:{stack.variables['PROMETHEUS_PORT']}")
    first = 'min_over_time(timestamp(probe_success{module="models"})[1h:5s])'
    at = wait_for(lambda: stack.engine.there(before.value, first), 180, "a probe is scraped")
    password = stack.compose("exec", "-T", "grafana", "cat", "/stack/grafana/admin_password")
    image, groups = _image(stack), stack.get("prometheus", "/api/v1/rules?type=record")
    assert '"name":"before-' in groups
    shutil.copy(ROOT / "alerting" / "rules" / rule.name, rule)
    if mistake:
        stack.put("thresholds.yml", "thresholds: [{name: a}]\n")
    said = stack.up(build=True)

    assert image != _image(stack)
    wait_for(lambda: '"name":"before-' not in stack.get("prometheus", "/api/v1/rules?type=record"), 120, "new rules")
    assert stack.engine.there(before.value, first) == at
    assert password == stack.compose("exec", "-T", "grafana", "cat", "/stack/grafana/admin_password")
    return said


def _image(stack: Stack) -> str:
    name = next(each["Name"] for each in rows(stack.compose("ps", "--format", "json", "exporter")))
    return stack.engine.docker("inspect", "-f", "{{.Image}}", name)


ELSEWHERE = (
    Case(
        "a demo runs; started without its profile",
        demo_first,
        "mode: the volumes of this stack hold simulated data",
        NOTHING,
    ),
    Case("the volume of the settings is full, and something changes", filled, "No space left on device"),
    Case("the volume of the exporter is full", crowded("exporter-data", "exporter"), "No space left on device"),
    Case("the volume of Prometheus is full", crowded("prometheus-data", "prometheus"), "no space left on device"),
    Case("an upgrade, with data of before", upgraded, "mode: production"),
    Case("an upgrade, with an error in thresholds.yml", partial(upgraded, mistake=True), "alerting/thresholds.yml:1"),
)
"""Of stacks that each case starts itself."""
HEAD = "| at the start | case | what is said | what runs |\n|---|---|---|---|\n"


def table() -> str:
    lines = []
    for when, cases in (("first", FIRST), ("later", RUNNING), ("later", ELSEWHERE)):
        for case in cases:
            runs = "all" if case.runs == ALL else ", ".join(sorted(case.runs)) or "nothing"
            lines.append(f"| {when} | {case.what} | {case.said.replace('|', '¦')} | {runs} |\n")
    return HEAD + "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases of compose")


def judged(case: Case, stack: Stack) -> None:
    said = " ".join(case.change(stack).split())
    runs = stack.runs()

    assert case.said in said
    assert case.runs == runs, said


@pytest.mark.stack
@pytest.mark.engine
@pytest.mark.parametrize("case", [*FIRST, *ELSEWHERE], ids=lambda case: case.what)
def test_of_a_stack_of_its_own(engine: Engine, folder: Path, case: Case) -> None:
    stack = Stack(engine, folder / secrets.token_hex(3) / "open ai")
    stack.make()
    try:
        judged(case, stack)
    finally:
        stack.down()


@pytest.fixture(scope="module")
def running(engine: Engine, folder: Path) -> Iterator[Stack]:
    """Production with keys, on a simulated API at some address."""
    stack = Stack(engine, folder / "running")
    stack.make()
    stack.over["services"] = {"api": API}
    stack.variables["OPENAI_BASE_URL"] = "http://api:8085/v1"
    stack.put("openai_api_key", "sk-first")
    try:
        stack.up()
        assert stack.runs() == ALL
        yield stack
    finally:
        stack.down()


@pytest.fixture
def again(running: Stack) -> Iterator[Stack]:
    """As it was, but for the ports; whatever a case does is undone after it."""
    variables, files = dict(running.variables), {each: each.read_bytes() for each in _files(running)}
    moved(running)
    yield running
    running.variables = variables
    for path in _files(running):
        if path not in files:
            path.unlink()
    for path, content in files.items():
        path.chmod(0o644)
        path.write_bytes(content)


def _files(stack: Stack) -> list[Path]:
    folders = (stack.folder / "alerting", stack.folder / "deploy")
    return [path for each in folders for path in each.rglob("*") if path.is_file()]


@pytest.mark.stack
@pytest.mark.engine
@pytest.mark.parametrize("case", RUNNING, ids=lambda case: case.what)
def test_of_a_stack_that_runs(again: Stack, case: Case) -> None:
    judged(case, again)


def test_the_table_of_the_guide_is_that_of_the_cases() -> None:
    text = GUIDE.read_text()
    start_of, end_of = (text.index(mark) for mark in ("<!-- cases -->\n", "<!-- end of cases -->"))

    assert text[start_of:end_of].partition("\n")[2] == table()
    assert table().count("\n") - 2 >= 40

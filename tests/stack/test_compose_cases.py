# SPDX-License-Identifier: Apache-2.0
"""What docker-compose.yml says, and what of it runs, in each odd case: on a real engine, and as a table in the guide.

Every case of a running stack also moves a port, so that containers are made anew, as an upgrade would make them.
"""

import re
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

from tests.stack.engine.compose import API, BUNDLED, IMAGE, LIVES, NO_HISTORY, PORTS, SERVICES
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
    variables: dict[str, str] = field(default_factory=lambda: ports_and_links())
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
        services = {**NO_HISTORY, **self.over.get("services", {})}
        override = yaml.safe_dump({**self.over, "services": services})
        (self.folder / "docker-compose.override.yml").write_text(override)
        given = {"COMPOSE_PROJECT_NAME": self.name, **dict.fromkeys((*VARIABLES, *KEYS.values()), "")}
        unset = {name: value for name, value in given.items() if name not in self.variables}
        return self.engine.docker(
            "compose", "--project-directory", str(self.folder), *arguments, env=unset | (env or {}), check=False
        )

    def up(self, *profiles: str, env: dict[str, str] | None = None, build: bool = False) -> str:
        """Start it; what is said, by Compose when it fails and by `prepare`."""
        named = [part for profile in profiles for part in ("--profile", profile)]
        waits = ("--detach", "--wait", "--wait-timeout", "300", *(() if build else ("--no-build",)))
        before = self._prepared()
        said = self.compose(*named, "up", *waits, env=env)
        # Where Compose itself refuses, `prepare` is not asked.
        return said if self._prepared() == before else said + self.logs("prepare", since=self._prepared())

    def _prepared(self) -> str:
        """When `prepare` started last; empty where it never did."""
        asked = ("inspect", "--type", "container", "-f", "{{.State.StartedAt}}", f"{self.name}-prepare-1")
        found = self.engine.docker(*asked, check=False).strip()
        return "" if "No such container" in found or found.startswith("0001-") else found

    def logs(self, service: str, since: str = "") -> str:
        more = ("--since", since) if since else ()
        return self.compose("logs", "--no-log-prefix", "--no-color", *more, service)

    def runs(self) -> frozenset[str]:
        """What is healthy."""
        mine = ("--filter", f"label=com.docker.compose.project={self.name}", "--filter", "health=healthy")
        shown = '{{.Label "com.docker.compose.service"}}'
        return ALL & set(self.engine.docker("ps", *mine, "--format", shown).split())

    def restarts(self, service: str) -> int:
        return int(self.engine.docker("inspect", "-f", "{{.RestartCount}}", f"{self.name}-{service}-1"))

    def in_holder(self, command: str) -> None:
        self.compose("exec", "-T", "holder", "sh", "-c", command)

    def value(self, query: str) -> float | None:
        prometheus = Prometheus(f"http://127.0.0.1:{self.variables['PROMETHEUS_PORT']}")
        return self.engine.there(prometheus.value, query)

    def get(self, service: str, path: str) -> str:
        port = self.variables[PORTS[service]]
        return self.engine.there(get, f"http://127.0.0.1:{port}{path}")[1]

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "2")


def ports_and_links() -> dict[str, str]:
    """Ports of its own; links lead to Grafana as shipped, or each start would compile all rules and pages anew."""
    return {"GRAFANA_URL": "http://localhost:3000"} | {each: str(free_port()) for each in PORTS.values()}


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
    stack.in_holder("cat /dev/zero > /stack/settings/fill || true")
    moved(stack)
    stack.put("exporter.yml", "status_pages:\n- {name: new}\n")
    return stack.up()


def confined(stack: Stack, volume: str) -> None:
    """Production, scraped often, with a small volume for the data of a service; the service `holder` can fill it."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,mode=1777"}
    holder = {"image": IMAGE, "entrypoint": ["sleep", "3600"], "volumes": [f"{volume}:/data"]}
    stack.over = {
        "services": {"holder": holder | {"healthcheck": LIVES, "init": True}, "api": API},
        "volumes": {volume: {"driver": "local", "driver_opts": options}},
    }
    stack.variables["OPENAI_BASE_URL"] = "http://api:8085/v1"
    stack.put("openai_api_key", "sk-first")
    stack.put("openai_admin_key", "sk-admin-first")
    often(stack)
    stack.up()


def often(stack: Stack) -> None:
    """Scrape every two seconds, so that no test waits for the next of the shipped scrapes, a minute later."""
    shipped = (ROOT / "prometheus" / "prometheus.yml").read_text()
    stack.put("prometheus.yml", re.sub(r"(scrape_interval|scrape_timeout): \w+", r"\1: 2s", shipped))


FILL = "cat /dev/zero >> /data/fill || true"


def crowded(stack: Stack) -> str:
    """The volume of the exporter is full when it starts anew."""
    confined(stack, "exporter-data")
    stack.in_holder(FILL)
    moved(stack)
    said = stack.up()
    full = re.compile("no space left on device", re.IGNORECASE)
    wait_for(lambda: full.search(stack.logs("exporter")), 120, "the exporter reports that its volume is full")
    return said + stack.logs("exporter")


def starved(stack: Stack) -> str:
    """The volume of Prometheus gets full, and has room again.

    Whether Prometheus goes on without new samples or ends is a matter of chance: it maps the file of its queries into
    memory, and the kernel ends it when a page of that has no room. Docker starts it again.
    """
    confined(stack, "prometheus-data")
    trouble = re.compile("no space left on device|SIGBUS|unexpected fault address")

    def full() -> bool:
        stack.in_holder(FILL)  # again, as a Prometheus that ends leaves room
        return trouble.search(stack.logs("prometheus")) is not None

    wait_for(full, 120, "Prometheus meets the full volume")
    assert ALL - {"prometheus"} <= stack.runs()
    stack.in_holder("rm /data/fill")
    wait_for(lambda: stack.runs() == ALL, 120, "Prometheus is healthy again")
    taken = 'count_over_time(up{job="prometheus"}[6s])'
    wait_for(lambda: stack.value(taken), 120, "samples are taken again")
    return "(Prometheus: `no space left on device`, or restarts, until there is room)"


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
    """Demo asked for where production runs; that the simulator does not get healthy is known sooner than as shipped."""
    soon = {"interval": "1s", "start_period": "1s", "retries": 1}
    stack.over["services"] = {**stack.over["services"], "simulator": {"healthcheck": soon}}
    return stack.up("demo")


def killed(stack: Stack) -> str:
    """A crash of the exporter, with an error in its configuration since the start."""
    stack.put("exporter.yml", "targts: []\n")
    (container,) = (each["Name"] for each in rows(stack.compose("ps", "--format", "json", "exporter")))
    stack.engine.kill(container)
    wait_for(lambda: stack.restarts("exporter") > 0, 120, "the exporter starts again")
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


WRONG = (
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
)
"""Variables that `prepare` refuses; without an engine tests/stack/test_compose_prepare.py tries each alone."""
ALONE = ("LOG_LEVEL", "RETENTION", "GRAFANA_URL")
"""Those that have a start of their own, too: of what the exporter, Prometheus and Grafana read, one each."""


TOGETHER = {f"`{name}={value}`" for name, value, _ in WRONG if name not in ALONE}
"""The rows of the others: all are wrong in one start."""


def of_variables(*given: tuple[str, str, str]) -> tuple[Case, ...]:
    return tuple(Case(f"`{name}={value}`", variable(name, value), said) for name, value, said in given)


RUNNING = (
    Case("nothing", start, "open: http://localhost:"),
    *of_variables(*WRONG),
    *of_variables(
        ("GRAFANA_PORT", "http", "Invalid hostPort: http"),
        ("BIND_ADDRESS", "localhost", "localhost"),
        ("EXPORTER_MEMORY", "lots", "lots"),
        ("SECRETS_DIR", "./nowhere", "bind source path does not exist"),
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
    _whole(stack)
    this_one = stack.engine.docker("image", "inspect", "-f", "{{.Id}}", IMAGE).strip()
    try:
        _build_before(stack)
        stack.up()
        before = (_first_probe(stack), _password(stack))
        image = _image(stack)
        assert '"name":"before-' in _recorded(stack)
        if mistake:
            (stack.folder / "own" / "alerting" / "thresholds.yml").write_text("thresholds: [{name: a}]\n")
        said = stack.up(build=True)
    finally:
        stack.engine.docker("tag", this_one, IMAGE)

    assert image != _image(stack)
    wait_for(lambda: '"name":"before-' not in _recorded(stack), 120, "new rules")
    assert (_first_probe(stack), _password(stack)) == before
    return said


def _whole(stack: Stack) -> None:
    """All that the image is built from, a key for an API of the test's, and a folder of rules that no image has."""
    left_out = shutil.ignore_patterns(".*cache*", ".venv", ".git", ".demo", ".env", "bench", "tests", "docs")
    shutil.rmtree(stack.folder)
    shutil.copytree(ROOT, stack.folder, ignore=left_out)
    for key in (stack.folder / "deploy" / "compose" / "secrets" / "exporter").glob("openai_*"):
        key.unlink()
    shutil.copytree(stack.folder / "alerting", stack.folder / "own" / "alerting")
    stack.over["services"] = {"api": API}
    stack.variables |= {"OPENAI_BASE_URL": "http://api:8085/v1", "ALERTING_DIR": "./own/alerting"}
    stack.put("openai_api_key", "sk-first")
    stack.put("openai_admin_key", "sk-admin-first")
    often(stack)


def _build_before(stack: Stack) -> None:
    """The image of this version with another name for a group of rules, under the name that the next build takes."""
    folder = stack.folder.with_name("before")
    folder.mkdir()
    rules = f"{BUNDLED}/alerting/rules/samples.libsonnet {BUNDLED}/prometheus/rules/recording-slo.yml"
    change = f"sed -i s/openai-samples/before-samples/ {rules}"
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nUSER 0\nRUN {change}\nUSER 65532:65532\n")
    stack.engine.docker("build", "-q", "-t", IMAGE, folder)


def _recorded(stack: Stack) -> str:
    return stack.get("prometheus", "/api/v1/rules?type=record")


def _first_probe(stack: Stack) -> float:
    """When the first was scraped."""
    first = 'min_over_time(timestamp(probe_success{module="models"})[1h:1s])'
    return wait_for(lambda: stack.value(first), 180, "a probe is scraped") or 0


def _password(stack: Stack) -> str:
    return stack.compose("exec", "-T", "grafana", "cat", "/stack/grafana/admin_password")


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
    Case("the volume of the exporter is full", crowded, "No space left on device"),
    Case(
        "the volume of Prometheus is full, and has room again",
        starved,
        "(Prometheus: `no space left on device`, or restarts, until there is room)",
    ),
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
    variables, over = dict(running.variables), dict(running.over)
    files = {each: each.read_bytes() for each in _files(running)}
    moved(running)
    yield running
    running.variables, running.over = variables, over
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
@pytest.mark.parametrize("case", [each for each in RUNNING if each.what not in TOGETHER], ids=lambda case: case.what)
def test_of_a_stack_that_runs(again: Stack, case: Case) -> None:
    judged(case, again)


@pytest.mark.stack
@pytest.mark.engine
def test_of_a_stack_that_runs_with_every_wrong_variable_at_once(again: Stack) -> None:
    again.variables |= {name: value for name, value, _ in WRONG}
    told = " ".join(again.up().split())

    assert [said for _, _, said in WRONG if said.strip() not in told] == []
    assert again.runs() == ALL


def test_the_table_of_the_guide_is_that_of_the_cases() -> None:
    text = GUIDE.read_text()
    start_of, end_of = (text.index(mark) for mark in ("<!-- cases -->\n", "<!-- end of cases -->"))

    assert text[start_of:end_of].partition("\n")[2] == table()
    assert table().count("\n") - 2 >= 40

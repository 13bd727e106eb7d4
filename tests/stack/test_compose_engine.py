# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml on a real engine: as a demo, and with keys. Deselect with `-m 'not engine'`.

A private engine has no registry: Grafana and Mailpit are doubles there (tests/stack/engine/doubles), the base image is
Debian's, Prometheus and Alertmanager are Debian's builds of the real programs. The summary says so.
"""

import json
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.dashboards.asking import QUIET_IN_THE_DEMO, without_data
from tests.dashboards.data.tsdb import Server
from tests.dashboards.pages import Panel, pages
from tests.stack.conftest import NoteLine
from tests.stack.engine.compose import API, CONFINED, NO_HISTORY, PORTS, SERVICES, Compose, faster, project
from tests.stack.engine.engine import ROOT, Engine, images
from tests.stack.programs import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine]

ENDED = {"prepare", "asked-demo", "history", "history-programs"}
"""Services of the demo that do their work and end."""


def test_compose_itself_accepts_every_profile(engine: Engine) -> None:
    said = engine.docker("compose", "--project-directory", ROOT, "--profile", "*", "config", "--services")

    assert set(said.split()) == set(images())


# ---- The demo as shipped: what it shows at first ----------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(engine: Engine, tmp_path_factory: pytest.TempPathFactory, note_engine: NoteLine) -> Iterator[Compose]:
    """`docker compose --profile demo up` with no key, at its own pace."""
    compose = project(engine, tmp_path_factory.mktemp("shipped"), {}, ("demo",))
    began = time.monotonic()
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", "400")
        note_engine(f"demo with 30 days of history: all healthy after {time.monotonic() - began:.0f} s")
        yield compose
    finally:
        compose.down()


def test_every_panel_has_data_within_a_minute_after_all_is_healthy_or_says_why_not(
    shipped: Compose, note_engine: NoteLine
) -> None:
    server, end = Server(shipped.url("prometheus")), time.monotonic() + 60

    def missing() -> list[tuple[Panel, str]]:
        return shipped.engine.there(lambda: list(without_data(server, pages(), time.time())))

    found = missing()
    while any(_unexpected(*each) for each in found) and time.monotonic() < end:
        found = missing()
    mails = shipped.mails("")
    total = sum(len(page.panels) for page in pages())
    took = time.monotonic() - end + 60
    note_engine(f"demo, {took:.0f} s after all is healthy: {len(found)} of {total} panels empty, {len(mails)} mails")

    assert [f"{panel}: {text}" for panel, text in found if _unexpected(panel, text)] == []
    assert mails == []
    assert shipped.value('max(max_over_time(openai_probe_outcome{outcome="overloaded"}[30d]))') == 1
    assert (shipped.value("min(probe:openai_period_error_budget_remaining:ratio)") or 1) < 1


def _unexpected(panel: Panel, text: str) -> bool:
    return QUIET_IN_THE_DEMO.get(str(panel)) != text


def test_a_second_up_imports_nothing(shipped: Compose) -> None:
    counted = "sum(count_over_time(probe_success[30d] offset 5m))"
    before = shipped.value(counted) or 0
    shipped("up", "--detach", "--wait", "--wait-timeout", "300")

    assert "holds data already, nothing is imported" in shipped("logs", "history")
    assert before > 10_000
    assert (shipped.value(counted) or 0) < 1.1 * before


# ---- The demo -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(engine: Engine, tmp_path_factory: pytest.TempPathFactory, note_engine: NoteLine) -> Iterator[Compose]:
    """`docker compose --profile demo up` with no key and no past, at thirty times its pace."""
    folder = tmp_path_factory.mktemp("demo")
    over = {"services": {**NO_HISTORY, "prepare": {"volumes": [faster(folder, 30)]}}}
    compose = project(engine, folder, over, ("demo",), DEMO_INTERVAL="1s")
    began = time.monotonic()
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", "300")
        note_engine(f"demo: all healthy after {time.monotonic() - began:.0f} s")
        yield compose
    finally:
        compose.down()


def test_every_service_of_the_demo_is_healthy(demo: Compose) -> None:
    expected = dict.fromkeys(SERVICES | {"simulator", "mailpit"}, ("running", "healthy"))

    assert expected | dict.fromkeys(ENDED, ("exited", "")) == demo.states()
    assert "no key is used" in demo("logs", "prepare")


def test_prometheus_sees_every_target_by_its_service_name(demo: Compose) -> None:
    # Scraped every second, a busy machine misses one now and then: what counts is that each has answered.
    answered, succeeded = "max_over_time(up[1m]) == 1", "max_over_time(probe_success[1m]) == 1"
    listed = json.loads(demo.get("exporter", "/sd")[1])
    probes = [each for each in listed if each["labels"]["__metrics_path__"] == "/probe"]
    wait_for(lambda: demo.value(f"count({answered})") == len(listed) + 3, 180, "all targets up")
    targets = json.loads(demo.get("prometheus", "/api/v1/targets")[1])["data"]["activeTargets"]

    assert len(targets) == len(listed) + 3
    expected = {"exporter:9985", "prometheus:9090", "alertmanager:9093", "grafana:3000"}
    assert expected == {each["labels"]["instance"] for each in targets}
    assert len(probes) == 8
    wait_for(lambda: demo.value(f"count({succeeded})") == len(probes), 180, "all probes succeed")
    wait_for(lambda: demo.value("sum(openai_usage_requests_total)"), 180, "usage is read")


def test_each_container_runs_as_nobody_with_no_capability_on_a_read_only_root(demo: Compose) -> None:
    found = demo.confinement(demo.containers().keys() - ENDED)

    assert dict.fromkeys(SERVICES | {"simulator", "mailpit"}, CONFINED) == found


def test_grafana_gets_a_password_that_nobody_else_has(demo: Compose) -> None:
    password = demo("exec", "-T", "grafana", "cat", "/stack/grafana/admin_password").strip()
    inspected = demo.engine.docker("inspect", demo.containers()["grafana"]["Name"])

    assert len(password) >= 20
    assert password not in inspected + demo("logs")


def test_an_outage_of_the_api_ends_as_a_mail(demo: Compose, note_engine: NoteLine) -> None:
    began = time.monotonic()
    demo.simulator("fault", "outage")
    found = wait_for(lambda: demo.mails("OpenAITargetDown"), 180, "a mail about the outage")
    note_engine(f"outage of the API to mail: {time.monotonic() - began:.0f} s, rules thirty times faster than shipped")
    demo.simulator("clear")

    assert "[critical] OpenAITargetDown env=demo openai: Every probe of a target fails." == found[0]


@pytest.mark.parametrize("service", ["exporter", "prometheus", "alertmanager", "grafana", "simulator", "mailpit"])
def test_a_killed_container_comes_back(demo: Compose, service: str, note_engine: NoteLine) -> None:
    container = demo.containers()[service]["Name"]

    def restarts() -> int:
        return int(demo.engine.docker("inspect", "-f", "{{.RestartCount}}", container))

    before, began = restarts(), time.monotonic()
    demo.engine.kill(container)

    wait_for(lambda: restarts() > before, 180, f"{service} starts again")
    wait_for(lambda: demo.states()[service] == ("running", "healthy"), 180, f"{service} is healthy again")
    note_engine(f"{service} killed: healthy again after {time.monotonic() - began:.0f} s")


def test_nothing_of_the_demo_is_reached_from_outside_the_loopback(demo: Compose) -> None:
    published = [int(demo.variables[variable]) for name, variable in PORTS.items() if name in demo.containers()]
    outside = demo.engine.there(_outward_address)
    ports = range(1, 65536) if demo.engine.private else published

    assert published == demo.engine.there(_open_ports, "127.0.0.1", published)
    assert [] == demo.engine.there(_open_ports, outside, ports)


def _outward_address() -> str:
    """This machine's address on the way out; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def _open_ports(address: str, ports: Iterable[int]) -> list[int]:
    """Those that take a connection; a port that is closed refuses it at once."""
    found, end = [], time.monotonic() + 300
    for port in ports:
        assert time.monotonic() < end, f"at port {port} of {address} after five minutes"
        with socket.socket() as probe:
            probe.settimeout(1)
            # A port of our own that by chance is the one asked for answers itself.
            if probe.connect_ex((address, port)) == 0 and probe.getsockname() != probe.getpeername():
                found.append(port)
    return found


def test_every_program_ends_when_it_is_told_to(demo: Compose) -> None:
    """One that does not is killed after ten seconds, Prometheus after a minute."""
    demo("stop")
    ended = {
        name: demo.engine.docker("inspect", "-f", "{{.State.ExitCode}}", each["Name"]).strip()
        for name, each in demo.containers().items()
    }

    assert len(ended) == len(SERVICES) + 2 + len(ENDED)
    assert {name for name, status in ended.items() if status == "137"} == set()


def test_down_leaves_nothing(demo: Compose) -> None:
    demo("down", "--volumes")
    left = {
        kind: demo.engine.docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={demo.name}", *more)
        for kind, more in {"container": ["--all"], "volume": [], "network": []}.items()
    }

    assert {"container": "", "volume": "", "network": ""} == left


# ---- With keys ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """`docker compose up` with no key at first, and a simulated API at some address."""
    over = {"services": {"api": API}}
    folder = tmp_path_factory.mktemp("plain")
    compose = project(engine, folder, over, OPENAI_BASE_URL="http://api:8085/v1", LOG_LEVEL="debug")
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", "300")
        yield compose
    finally:
        compose.down()


def _put(compose: Compose, name: str, key: str) -> None:
    """As an editor or a secret manager replaces a file: a new one, renamed over the old."""
    file = compose.folder / "secrets" / "exporter" / name
    new = file.with_suffix(".new")
    new.write_text(key)
    new.chmod(0o644)
    new.replace(file)


def test_without_a_key_the_stack_lives_and_says_what_to_do(plain: Compose) -> None:
    said = plain("logs", "prepare")
    folder = plain.variables["SECRETS_DIR"]

    assert dict.fromkeys(SERVICES, ("running", "healthy")) == {name: plain.states()[name] for name in SERVICES}
    assert f"no openai_api_key: nothing is probed; put the key into {folder}/exporter/openai_api_key" in said
    assert "docker compose --profile demo up" in said


def test_a_key_file_is_taken_up_and_its_replacement_without_a_restart(plain: Compose) -> None:
    probe = "/probe?target=openai&module=models"
    first, second = (f"sk-{name}-{secrets.token_hex(16)}" for name in ("first", "second"))
    admin = f"sk-admin-{secrets.token_hex(16)}"
    _put(plain, "openai_api_key", first)
    _put(plain, "openai_admin_key", admin)
    plain("up", "--detach", "--wait")
    started = plain.containers()["exporter"]["ID"]
    before = wait_for(lambda: plain.probe(probe)["probe_success"], 180, "a probe succeeds")
    _put(plain, "openai_api_key", "revoked")
    revoked = plain.probe(probe)
    _put(plain, "openai_api_key", second)
    after = plain.probe(probe)["probe_success"]

    assert (1, 0, 1) == (before, revoked["probe_success"], after)
    assert [name for name, value in revoked.items() if name.startswith("openai_probe_outcome") and value] == [
        'openai_probe_outcome{outcome="auth"}'
    ]
    usage, completions = "/usage?organization=default", 'openai_usage_up{dataset="completions"}'
    wait_for(lambda: plain.probe(usage).get(completions) == 1, 180, "usage is read")
    assert started == plain.containers()["exporter"]["ID"]
    _appear_nowhere(plain, [first, second, admin])


def _appear_nowhere(compose: Compose, keys: list[str]) -> None:
    """No key in a log, in what `inspect` shows, or in a page."""
    names = [each["Name"] for each in compose.containers().values()]
    places = {
        "logs": compose("logs").encode(),
        "inspect": compose.engine.docker("inspect", *names).encode(),
        "config": compose.get("exporter", "/config")[1].encode(),
        "metrics": compose.get("exporter", "/metrics")[1].encode(),
        "history": compose.get("exporter", "/history")[1].encode(),
    }

    assert all(places.values())
    assert {name: [] for name in places} == {
        name: [key[:8] for key in keys if key.encode() in content] for name, content in places.items()
    }


def test_no_layer_of_the_image_holds_a_key_that_lies_about(engine: Engine, tmp_path: Path) -> None:
    context, key = tmp_path / "context", f"sk-lost-{secrets.token_hex(16)}"
    shutil.copytree(ROOT, context, ignore=shutil.ignore_patterns(".*cache*", ".venv", ".git", "bench", "tests"))
    for place in (".env", "exporter/.env", ".secrets/key", "deploy/compose/secrets/exporter/openai_api_key"):
        (context / place).parent.mkdir(exist_ok=True)
        (context / place).write_text(f"OPENAI_API_KEY={key}\n")
    # The arguments that Compose gives: the layers of the dependencies are those of its build.
    given = (
        "--build-arg",
        "PIP_INDEX_URL=",
        "--build-arg",
        "PIP_TRUSTED_HOST=",
        "--secret",
        "id=pip_conf,src=/dev/null",
    )
    image = engine.docker("build", "-q", *given, "-f", context / "exporter" / "Dockerfile", context).strip()
    engine.docker("save", "-o", tmp_path / "image.tar", image)
    saved = (tmp_path / "image.tar").read_bytes()

    assert b"openai_exporter" in saved
    assert key.encode() not in saved


def test_a_mistake_in_the_users_configuration_is_told_and_changes_nothing(plain: Compose) -> None:
    before = plain.get("exporter", "/config")
    (plain.folder / "config" / "exporter.yml").write_text("targets:\n- name: openai\n  base_ulr: http://api:8085/v1\n")
    said = plain("up", "--detach", "prepare", check=False)
    wait_for(lambda: plain.states()["prepare"][0] == "exited", 180, "prepare ends")
    said += plain("logs", "prepare")

    assert f"{plain.variables['CONFIG_DIR']}/exporter.yml:3: targets[0].base_ulr" in said
    assert before == plain.get("exporter", "/config")

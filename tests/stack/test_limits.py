# SPDX-License-Identifier: Apache-2.0
"""A key leaks, pages, is frozen by the command of its page, and is set free: real programs, sixty times faster.

An hour is a minute for the simulated API and, by their own setting timeScale, for the shipped rules. Usage arrives
late, and spend limits are enforced late, as they do at the API. The week before is made up, and imported.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.mixin.alerting import configured, written
from tests.mixin.bundle import ALERTMANAGER_BINARY, write_rules
from tests.mixin.live import running_alertmanager
from tests.stack.programs import (
    KEYS,
    PageSink,
    Prometheus,
    environment,
    running_exporter,
    running_page_sink,
    running_prometheus,
    wait_for,
)
from tests.stack.tsdb import MISSING, Recording, make_blocks

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(MISSING, reason="prometheus and promtool are not installed"),
    pytest.mark.skipif(ALERTMANAGER_BINARY is None, reason="prometheus-alertmanager is not installed"),
]

SCALE = 60
HOUR = 3600 / SCALE
USUAL = 3.0
"""US dollars an hour of either key in the week before."""
MODEL = "gpt-5.5"
DOCUMENT = "Summarize this. " * 20_000
"""A prompt that costs 40 cents."""
WRITE_KEY = "sk-admin-0123456789abcdef-write"
RULES = f"{{ timeScale: 1 / {SCALE} }}"


@dataclass
class Caller:
    """Somebody who asks the API with one key, again and again.

    Attributes:
        answers: time, HTTP status and error code of each request, oldest first.
    """

    url: str
    key: str
    prompt: str
    pause: float
    answers: list[tuple[float, int, str]] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the end of the block."""
        ended = threading.Event()

        def ask() -> None:
            with httpx2.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=30, trust_env=False) as client:
                while not ended.wait(self.pause):
                    content = f"{len(self.answers)} {self.prompt}"  # never the same, which would be cached
                    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
                    reply = client.post(f"{self.url}/chat/completions", json=body)
                    code = "" if reply.status_code == 200 else str(reply.json()["error"]["code"])
                    self.answers.append((time.time(), reply.status_code, code))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(60)

    def first(self, since: float, status: int, code: str = "") -> float:
        """When it had that answer, the first time since then; 0 where it has not yet."""
        return next((at for at, *answer in self.answers if at > since and answer == [status, code]), 0.0)

    def last(self, status: int) -> float:
        """When it last had an answer of that status."""
        return max(at for at, found, _ in self.answers if found == status)


def history(since: float, until: float, keys: Mapping[str, str]) -> Recording:
    """What the rules recorded in the week before, of keys by project."""
    found = Recording(organization="acme", job="openai")
    page = {"organization:openai_usage_estimated_cost_usd:increase1h": USUAL * len(keys)}
    for project, key in keys.items():
        labels = f'project_id="{project}",api_key_id="{key}"'
        page[f"key:openai_usage_estimated_cost_usd:increase1h{{{labels}}}"] = USUAL
    for number in range(int((until - since) / (HOUR / 4))):
        found.add(since + number * HOUR / 4, page)
    return found


@dataclass(frozen=True)
class World:
    """Everything that runs; `leak` and `other` ask with keys of two projects."""

    simulator: SimulatorControl
    prometheus: Prometheus
    sink: PageSink
    leak: Caller
    other: Caller
    project: str
    state: Path

    def shell(self, command: str) -> str:
        """What a command prints that is pasted into a shell."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = environment(
            OPENAI_ADMIN_KEY_WRITE=WRITE_KEY,
            OPENAI_BASE_URL=self.simulator.api_url,
            OPENAI_EXPORTER_STORAGE_PATH=str(self.state),
        )
        made = subprocess.run(
            ["sh", "-c", command], env=env | {"PATH": path}, capture_output=True, text=True, timeout=800
        )
        assert made.returncode == 0, made.stdout + made.stderr
        return made.stdout

    def spent(self) -> float:
        """True US dollars of the project this month."""
        books = self.simulator.state()["books"]["billed_cost_usd"]["true"]["by_project"]
        return float(books.get(self.project, 0))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        simulator = stack.enter_context(running_simulator("--streams=0", latency_scale=0, speed=SCALE))
        sink = stack.enter_context(running_page_sink())
        config = configured({"webhook": {"url": f"{sink.url}/"}}, groupWait={"page": "1s"}, groupInterval="1s")
        alertmanager = stack.enter_context(running_alertmanager(written(config, tmp_path)))
        organization = {
            "name": "acme",
            "base_url": simulator.api_url,
            "admin_key_env": "OPENAI_ADMIN_KEY",
            "refresh_interval": "1s",
            "costs": {"refresh_interval": "1s"},
        }
        exporter = stack.enter_context(running_exporter(tmp_path, KEYS, {"organizations": [organization]}))
        rules = write_rules(tmp_path, RULES)
        projects = dict(keys_in_use(simulator))
        now = time.time()
        make_blocks(history(now - 9 * 24 * HOUR, now, projects).write(tmp_path / "usage.om"), tmp_path / "tsdb")
        prometheus = stack.enter_context(
            running_prometheus(tmp_path, f"{exporter.url}/sd", "1s", rules, alertmanager.url)
        )
        (leaked, leaked_key), (_, other_key) = projects.items()
        leak = Caller(simulator.api_url, f"sk-{leaked_key}", DOCUMENT, 0.1)
        other = Caller(simulator.api_url, f"sk-{other_key}", "Reply with the word: pong", 1.0)
        yield World(simulator, prometheus, sink, leak, other, leaked, tmp_path / "state")


def keys_in_use(simulator: SimulatorControl) -> Iterator[tuple[str, str]]:
    """A key of each of two projects."""
    with httpx2.Client(
        base_url=f"{simulator.api_url}/organization", headers={"Authorization": f"Bearer {WRITE_KEY}"}, trust_env=False
    ) as client:
        for project in client.get("/projects").json()["data"][:2]:
            yield project["id"], client.get(f"/projects/{project['id']}/api_keys").json()["data"][0]["id"]


def test_a_leaked_key_pages_is_frozen_by_the_command_of_its_page_and_set_free(world: World, note: Note) -> None:
    fresh = 'organization:openai_usage_fresh:min{organization="acme"} == 1'
    firing = 'ALERTS{alertname="OpenAIKeySpendSpike",severity="critical",alertstate="firing"}'
    wait_for(lambda: world.prometheus.query(fresh), 120, "usage is fresh")
    with world.other.asking(), world.leak.asking():
        began = time.time()
        wait_for(lambda: world.prometheus.query(firing), 180, lambda: str(world.prometheus.query("ALERTS")))
        fired = time.time()
        page = wait_for(lambda: world.sink.alerts("OpenAIKeySpendSpike", "firing"), 60, "its page")[0]
        paged, spent = time.time(), world.spent()
        command = page["annotations"]["command"]
        said = world.shell(f"{command} --apply --yes")
        frozen = time.time()
        rejected = wait_for(lambda: world.leak.first(began, 429, "project_spend_limit_exceeded"), 120, "it is rejected")
        last, stopped, asked = world.leak.last(200), world.spent(), len(world.leak.answers)
        wait_for(lambda: len(world.leak.answers) > asked + 20, 120, "twenty more requests")
        assert {(status, code) for at, status, code in world.leak.answers if at >= rejected} == {
            (429, "project_spend_limit_exceeded")
        }
        assert world.spent() == stopped
        world.shell("openai-exporter limits undo --apply --yes")
        undone = time.time()
        again = wait_for(lambda: world.leak.first(undone, 200), 120, "it is accepted again")

    assert command == f"openai-exporter limits freeze --project {world.project} --organization acme"
    assert "brings the old values back" in said
    assert {status for _, status, _ in world.other.answers} == {200}, "the other project never notices"
    for at, what in (
        (began, "the leak begins, at 120 USD an hour"), (fired, "OpenAIKeySpendSpike fires"),
        (paged, f"the page arrives; spent: {spent:.2f} USD"), (last, "last accepted request"),
        (rejected, f"first rejected request; spent: {stopped:.2f} USD"), (frozen, "`limits freeze` has ended"),
        (undone, "`limits undo` has ended"), (again, "first accepted request"),
    ):  # fmt: skip
        note("a leaked key, an hour a minute", f"{at - began:5.1f} s  {what}")

# SPDX-License-Identifier: Apache-2.0
"""Profile `scale` of docker-compose.yml on a real engine: two Prometheus share the targets, one place has all of it.

Where no registry is, Thanos is a double (tests/stack/engine/doubles/thanos) that knows these flags and no other.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.conftest import NoteLine
from tests.stack.engine.compose import CONFINED, NO_HISTORY, SERVICES, Compose, project
from tests.stack.engine.engine import ROOT, Engine
from tests.stack.programs import Prometheus, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.engine]

SCALE = {"prometheus-1", "thanos-receive", "thanos-query", "thanos-rule"}


OWN = {
    "alert": "OwnOutage",
    "expr": "count(probe_success == 0) > 7",
    "labels": {"severity": "critical", "team": "platform"},
}
"""A rule of the user, evaluated more often than the shipped ones: the double reads over the network for each."""


def put(alerting: Path, name: str, rule: Mapping[str, Any]) -> None:
    group = {"name": name, "interval": "2s", "rules": [dict(rule)]}
    (alerting / "rules.d" / f"{name}.yml").write_text(yaml.safe_dump({"groups": [group]}))


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `alerting/` of a user, with a rule of their own."""
    folder = tmp_path_factory.mktemp("scale") / "alerting"
    (folder / "rules.d").mkdir(parents=True)
    for name in ("settings.yml", "thresholds.yml"):
        shutil.copy(ROOT / "alerting" / name, folder)
    put(folder, "outage", OWN)
    return folder


@pytest.fixture(scope="module")
def scale(engine: Engine, alerting: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The demo at scale, with no key and no past, faster."""
    folder = tmp_path_factory.mktemp("scale")
    given = {"DEMO_INTERVAL": "2s", "ALERTING_DIR": str(alerting)}
    compose = project(engine, folder, {"services": NO_HISTORY}, ("demo", "scale"), **given)
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", "300")
        yield compose
    finally:
        compose.down()


def test_every_service_is_healthy_and_confined(scale: Compose) -> None:
    ending = {"prepare", "thanos-volumes", "asked-demo", "asked-scale", "history", "history-programs"}
    staying = SERVICES | SCALE | {"simulator", "mailpit"}

    assert dict.fromkeys(staying, ("running", "healthy")) | dict.fromkeys(ending, ("exited", "")) == scale.states()
    assert dict.fromkeys(staying, CONFINED) == scale.confinement(staying)


def test_every_target_is_scraped_by_one_server_and_found_in_one_place(scale: Compose) -> None:
    listed = json.loads(scale.get("exporter", "/sd")[1])
    answered = 'max_over_time(up{job="openai"}[1m]) == 1'
    wait_for(lambda: scale.value(f"count({answered})", "thanos-query") == len(listed), 180, "all targets arrive")
    everywhere = scale.engine.there(Prometheus(scale.url("thanos-query")).query, answered)
    shares = {each["metric"].get("shard") for each in everywhere}
    active = json.loads(scale.get("prometheus", "/api/v1/targets?state=active")[1])["data"]["activeTargets"]
    first = [each for each in active if each["scrapePool"] == "openai"]

    assert 0 < len(first) < len(listed)
    # Thanos leaves out of its answers what tells servers apart; the double does not.
    assert shares in ({"0", "1"}, {None})
    # Rules run over all of it, not in a server that sees a share.
    assert scale.value("count(ALERTS)") is None


def test_an_outage_is_alerted_by_the_rules_over_all_servers(scale: Compose) -> None:
    scale.simulator("fault", "outage")
    wait_for(lambda: scale.mails("OwnOutage"), 300, "a mail about the outage")
    scale.simulator("clear")


def test_new_rules_are_in_force_after_the_next_up_without_a_restart(
    scale: Compose, alerting: Path, note_engine: NoteLine
) -> None:
    def rules() -> str:
        asked = ("wget", "-q", "-O", "-", "http://127.0.0.1:10902/api/v1/rules")
        return scale("exec", "-T", "thanos-rule", *asked)

    before = (scale.containers()["thanos-rule"]["ID"], "own:probes:count" in rules())
    put(alerting, "own", {"record": "own:probes:count", "expr": "count(probe_success)"})
    scale("up", "--detach", "--wait", "--wait-timeout", "300")

    wait_for(lambda: "own:probes:count" in rules(), 180, "the new rule is loaded")
    assert before == (scale.containers()["thanos-rule"]["ID"], False)
    note_engine("scale: shared targets, remote write, rules over all, reload: seen")

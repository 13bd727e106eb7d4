# SPDX-License-Identifier: Apache-2.0
"""Pages of outages on real programs, ten times faster: simulator, exporters, two Prometheus servers, Alertmanager.

All rows of the table happen side by side, each to a target of its own, while the exporter of another environment dies.
It takes five minutes and half a processor, so it runs on request:
`LIVE_SCENARIOS=1 pytest tests/stack/test_live_scenarios.py`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.mixin.alerting import configured, written
from tests.mixin.bundle import ALERTMANAGER_BINARY, mixin
from tests.mixin.live import running_alertmanager
from tests.stack.programs import (
    KEYS,
    PROMETHEUS,
    Exporter,
    PageSink,
    Prometheus,
    call,
    prometheus_on,
    running_exporter,
    running_page_sink,
    wait_for,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not os.environ.get("LIVE_SCENARIOS"), reason="takes five minutes; set LIVE_SCENARIOS=1"),
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed"),
    pytest.mark.skipif(ALERTMANAGER_BINARY is None, reason="prometheus-alertmanager is not installed"),
]

SCALE = 10
PACE = 60 / SCALE
"""Seconds between two scrapes."""
QUIET = 90
"""Seconds without a page after which no further one is expected: a quarter of an hour."""
RULES = f"{{ timeScale: 1 / {SCALE} }}"


@dataclass(frozen=True)
class Row:
    """What happens to a target, and what must come of it.

    Attributes:
        fault: of the simulator; None for a target that stays well.
        minutes: how long it lasts.
        models: what is probed; the fault is for the first.
        alert: what pages, once.
        bound: minutes from the fault to the page, printed beside the measured time.
    """

    name: str
    models: tuple[str, ...]
    fault: Mapping[str, Any] | None = None
    minutes: float = 0
    alert: str = ""
    bound: float = 5


ROWS = {
    "five": Row("outage of 5 minutes", ("gpt-6-luna",), {"kind": "status", "status": 500}, 5, "OpenAITargetDown"),
    "twenty": Row("outage of 20 minutes", ("gpt-6-sol",), {"kind": "status", "status": 503}, 20, "OpenAITargetDown"),
    "hang": Row("hang of 10 minutes", ("gpt-6.1-terra",), {"kind": "hang"}, 10, "OpenAITargetDown"),
    "brownout": Row(
        "one model of three fails for 15 minutes", ("gpt-5.4-mini", "gpt-5.4", "gpt-5.2"),
        {"kind": "status", "status": 503}, 15, "OpenAIAvailabilityBudgetBurn", 8,
    ),
    "revoked": Row(
        "key revoked for 10 minutes", ("gpt-5.6-luna",), {"kind": "status", "status": 401}, 10,
        "OpenAICredentialsRejected",
    ),
    "quota": Row(
        "quota exhausted for 15 minutes", ("gpt-5.6-sol",), {"kind": "insufficient_quota"}, 15, "OpenAIQuotaExhausted",
    ),
    "well": Row("nothing", ("gpt-5.6-terra",)),
}  # fmt: skip
DEAD = "exporter of staging killed"


def exporter_document(simulator: SimulatorControl, prompt: str = "pong") -> dict[str, Any]:
    """A target for each row. Two servers share its probes; another prompt is another probe, without back-off."""
    chat = {"endpoint": "chat", "timeout": "3s", "min_interval": f"{1000 * PACE - 500:.0f}ms"}
    targets = [{"name": name, "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"} for name in ROWS]
    modules = {
        name: chat | {"request": {"prompt": prompt if name == "quota" else "pong", "reasoning_effort": "none"}}
        for name in ROWS
    }
    probes = [{"target": name, "module": name, "models": list(row.models)} for name, row in ROWS.items()]
    return {"targets": targets, "modules": modules, "probes": probes}


def prometheus_document(urls: Mapping[str, str], replica: str, rules: Path, alertmanager: str) -> dict[str, Any]:
    """One of two servers: a job per environment, told apart by the label of `clusterLabels`."""
    jobs = [
        {
            "job_name": f"openai-{name}",
            "http_sd_configs": [{"url": f"{url}/sd", "refresh_interval": "5s"}],
            "relabel_configs": [
                {"target_label": "cluster", "replacement": name},
                {"target_label": "job", "replacement": "openai"},
            ],
        }
        for name, url in urls.items()
    ]
    return {
        "global": {
            "scrape_interval": f"{PACE:.0f}s",
            "scrape_timeout": "4s",
            "evaluation_interval": f"{PACE / 2:.0f}s",
            "external_labels": {"replica": replica},
        },
        "scrape_configs": jobs,
        "rule_files": [str(rules / "*.yml")],
        "alerting": {
            "alert_relabel_configs": [{"action": "labeldrop", "regex": "replica"}],
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}],
        },
    }


@dataclass
class Live:
    """What runs, and what came of it by environment and target."""

    simulator: SimulatorControl
    production: Exporter
    staging: Exporter
    sink: PageSink
    servers: list[Prometheus]
    began: float = 0
    asked: float = 0
    took: dict[str, float] = field(default_factory=dict)

    def pages(self) -> list[dict[str, Any]]:
        return [page for page in self.sink.pages() if page["receiver"].startswith("page")]

    def of(self, target: str) -> list[dict[str, Any]]:
        """Pages that say something new of a target, or of staging."""
        label = ("cluster", "staging") if target == "staging" else ("target", target)
        found: list[dict[str, Any]] = []
        known: set[str] = set()
        for page in self.pages():
            alerts = [
                (str(each["labels"]), each["status"]) for each in page["alerts"] if label in each["labels"].items()
            ]
            firing = {labels for labels, status in alerts if status == "firing"}
            found += [page] * bool(firing - known)
            known = (known | firing) - {labels for labels, status in alerts if status == "resolved"}
        return found

    def ask_anew(self) -> None:
        """Have the exhausted quota probed by another prompt at each scrape, as back-off keeps real time."""
        now = time.monotonic()
        if now > self.asked + PACE:
            self.asked = now
            document = exporter_document(self.simulator, f"Reply with the number {now:.0f}")
            Path(self.production.argv[-1]).write_text(yaml.safe_dump(document))
            assert call(f"{self.production.url}/-/reload", "POST") == 200

    def firing(self) -> list[set[tuple[str, ...]]]:
        """The critical alerts that fire on each server."""
        text = 'ALERTS{alertstate="firing",severity="critical"}'
        names = ("alertname", "cluster", "target", "model")
        return [{tuple(each["metric"].get(name, "") for name in names) for each in s.query(text)} for s in self.servers]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, note: Note) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    rules = folder / "rules"
    rules.mkdir()
    for name, document in mixin("prometheusRuleFiles", RULES).items():
        (rules / name).write_text(yaml.safe_dump(document))
    with ExitStack() as stack:
        simulator = stack.enter_context(running_simulator(latency_scale=0.1))
        sink = stack.enter_context(running_page_sink())
        config = configured(
            {"webhook": {"url": f"{sink.url}/"}},
            groupWait={"page": f"{30 / SCALE:.0f}s", "notify": f"{120 / SCALE:.0f}s"},
            groupInterval=f"{600 / SCALE:.0f}s",
        )
        alertmanager = stack.enter_context(running_alertmanager(written(config, folder)))
        exporters = {
            name: stack.enter_context(running_exporter(folder, KEYS, exporter_document(simulator)))
            for name in ("production", "staging")
        }
        servers = []
        for replica in "ab":
            file = folder / replica / "prometheus.yml"
            file.parent.mkdir()
            urls = {name: exporter.url for name, exporter in exporters.items()}
            file.write_text(yaml.safe_dump(prometheus_document(urls, replica, rules, alertmanager.url)))
            servers.append(stack.enter_context(prometheus_on(file)))
        found = Live(simulator, exporters["production"], exporters["staging"], sink, servers)
        happen(found)
        for target, row in {**ROWS, "staging": Row(DEAD, (), bound=5)}.items():
            took = f"first after {found.took[target]:.0f} s" if target in found.took else ""
            bound = f", bound {row.bound * 60 / SCALE:.0f} s on an idle machine" if took else ""
            note("live scenarios, ten times faster", f"{row.name:<42} {len(found.of(target))} pages {took}{bound}")
        yield found


def happen(live: Live) -> None:
    """All faults at once; returns when every page is over, and nothing has come after it for a while."""
    ready = f"count(count_over_time(probe_success[{10 * PACE:.0f}s]) >= 8)"
    probes = 2 * sum(len(row.models) for row in ROWS.values())
    wait_for(lambda: all(s.value(ready) == probes for s in live.servers), 300, "every probe has a past")
    live.began = time.monotonic()
    for row in ROWS.values():
        if row.fault:
            seconds = row.minutes * 60 / SCALE
            live.simulator.fault(path="/v1/chat/completions", model=row.models[0], seconds=seconds, **row.fault)
    live.staging.kill()
    expected = {name for name, row in ROWS.items() if row.fault} | {"staging"}

    def all_paged() -> bool:
        now = time.monotonic() - live.began
        for target in expected - live.took.keys():
            if live.of(target):
                live.took[target] = now
        if "quota" not in live.took:
            live.ask_anew()
        return live.took.keys() == expected

    wait_for(all_paged, 300, lambda: f"all but {expected - live.took.keys()} paged")
    live.staging.start()
    last = [time.monotonic(), 0.0]

    def quiet() -> bool:
        if any(live.firing()) or live.simulator.faults() or len(live.pages()) != last[1]:
            last[:] = [time.monotonic(), len(live.pages())]
        return time.monotonic() - last[0] > QUIET

    wait_for(quiet, 900, lambda: f"quiet; {live.firing()}")


@pytest.mark.parametrize("target", ROWS)
def test_one_cause_is_one_page_from_two_servers(live: Live, target: str) -> None:
    row = ROWS[target]
    paged = [page["title"] for page in live.of(target)]

    assert paged == [row.alert] * bool(row.fault)


def test_an_exporter_that_dies_pages_for_its_own_environment_and_mutes_no_other(live: Live) -> None:
    assert [page["title"] for page in live.of("staging")] == ["OpenAIExporterDown"]


def test_the_second_server_fires_what_the_first_does_and_nothing_else(live: Live) -> None:
    # An outage as short as it takes to page may be missed by one of them.
    which = '{alertstate="firing", severity!="none", target!="five"}'
    text = f"count by (alertname, cluster, target) (count_over_time(ALERTS{which}[15m]))"
    fired = [{tuple(sorted(each["metric"].items())) for each in server.query(text)} for server in live.servers]

    assert fired[0] == fired[1]

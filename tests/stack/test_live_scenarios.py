# SPDX-License-Identifier: Apache-2.0
"""Pages of outages on real programs, ten times faster: simulator, exporters, two Prometheus servers, Alertmanager.

All rows of the table happen side by side, each to a target of its own, while the exporter of another environment dies.
A key leaks in a Prometheus of its own, on a week that was made up.
It takes eight minutes and half a processor, so it runs on request:
`LIVE_SCENARIOS=1 pytest tests/stack/test_live_scenarios.py`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.mixin.alerting import configured, written
from tests.mixin.bundle import ALERTMANAGER_BINARY, mixin, write_rules
from tests.mixin.lint.parser import seconds
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
from tests.stack.tsdb import MISSING, Recording, make_blocks

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not os.environ.get("LIVE_SCENARIOS"), reason="takes eight minutes; set LIVE_SCENARIOS=1"),
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
        bound: minutes from the first bad result to the alert, by the times of Prometheus.
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
DEAD = Row("exporter of staging killed", (), alert="OpenAIExporterDown")
PAGES = 'alertstate="firing",severity="critical"'
MADE = "live scenarios, ten times faster"
"""Heading of what came of them."""


def exporter_document(simulator: SimulatorControl, prompt: str = "pong") -> dict[str, Any]:
    """A target for each row. Two servers share its probes; another prompt is another probe, without back-off."""
    chat = {"endpoint": "chat", "timeout": "2s", "min_interval": f"{1000 * PACE - 500:.0f}ms"}
    targets = [{"name": name, "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"} for name in ROWS]
    modules = {
        name: chat | {"request": {"prompt": prompt if name == "quota" else "pong", "reasoning_effort": "none"}}
        for name in ROWS
    }
    probes = [{"target": name, "module": name, "models": list(row.models)} for name, row in ROWS.items()]
    return {"targets": targets, "modules": modules, "probes": probes}


def waits() -> dict[str, Any]:
    """How long groups of alerts wait, as shipped."""
    shipped = mixin("_config.alertmanager")
    wait = {name: f"{seconds(text) / SCALE:g}s" for name, text in shipped["groupWait"].items()}
    return {"groupWait": wait, "groupInterval": f"{seconds(shipped['groupInterval']) / SCALE:g}s"}


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
            "scrape_timeout": f"{PACE:.0f}s",
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
    paged: set[str] = field(default_factory=set)

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

    def seen(self, target: str, row: Row) -> str:
        """How long the rules took on the server that was first, apart from what sends the page."""
        if target == "staging":
            metric, alert = 'up{cluster="staging"}', row.alert
        else:
            metric = f'probe_success{{cluster="production",target="{target}",model="{row.models[0]}"}}'
            alert = f'{row.alert}",target="{target}'
        found = []
        for server in self.servers:
            bad = [at for at, value in moments(server, metric) if value == 0 and at >= self.began]
            fired = [at for at, _ in moments(server, f'ALERTS{{{PAGES},alertname="{alert}"}}')]
            if bad and fired:
                found.append((min(fired) - min(bad), sum(at <= min(fired) for at in bad)))
        if not found:
            return "no alert of that name"
        took, results = min(found)
        return f"fires after {took * SCALE / 60:.1f} minutes and {results} bad results (bound {row.bound:.0f} minutes)"

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
        text = f"ALERTS{{{PAGES}}}"
        names = ("alertname", "cluster", "target", "model")
        return [{tuple(each["metric"].get(name, "") for name in names) for each in s.query(text)} for s in self.servers]


def moments(server: Prometheus, metric: str) -> list[tuple[float, float]]:
    """Times and values of the last hour's samples."""
    return [(at, float(value)) for each in server.query(f"{metric}[1h]") for at, value in each["values"]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, note: Note) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    rules = folder / "rules"
    rules.mkdir()
    write_rules(rules, RULES)
    with ExitStack() as stack:
        simulator = stack.enter_context(running_simulator(latency_scale=0.1))
        sink = stack.enter_context(running_page_sink())
        config = configured({"webhook": {"url": f"{sink.url}/"}}, **waits())
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
        for target, row in {**ROWS, "staging": DEAD}.items():
            text = found.seen(target, row) if target in found.paged else ""
            note(MADE, f"{row.name:<42} {len(found.of(target))} pages {text}")
        yield found


def happen(live: Live) -> None:
    """All faults at once; returns when every page is over, and nothing has come after it for a while."""
    ready = f"count(count_over_time(probe_success[{10 * PACE:.0f}s]) >= 8)"
    probes = 2 * sum(len(row.models) for row in ROWS.values())
    wait_for(lambda: all(s.value(ready) == probes for s in live.servers), 300, "every probe has a past")
    live.began = time.time()
    for row in ROWS.values():
        if row.fault:
            lasts = row.minutes * 60 / SCALE
            live.simulator.fault(path="/v1/chat/completions", model=row.models[0], seconds=lasts, **row.fault)
    live.staging.kill()
    expected = {name for name, row in ROWS.items() if row.fault} | {"staging"}

    def all_paged() -> bool:
        live.paged |= {target for target in expected - live.paged if live.of(target)}
        if "quota" not in live.paged:
            live.ask_anew()
        return live.paged == expected

    wait_for(all_paged, 300, lambda: f"all but {expected - live.paged} paged")
    # Staging asks the same API, and would page for what is still down.
    wait_for(lambda: not live.simulator.faults(), 300, lambda: f"the end of {live.simulator.faults()}")
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
    assert [page["title"] for page in live.of("staging")] == [DEAD.alert]


def test_two_servers_page_for_the_same_targets_and_neither_misses_what_the_other_asked(live: Live) -> None:
    # An outage as short as it takes to page may be missed by one of them.
    pages = f'ALERTS{{{PAGES},target!="five"}}'
    misses = 'ALERTS{alertstate="firing",alertname=~"OpenAISLOMetricAbsent|OpenAILowThroughput",cluster="production"}'
    paged, missed = (
        [{(each["metric"]["cluster"], each["metric"].get("target", "")) for each in server.query(f"{text}[1h]")}
         for server in live.servers]
        for text in (pages, misses)
    )  # fmt: skip

    assert paged[0] == paged[1]
    assert missed == [set(), set()]


HOUR = 3600 / SCALE
USUAL, LEAKED = 3.0, 100.0
"""US dollars an hour that a key spends, and what it spends once it has leaked."""


def usage(since: float, leaked: float, until: float) -> Recording:
    """Usage of two keys as it would have been scraped and recorded; the second one leaks."""
    found = Recording(organization="acme", job="openai")
    spent = {"key_1": 0.0, "key_2": 0.0}
    step = HOUR / 30
    for number in range(int((until - since) / step) + 1):
        moment = since + number * step
        page = {
            'openai_usage_up{instance="e:9985",dataset="completions"}': 1.0,
            'openai_usage_last_success_timestamp_seconds{instance="e:9985",dataset="completions"}': moment,
        }
        recorded = {"organization:openai_usage_estimated_cost_usd:increase1h": 2 * USUAL}
        for key in spent:
            labels = f'project_id="p1",api_key_id="{key}"'
            spent[key] += (LEAKED if key == "key_2" and moment > leaked else USUAL) * step / HOUR
            name = (
                f'openai_usage_estimated_cost_usd_total{{instance="e:9985",operation="completions",model="m",{labels}}}'
            )
            page[name] = spent[key]
            recorded[f"key:openai_usage_estimated_cost_usd:increase1h{{{labels}}}"] = USUAL
        found.add(moment, page | (recorded if since + HOUR < moment <= leaked else {}))
    return found


@pytest.mark.skipif(MISSING, reason="promtool is not installed")
def test_a_key_that_leaks_outside_office_hours_is_one_page_and_nothing_waits_for_them(
    tmp_path: Path, note: Note
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    write_rules(rules, RULES, ("alerts-spend.yml", "recording-usage.yml", "recording-slo.yml"))
    another_day = f"{datetime.now(UTC) + timedelta(days=3):%A}".lower()
    with ExitStack() as stack:
        sink = stack.enter_context(running_page_sink())
        config = configured(
            {"webhook": {"url": f"{sink.url}/"}},
            **waits(),
            officeHours=[{"weekdays": [another_day], "times": [{"start_time": "08:00", "end_time": "18:00"}]}],
        )
        alertmanager = stack.enter_context(running_alertmanager(written(config, tmp_path)))
        now = time.time()
        leaked = now - 0.55 * HOUR
        make_blocks(usage(now - 9 * 24 * HOUR, leaked, now).write(tmp_path / "usage.om"), tmp_path / "tsdb")
        file = tmp_path / "prometheus.yml"
        file.write_text(yaml.safe_dump(prometheus_document({}, "a", rules, alertmanager.url)))
        server = stack.enter_context(prometheus_on(file))
        wait_for(sink.pages, 300, lambda: f"a page; {server.query('ALERTS')}")
        end = time.monotonic() + QUIET
        wait_for(lambda: time.monotonic() > end, 2 * QUIET, "quiet")
        news = [page for page in sink.pages() if any(each["status"] == "firing" for each in page["alerts"])]
        fired = [at for at, _ in moments(server, f"ALERTS{{{PAGES}}}")]
        text = f"fires after {(min(fired) - leaked) * SCALE / 60:.0f} minutes (bound 60 minutes)"
        note(MADE, f"{'a key leaks outside office hours':<42} {len(news)} pages {text}")

    assert [(page["title"], page["receiver"]) for page in news] == [("OpenAIKeySpendSpike", "page")]
    assert {each["labels"]["api_key_id"] for page in news for each in page["alerts"]} == {"key_2"}

# SPDX-License-Identifier: Apache-2.0
"""From cause to page and back, with real programs: simulator, exporter, Prometheus, Alertmanager, page-sink.

The shipped rules and routes run as they are, sixty times faster by their own setting timeScale; thresholds by their
windows. Nothing is replaced. How soon an alert fires is counted in scrapes and evaluations, not in seconds: on a busy
machine both take longer.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter.rules.rule_file import build, find_promtool
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.conftest import Note
from tests.mixin.alerting import configured, written
from tests.mixin.bundle import ALERTMANAGER_BINARY, write_rules
from tests.mixin.live import Alertmanager, running_alertmanager
from tests.stack.programs import (
    KEYS,
    PROMETHEUS,
    Exporter,
    PageSink,
    Prometheus,
    call,
    running_exporter,
    running_page_sink,
    running_prometheus,
    wait_for,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed"),
    pytest.mark.skipif(ALERTMANAGER_BINARY is None, reason="prometheus-alertmanager is not installed"),
]

PACE = 1.0
"""Seconds between two scrapes, and between two evaluations."""
GROUP_WAIT = 1.0
LARGE = 1e9
"""A budget in US dollars that is not reached."""
PROBED = '{model="gpt-6-luna"}'
SLACK = 8
"""Scrapes and evaluations for what takes no time by design: groups of rules that read each other's series."""
PATIENCE = 300.0
"""Seconds until a page, on a machine that is busy with other tests."""

RULES = """{
  timeScale: 1 / 60,
  thresholds+: { budget+: { memory: '3m' } },
  slo+: {
    latency+: { bounds: [{ bound: 0.2 }] },
    freshness+: { bounds: [{ bound: 3 }] },
    burn: [{ severity: 'critical', long: '20m', short: '5m', factor: 14.4, 'for': '1m', minBad: 12 }],
  },
}"""
THRESHOLDS = """
settings: {interval: 1s}
thresholds:
  - {name: high_error_rate, metric: error_rate, operator: '>', threshold: 5%, window: 15s, for: 1s, severity: critical}
  - {name: high_latency, metric: p95_latency, operator: '>', threshold: 200ms, window: 5s, for: 2s, severity: warning}
"""


def exporter_document(simulator: SimulatorControl, limit_usd: float, prompt: str) -> dict[str, Any]:
    organization = {
        "name": "acme",
        "base_url": simulator.api_url,
        "admin_key_env": "OPENAI_ADMIN_KEY",
        "refresh_interval": "1s",
        "names_interval": "1s",
        "costs": {"refresh_interval": "1s"},
    }
    return {
        "targets": [{"name": "openai", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"chat": {"endpoint": "chat", "request": {"prompt": prompt}}},
        "probes": [{"target": "openai", "module": "chat", "models": ["gpt-6-luna", "gpt-5.4-mini"]}],
        "organizations": [organization],
        "budgets": [{"name": "all", "organization": "acme", "period": "month", "limit_usd": limit_usd}],
    }


@dataclass(frozen=True)
class Stack:
    """Everything that runs.

    Attributes:
        config: the configuration file of the exporter.
        note: prints a line at the end of the run.
    """

    simulator: SimulatorControl
    exporter: Exporter
    prometheus: Prometheus
    alertmanager: Alertmanager
    sink: PageSink
    config: Path
    note: Note

    def reload(self, limit_usd: float = LARGE, prompt: str = "Reply with the word: pong") -> None:
        """Change the exporter's configuration; another prompt is another probe, without back-off."""
        self.config.write_text(yaml.safe_dump(exporter_document(self.simulator, limit_usd, prompt)))
        assert call(f"{self.exporter.url}/-/reload", "POST") == 200

    def refused_anew(self, prompt: str) -> None:
        """Have both probes refused once more, though back-off runs in real time; a budget is spent as well."""
        since = time.monotonic()
        self.reload(limit_usd=1, prompt=prompt)
        wait_for(
            lambda: sum(each["status"] == 429 for each in self.simulator.journal_since(since)) >= 2,
            PATIENCE,
            "both probes are refused",
        )

    def inhibited(self, alert: str) -> bool:
        """Whether Alertmanager holds that alert back because of another."""
        return any(
            each["labels"]["alertname"] == alert and each["status"]["inhibitedBy"]
            for each in self.alertmanager.alerts()
        )

    def spend_limit(self, cents: int | None) -> None:
        """Set or remove the organization's hard spend limit at the API."""
        url = f"{self.simulator.api_url}/organization/spend_limit"
        headers = {"Authorization": f"Bearer {KEYS['OPENAI_ADMIN_KEY']}"}
        body = {"threshold_amount": cents, "currency": "USD", "interval": "month"}
        assert call(url, "DELETE" if cents is None else "POST", None if cents is None else body, **headers) == 200


@dataclass
class Watched:
    """An alert that a cause must bring to the pager, and its end must resolve.

    Attributes:
        cause: a series of the exporter, and its values that are the cause.
        bound: scrapes or evaluations from the cause to the alert that the design allows, without slack.
    """

    stack: Stack
    alert: str
    cause: tuple[str, Callable[[float], bool]]
    bound: int
    began: float = field(default_factory=time.time)
    since: int = field(init=False)

    def __post_init__(self) -> None:
        pages = self.stack.sink.pages()
        self.since = pages[-1]["id"] if pages else 0

    def fires(self) -> dict[str, Any]:
        """Wait for its page; its first alert."""
        found = wait_for(lambda: self._found("firing"), PATIENCE, lambda: f"{self.alert} firing; {self._seen()}")
        scrapes, evaluations = self._took()
        line = f"{scrapes} scrapes, {evaluations} evaluations, at most {self.bound + SLACK} of either"
        self.stack.note("from cause to page", f"{self.alert:<32} {line}")
        assert min(scrapes, evaluations) <= self.bound + SLACK, f"{self.alert} took {line}"
        return found[0]

    def resolves(self) -> None:
        """Wait for the page that says it is over."""
        wait_for(lambda: self._found("resolved"), PATIENCE, lambda: f"{self.alert} resolved; {self._seen()}")

    def _took(self) -> tuple[int, int]:
        """Scrapes that showed the cause, and evaluations since the first of them, until it fires."""
        series, is_cause = self.cause
        seen = [at for at, value in self._moments(series) if is_cause(value)]
        fired = min(at for at, _ in self._moments(f'ALERTS{{alertname="{self.alert}",alertstate="firing"}}'))
        evaluated = [at for at, _ in self._moments('ALERTS{alertname="Watchdog"}')]
        assert seen, f"{series} never showed the cause"
        return sum(at <= fired for at in seen), sum(seen[0] <= at <= fired for at in evaluated)

    def _moments(self, series: str) -> list[tuple[float, float]]:
        found = self.stack.prometheus.query(f"{series}[30m]")
        return [(at, float(value)) for each in found for at, value in each["values"] if at >= self.began]

    def _found(self, status: str) -> list[dict[str, Any]]:
        return self.stack.sink.alerts(self.alert, status, self.since)

    def _seen(self) -> list[str]:
        return [f"{page['title']} {page['status']}" for page in self.stack.sink.pages()]


FAILED = (f"probe_success{PROBED}", lambda success: success == 0)


def rule_files(folder: Path) -> list[Path]:
    """The shipped rules at speed, and compiled thresholds."""
    (folder / "thresholds.yml").write_text(THRESHOLDS)
    own = folder / "user-thresholds.yml"
    own.write_text(build(folder / "thresholds.yml", promtool=find_promtool()).text)
    return [*write_rules(folder, RULES), own]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, note: Note) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("paging")
    with running_simulator(latency_scale=0) as simulator, running_page_sink() as sink:
        config = written(
            configured(
                {"webhook": {"url": f"{sink.url}/"}},
                groupWait={"page": f"{GROUP_WAIT:.0f}s", "notify": f"{GROUP_WAIT:.0f}s"},
                groupInterval="1s",
                audiences={"cost": ["webhook"]},
                officeHours=[{"times": [{"start_time": "00:00", "end_time": "24:00"}]}],
            ),
            folder,
        )
        with (
            running_alertmanager(config) as alertmanager,
            running_exporter(folder, KEYS, exporter_document(simulator, LARGE, "pong")) as exporter,
            running_prometheus(
                folder, f"{exporter.url}/sd", f"{PACE:.0f}s", rule_files(folder), alertmanager.url
            ) as prometheus,
        ):
            wait_for(lambda: prometheus.value("count(probe_success == 1)") == 2, 180, "both probes succeed")
            yield Stack(simulator, exporter, prometheus, alertmanager, sink, Path(exporter.argv[-1]), note)


@pytest.fixture(autouse=True)
def mended(stack: Stack) -> Iterator[None]:
    """Ends faults however a test ends, so that one failure is not four."""
    yield
    stack.simulator.clear()


def milliseconds(description: str) -> float:
    """The latency that a text tells; the machine may add to the delay, nothing takes from it."""
    found = re.search(r" is ([0-9.]+)(ms|s) over ", description)
    assert found, description
    return float(found[1]) * (1 if found[2] == "ms" else 1000)


def test_a_killed_exporter_pages_and_nothing_else_does(stack: Stack) -> None:
    down = Watched(stack, "OpenAIExporterDown", (f"up{PROBED}", lambda up: up == 0), 4)
    stack.exporter.kill()

    paged = down.fires()
    fired = {page["title"] for page in stack.sink.pages(down.since) if page["status"] == "firing"}
    stack.exporter.start()

    assert paged["annotations"]["summary"].startswith("All exporter targets are down")
    assert fired == {"OpenAIExporterDown"}
    down.resolves()


def test_an_outage_and_a_reached_spend_limit_page_and_their_end_resolves(stack: Stack) -> None:
    down = Watched(stack, "OpenAITargetDown", FAILED, 4)
    limit = Watched(stack, "OpenAISpendLimitEnforcing", ('openai_spend_limit_enforcing{scope="organization"}', bool), 4)
    stack.simulator.fault("outage", scope="inference")
    stack.spend_limit(100)

    paged = down.fires()
    from_then = stack.sink.pages()[-1]["id"]
    enforced = limit.fires()
    wait_for(lambda: stack.inhibited("OpenAIHighErrorRate"), 180, "the rate of errors is held back")
    stack.simulator.clear()
    stack.spend_limit(None)

    assert paged["labels"]["severity"] == "critical"
    assert paged["annotations"]["description"].startswith("The last probes of openai (openai) all failed.")
    assert paged["annotations"]["runbook_url"].endswith("/OpenAITargetDown.md")
    assert enforced["labels"]["organization"] == "acme"
    assert stack.sink.alerts("OpenAIHighErrorRate", "firing", from_then) == []
    for each in (down, limit):
        each.resolves()


def test_one_model_that_fails_pages_by_its_threshold(stack: Stack) -> None:
    # Five bad probes and a second, before the twelve of OpenAIAvailabilityBudgetBurn, which mutes it.
    errors = Watched(stack, "OpenAIHighErrorRate", FAILED, 6)
    stack.simulator.fault("outage", model="gpt-6-luna")

    paged = errors.fires()
    stack.simulator.clear()

    assert paged["annotations"]["summary"] == "The error rate is above 5%."
    assert paged["annotations"]["description"].startswith("The error rate of chat on openai (gpt-6-luna)")
    errors.resolves()


def test_slow_answers_and_stale_data_page_and_their_end_resolves(stack: Stack) -> None:
    took = (f"probe_duration_seconds{PROBED}", lambda seconds: seconds >= 0.3)
    slow = Watched(stack, "OpenAIHighLatency", took, 4)
    burn = Watched(stack, "OpenAILatencyBudgetBurn", took, 13)
    stale = Watched(stack, "OpenAIUsageDataStale", ('openai_usage_up{dataset="completions"}', lambda up: up == 0), 9)
    stack.simulator.fault("latency", path="/v1/chat/completions", delay_seconds=0.3)
    stack.simulator.fault("outage", scope="organization")

    warned, old = slow.fires(), stale.fires()
    burn.fires()
    stack.simulator.clear()

    assert warned["labels"]["severity"] == "warning"
    assert warned["annotations"]["summary"] == "The p95 latency is above 200ms."
    assert milliseconds(warned["annotations"]["description"]) >= 300
    assert old["labels"]["organization"] == "acme"
    assert "has not been read for" in old["annotations"]["description"]
    for each in (slow, burn, stale):
        each.resolves()


def test_an_exhausted_quota_and_a_crossed_budget_page(stack: Stack) -> None:
    refused = f'openai_probe_outcome{PROBED[:-1]},outcome="quota_exhausted"}}'
    quota = Watched(stack, "OpenAIQuotaExhausted", (refused, bool), 6)
    budget = Watched(stack, "OpenAIBudgetSpent", ('openai_budget_limit_usd{budget="all"}', lambda usd: usd < LARGE), 7)
    stack.simulator.fault("insufficient_quota", path="/v1/chat/completions")
    for number in range(5):
        stack.refused_anew(f"Reply with the number {number}")

    paged = quota.fires()
    crossed = budget.fires()
    stack.simulator.clear()
    stack.reload(prompt="Say pong")

    assert paged["annotations"]["summary"].startswith("The quota is exhausted")
    assert (crossed["labels"]["category"], crossed["labels"]["severity"]) == ("cost", "warning")
    share = re.match("Budget all has reached ([0-9.e+]+)%", crossed["annotations"]["description"])
    assert share
    assert float(share[1]) >= 100
    quota.resolves()
    budget.resolves()

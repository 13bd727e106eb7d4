# SPDX-License-Identifier: Apache-2.0
"""Who hears of what, asked of Alertmanager's own routing."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mixin.alerting import configured, written
from tests.mixin.bundle import AMTOOLS, alert_rules, run, version


class Row(NamedTuple):
    """Labels beside the alert's name, and the receivers that get it."""

    alert: str
    labels: str
    receivers: str


PLATFORM, FINOPS, SECURITY, RESEARCH = (f"team={name}" for name in ("platform", "finops", "security", "research"))
TABLE = [
    # The dead man's switch.
    Row("Watchdog", f"severity=none category=exporter {PLATFORM}", "watchdog"),
    Row("Watchdog", "severity=critical", "watchdog"),
    Row("SomethingElse", "severity=none", "nobody"),
    # Pages.
    Row("OpenAITargetDown", f"severity=critical category=availability {PLATFORM} target=openai", "page"),
    Row("OpenAIAvailabilityBudgetBurn", f"severity=critical category=availability {PLATFORM} slo=availability", "page"),
    Row("OpenAILatencyBudgetBurn", f"severity=critical category=latency {PLATFORM} slo=latency", "page"),
    Row("OpenAICredentialsRejected", f"severity=critical category=availability {PLATFORM}", "page"),
    Row("OpenAIQuotaExhausted", f"severity=critical category=availability {PLATFORM}", "page"),
    Row("OpenAISpendLimitReached", f"severity=critical category=availability {PLATFORM}", "page"),
    Row("OpenAIModelUnavailable", f"severity=critical category=availability {PLATFORM} model=gpt-6", "page"),
    Row("OpenAIModelRetiring", f"severity=critical category=models {PLATFORM} threshold=7d", "page"),
    Row("OpenAIModelRetiring", f"severity=critical category=models {RESEARCH} threshold=7d", "page-research"),
    Row("OpenAIModelRetiring", f"severity=warning category=models {PLATFORM} threshold=30d", "notify"),
    Row(
        "OpenAIHighErrorRate", f"severity=critical category=availability {PLATFORM} threshold_metric=error_rate", "page"
    ),
    Row("OpenAIKeyExpiring", f"severity=critical category=keys {SECURITY} threshold=2d", "page"),
    Row("OpenAIExporterDown", f"severity=critical category=exporter {PLATFORM}", "page"),
    Row("OpenAIAlertDeliveryFailing", f"severity=critical category=exporter {PLATFORM}", "page"),
    # Money that stops the service pages whatever the hour.
    Row("OpenAISpendLimitEnforcing", f"severity=critical category=cost {FINOPS}", "page"),
    Row("OpenAIKeySpendSpike", f"severity=critical category=cost {FINOPS}", "page"),
    Row("OpenAICostAnomaly", f"severity=critical category=cost {FINOPS} anomaly=cost", "page"),
    # Other money goes by mail in office hours, whether it warns or informs.
    Row("OpenAIBudgetSpent", f"severity=warning category=cost {FINOPS} threshold=full", "cost"),
    Row("OpenAIBudgetSpent", f"severity=warning category=cost {FINOPS} threshold=warn_ratio", "cost"),
    Row("OpenAIBudgetSpent", f"severity=info category=cost {FINOPS} threshold=half", "cost"),
    Row("OpenAIUserBudgetSpent", f"severity=warning category=cost {FINOPS}", "cost"),
    Row("OpenAIKeyBudgetSpent", f"severity=info category=cost {FINOPS}", "cost"),
    Row("OpenAIBudgetForecastExceeded", f"severity=warning category=cost {FINOPS}", "cost"),
    Row("OpenAICostAnomaly", f"severity=warning category=cost {FINOPS} anomaly=cost", "cost"),
    Row("OpenAIKeySpendSpike", f"severity=warning category=cost {FINOPS}", "cost"),
    Row("OpenAISpendLimitNear", f"severity=warning category=cost {FINOPS} scope=project", "cost"),
    # Tickets. Traffic that stops concerns the applications, at any hour.
    Row("OpenAITokenUsageDrop", f"severity=warning category=usage {PLATFORM}", "notify"),
    Row("OpenAIAvailabilityBudgetBurn", f"severity=warning category=availability {PLATFORM}", "notify"),
    Row("OpenAIFirstTokenBudgetBurn", f"severity=warning category=latency {PLATFORM}", "notify"),
    Row("OpenAIRateLimited", f"severity=warning category=limits {PLATFORM}", "notify"),
    Row("OpenAIUsageDataStale", f"severity=warning category=freshness {FINOPS}", "notify"),
    Row("OpenAIStatusIncident", f"severity=warning category=status {PLATFORM}", "notify"),
    Row("OpenAIKeyExpiring", f"severity=warning category=keys {SECURITY} threshold=14d", "notify"),
    Row("OpenAIExporterReplicaDown", f"severity=warning category=exporter {PLATFORM}", "notify"),
    # What is only good to know.
    Row("OpenAIErrorBudgetExhausted", f"severity=info category=availability {PLATFORM}", "info"),
    Row("OpenAIKeyUnused", f"severity=info category=keys {SECURITY}", "info"),
    Row("OpenAIServedModelChanged", f"severity=info category=models {PLATFORM}", "info"),
    # A team with channels of its own keeps every level.
    Row("OpenAITargetDown", f"severity=critical category=availability {RESEARCH}", "page-research"),
    Row("OpenAIRateLimited", f"severity=warning category=limits {RESEARCH}", "notify-research"),
    Row("OpenAICostAnomaly", f"severity=warning category=cost {RESEARCH}", "cost-research"),
    Row("OpenAIKeyUnused", f"severity=info category=keys {RESEARCH}", "info-research"),
    Row("Custom", f"severity=unknown {RESEARCH}", "notify-research"),
    # Rules that users add, and labels that nobody foresaw.
    Row("HighLatency", "severity=critical", "page"),
    Row("HighLatency", "severity=warning team=unheard-of", "notify"),
    Row("NoSeverity", "job=openai", "notify"),
    Row("NodeDown", "severity=page", "notify"),
]

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not AMTOOLS, reason="amtool is not installed"),
    pytest.mark.parametrize("amtool", AMTOOLS or [""], ids=version),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = configured(
        teams={"research": {"slack": {"channel": "#research"}}},
        watchdog={"url": "https://watchdog.example.org/ping"},
        quietTimes=[{"weekdays": ["sunday"]}],
    )
    return written(document, tmp_path_factory.mktemp("routes"))


def routed(amtool: str, config: Path, labels: list[str]) -> str:
    found = run(amtool, "config", "routes", "test", f"--config.file={config}", *labels)
    return found.stdout.strip() or found.stderr.strip()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.alert} {row.labels}")
def test_an_alert_reaches(amtool: str, config: Path, row: Row) -> None:
    assert row.receivers == routed(amtool, config, [f"alertname={row.alert}", *row.labels.split()])


def test_no_alert_of_the_bundle_falls_through_to_the_root(amtool: str, config: Path) -> None:
    """The root's receiver is for rules of others; ours name a severity, a category and a team that have routes."""
    known = {"page": "critical", "notify": "warning", "cost": "cost", "info": "info", "watchdog": "none"}
    kinds = {
        tuple(f"{name}={rule['labels'][name]}" for name in ("severity", "category", "team"))
        for rule in alert_rules()
        if rule["alert"] != "Watchdog"
    }
    wrong = {
        kind: receiver
        for kind in kinds
        if (receiver := routed(amtool, config, ["alertname=Any", *kind])) not in known
        or not any(known[receiver] in part for part in kind)
    }

    assert len(TABLE) >= 30
    assert wrong == {}

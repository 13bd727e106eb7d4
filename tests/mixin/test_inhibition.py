# SPDX-License-Identifier: Apache-2.0
"""A running Alertmanager: what inhibits what, and when nothing is sent."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mixin.bundle import ALERTMANAGER_BINARY
from tests.mixin.desk import ALWAYS, NEVER, OTHER, PROBE, Desk, alert, desk

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(ALERTMANAGER_BINARY is None, reason="prometheus-alertmanager is not installed"),
]


def threshold(metric: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    """An alert that thresholds.yml makes on a metric."""
    return {"alertname": f"OpenAIMy_{metric}", "severity": severity, "threshold_metric": metric} | labels


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Outside office hours, and in a quiet time."""
    with ExitStack() as stack:
        yield desk(tmp_path_factory.mktemp("quiet"), stack, officeHours=NEVER, quietTimes=ALWAYS)


INHIBITED = {
    "a dead exporter mutes what it explains": (
        alert("OpenAIExporterDown"),
        [
            alert("OpenAIScrapeFailing", instance="a"),
            alert("OpenAITargetDown", target="openai"),
            alert("OpenAIBudgetSpent"),
        ],
        [alert("OpenAIAlertDeliveryFailing", instance="am"), alert("Watchdog"), {"alertname": "NodeDown"}],
    ),
    "critical mutes warning and info of the same": (
        alert("OpenAIKeySpendSpike", "critical", organization="acme", project_id="p1", api_key_id="k1"),
        [alert("OpenAIKeySpendSpike", "warning", organization="acme", project_id="p1", api_key_id="k1")],
        [
            alert("OpenAIKeySpendSpike", "warning", organization="acme", project_id="p1", api_key_id="k2"),
            alert("OpenAIUserBudgetSpent", "info", organization="acme", budget="all", id="p1"),
        ],
    ),
    "a key that runs away explains what its organization spends": (
        alert("OpenAIKeySpendSpike", "critical", organization="acme", project_id="p1", api_key_id="k1"),
        [
            alert("OpenAICostAnomaly", "critical", organization="acme", anomaly="cost"),
            alert("OpenAITokenUsageAnomaly", "warning", organization="acme", anomaly="tokens"),
        ],
        [
            alert("OpenAITokenUsageAnomaly", "warning", organization="other", anomaly="tokens"),
            alert("OpenAITokenUsageDrop", "warning", organization="acme", anomaly="tokens"),
        ],
    ),
    "a budget that is spent mutes what it was told before": (
        alert("OpenAIBudgetSpent", "warning", organization="acme", budget="all", id="p1") | {"threshold": "full"},
        [
            alert("OpenAIBudgetSpent", "warning", organization="acme", budget="all", id="p1"),
            alert("OpenAIBudgetSpent", "info", organization="acme", budget="all", id="p1"),
        ],
        [alert("OpenAIBudgetSpent", "warning", organization="acme", budget="all", id="p2")],
    ),
    "warning mutes info of the same": (
        alert("OpenAIModelRetiring", "warning", target="openai", model="gpt-4"),
        [alert("OpenAIModelRetiring", "info", target="openai", model="gpt-4")],
        [alert("OpenAIModelRetiring", "info", target="openai", model="gpt-5")],
    ),
    "a target that is down mutes its probes": (
        alert("OpenAITargetDown", target="openai"),
        [
            alert("OpenAIAvailabilityBudgetBurn", "critical", **PROBE),
            alert("OpenAILatencyBudgetBurn", "warning", **PROBE),
        ],
        [
            alert("OpenAIAvailabilityBudgetBurn", "critical", **PROBE | OTHER),
            alert("OpenAIQuotaExhausted", target="openai"),
        ],
    ),
    "refused credentials explain silence": (
        alert("OpenAICredentialsRejected", target="openai"),
        [alert("OpenAISLOMetricAbsent", **PROBE), alert("OpenAIRateLimited", **PROBE)],
        [
            alert("OpenAISLOMetricAbsent", **PROBE | OTHER),
            alert("OpenAITargetDown", target="openai"),
            alert("OpenAIModelUnavailable", **PROBE),
        ],
    ),
    "one probe that is refused explains nothing of others": (
        alert("OpenAICredentialsRejected", target="openai", scope="probe"),
        [],
        [alert("OpenAISLOMetricAbsent", **PROBE), threshold("error_rate", **PROBE)],
    ),
    "a threshold of the user's own mutes nothing, whatever its name is": (
        alert("OpenAITargetDown", target="openai", threshold_metric="error_rate"),
        [],
        [alert("OpenAIAvailabilityBudgetBurn", "critical", **PROBE)],
    ),
    "where nothing is probed, no probe needs to say so": (
        alert("OpenAIScrapeFailing", "critical"),
        [
            alert("OpenAIScrapeFailing", instance="a", **PROBE),
            alert("OpenAISLOMetricAbsent", **PROBE),
            threshold("throughput", "warning", **PROBE),
        ],
        [alert("OpenAITargetDown", target="openai"), alert("OpenAIBudgetSpent")],
    ),
    "a probe that is rate limited has no valid event": (
        alert("OpenAIRateLimited", **PROBE),
        [alert("OpenAISLOMetricAbsent", **PROBE), threshold("throughput", "warning", **PROBE)],
        [alert("OpenAISLOMetricAbsent", **PROBE | {"model": "gpt-5"})],
    ),
    "refreshes that fail are told before stale data, and that before its budget": (
        alert("OpenAIUsageRefreshFailing", organization="acme"),
        [
            alert("OpenAIUsageDataStale", organization="acme", dataset="costs"),
            alert("OpenAIFreshnessBudgetBurn", organization="acme", dataset="costs"),
        ],
        [alert("OpenAIUsageDataStale", organization="other", dataset="costs")],
    ),
    "one dataset that cannot be read says nothing of others": (
        alert("OpenAIUsageRefreshFailing", organization="acme", dataset="costs"),
        [alert("OpenAIUsageDataStale", organization="acme", dataset="costs")],
        [alert("OpenAIUsageDataStale", organization="acme", dataset="completions")],
    ),
    "a target that is down or refuses us explains what thresholds see of it": (
        alert("OpenAITargetDown", target="openai"),
        [
            threshold("error_rate", **PROBE),
            threshold("p95_latency", **PROBE),
            threshold("throughput", "warning", **PROBE),
        ],
        [threshold("error_rate", **PROBE | OTHER), threshold("headroom", **PROBE)],
    ),
    "an exhausted quota explains failed probes": (
        alert("OpenAIQuotaExhausted", target="openai"),
        [threshold("error_rate", **PROBE)],
        [threshold("cost_per_hour", organization="acme"), alert("OpenAIAvailabilityBudgetBurn", **PROBE)],
    ),
    "a model that is gone explains failures of its probe alone": (
        alert("OpenAIModelUnavailable", **PROBE),
        [threshold("error_rate", **PROBE)],
        [threshold("error_rate", **PROBE | {"model": "gpt-5"})],
    ),
    "a probe that is at fault mutes no page": (
        alert("OpenAIProbeInvalid", **PROBE),
        [threshold("throughput", "warning", **PROBE)],
        [threshold("error_rate", **PROBE)],
    ),
    "a service level that pages needs no threshold beside it": (
        alert("OpenAIAvailabilityBudgetBurn", "critical", **PROBE),
        [threshold("error_rate", **PROBE), threshold("throughput", "warning", **PROBE)],
        [threshold("error_rate", **PROBE | {"model": "gpt-5"})],
    ),
    "slow pages once": (
        alert("OpenAILatencyBudgetBurn", "critical", **PROBE),
        [threshold("p95_latency", **PROBE), threshold("time_to_first_token", **PROBE)],
        [threshold("error_rate", **PROBE)],
    ),
    "a spent daily limit explains silence of that probe": (
        alert("OpenAIProbeCostLimited", **PROBE),
        [alert("OpenAISLOMetricAbsent", **PROBE)],
        [alert("OpenAISLOMetricAbsent", **PROBE | {"model": "gpt-5"})],
    ),
    "a probe that fails is not called slow as well": (
        alert("OpenAIAvailabilityBudgetBurn", "critical", **PROBE),
        [alert("OpenAILatencyBudgetBurn", "critical", **PROBE), alert("OpenAIFirstTokenBudgetBurn", **PROBE)],
        [alert("OpenAILatencyBudgetBurn", "critical", **PROBE | {"model": "gpt-5"})],
    ),
    "an incident of the provider mutes warnings on latency, not pages": (
        alert("OpenAIStatusIncident", impact="major"),
        [alert("OpenAILatencyAnomaly", **PROBE), alert("OpenAILatencyBudgetBurn", "warning", **PROBE)],
        [
            alert("OpenAILatencyBudgetBurn", "critical", **PROBE),
            alert("OpenAIAvailabilityBudgetBurn", "warning", **PROBE),
            alert("OpenAILatencyAnomaly", **PROBE | OTHER),
        ],
    ),
    "old figures mute what they say of cost, not what the API does": (
        alert("OpenAIUsageDataStale", organization="acme", dataset="costs"),
        [
            alert("OpenAICostAnomaly", "warning", organization="acme"),
            alert("OpenAIFreshnessBudgetBurn", organization="acme", dataset="costs"),
        ],
        [
            alert("OpenAISpendLimitEnforcing", organization="acme"),
            alert("OpenAICostAnomaly", "warning", organization="other"),
            alert("OpenAIFreshnessBudgetBurn", organization="acme", dataset="completions"),
        ],
    ),
    "old names of projects mute nothing": (
        alert("OpenAIUsageDataStale", organization="acme", dataset="names"),
        [],
        [alert("OpenAICostAnomaly", "warning", organization="acme")],
    ),
}


@pytest.mark.parametrize(("source", "muted", "heard"), INHIBITED.values(), ids=INHIBITED)
def test_inhibits(
    quiet: Desk, source: dict[str, str], muted: list[dict[str, str]], heard: list[dict[str, str]]
) -> None:
    """Each row lives in an environment of its own, told apart by label cluster, so that rows do not meet."""
    cluster = {
        "job": "openai",
        "cluster": f"row-{list(INHIBITED).index(next(k for k, v in INHIBITED.items() if v[0] is source))}",
    }
    everything = [each | cluster for each in (source, *muted, *heard)]
    quiet.alertmanager.post(everything)

    def states() -> dict[frozenset[tuple[str, str]], bool]:
        found = [each for each in quiet.alertmanager.alerts() if each["labels"].get("cluster") == cluster["cluster"]]
        return {frozenset(each["labels"].items()): bool(each["status"]["inhibitedBy"]) for each in found}

    expected = {frozenset(each.items()): each in [m | cluster for m in muted] for each in everything}
    quiet.alertmanager.wait(lambda: states() == expected, f"{expected} but {states()}")


@pytest.mark.parametrize("label", ["job", "cluster", "env", "environment", "region", "namespace"])
def test_the_same_alerts_in_another_environment_are_not_inhibited(quiet: Desk, label: str) -> None:
    down = alert("OpenAIExporterDown", **{"row": label, label: "one"})
    other = alert("OpenAIScrapeFailing", **{"row": label, label: "two"}, instance="a")
    quiet.alertmanager.post([down, other])
    quiet.alertmanager.wait(
        lambda: (
            [
                each["status"]["inhibitedBy"]
                for each in quiet.alertmanager.alerts()
                if each["labels"].get("row") == label and each["labels"].get(label) == "two"
            ]
            == [[]]
        ),
        "the other environment's alert is active",
    )


def test_outside_office_hours_cost_waits_and_in_quiet_times_warnings_do_while_pages_come(quiet: Desk) -> None:
    cost = alert("OpenAIBudgetForecastExceeded", cluster="night", organization="acme")
    warning = alert("OpenAIRateLimited", cluster="night", **PROBE)
    page = alert("OpenAISpendLimitEnforcing", cluster="night", organization="acme")
    quiet.alertmanager.post([cost, warning, page])

    quiet.alertmanager.wait(lambda: "OpenAISpendLimitEnforcing" in quiet.http.alerts("/webhook", "firing"), "the page")
    # The second time that a group is looked at, the first is over; had it notified, the receiver would know.
    quiet.alertmanager.wait(
        lambda: all(flushed(quiet.alertmanager.log, each["alertname"]) >= 2 for each in (cost, warning)),
        "both looked at",
    )

    assert {"OpenAIBudgetForecastExceeded", "OpenAIRateLimited"} & quiet.http.alerts("/webhook", "firing") == set()
    assert [each for each in quiet.mail.messages if "OpenAIBudgetForecastExceeded" in str(each["Subject"])] == []


def flushed(log: Path, name: str) -> int:
    """How often Alertmanager looked at a group that holds the alert."""
    return len(
        [line for line in log.read_text().splitlines() if "flushing" in line and f'alertname=\\"{name}\\"' in line]
    )

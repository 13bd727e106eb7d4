# SPDX-License-Identifier: Apache-2.0
"""The operator's resources in a real Prometheus: each probe once through the Service, each pod's page, labels whole."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from openai_exporter.config.load import default_document
from openai_simulator.testing import running_simulator
from tests.deploy.kubernetes import written
from tests.stack.programs import KEYS, PROMETHEUS, Exporter, Prometheus, prometheus_on, running_exporter, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")]
PROBES = sum(max(1, len(each.get("models", ()))) for each in (default_document(KEYS) or {})["probes"])
"""Of the built-in configuration, which the pods run with."""


def resource(kind: str) -> Any:
    (found,) = [each for _, each in written("components/operator/*.yaml") if each["kind"] == kind]
    return found["spec"]


def snake(relabelings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relabelings in Prometheus' own spelling."""
    return [
        {re.sub(r"[A-Z]", lambda c: f"_{c[0].lower()}", name): value for name, value in each.items()}
        for each in relabelings
    ]


def scrape_configs(service: str, pods: list[str]) -> list[dict[str, Any]]:
    """What the operator makes of our ScrapeConfig and ServiceMonitor, for that Service and those pods."""
    config, (endpoint,) = resource("ScrapeConfig"), resource("ServiceMonitor")["endpoints"]
    # The labels that the operator gives every target of a ServiceMonitor, before our relabelings.
    labels = {"job": "openai-exporter", "namespace": "monitoring", "service": "openai-exporter", "endpoint": "http"}
    return [
        {
            "job_name": config["jobName"],
            "http_sd_configs": [{"url": f"{service}/sd", "refresh_interval": "1s"}],
            "relabel_configs": snake(config["relabelings"]),
        },
        {
            "job_name": "serviceMonitor/monitoring/openai-exporter/0",
            "metrics_path": endpoint["path"],
            "static_configs": [
                {
                    "targets": [pod.removeprefix("http://")],
                    "labels": labels
                    | {"pod": f"exporter-{number}", "__meta_kubernetes_pod_name": f"exporter-{number}"},
                }
                for number, pod in enumerate(pods)
            ],
            "relabel_configs": snake(endpoint["relabelings"]),
        },
    ]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("operator")
    with running_simulator(latency_scale=0) as simulator, ExitStack() as stack:
        env = KEYS | {"OPENAI_BASE_URL": simulator.api_url}
        pods: list[Exporter] = [stack.enter_context(running_exporter(folder, env)) for _ in range(2)]
        # The Service keeps this Prometheus on the first pod.
        document = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": scrape_configs(pods[0].url, [each.url for each in pods]),
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
        yield stack.enter_context(prometheus_on(folder / "prometheus.yml"))


def test_each_probe_is_scraped_once_and_each_pod_has_its_page(prometheus: Prometheus) -> None:
    def ups() -> list[dict[str, Any]]:
        found = prometheus.query("up == 1")
        return found if {"exporter-0", "exporter-1"} <= {each["metric"]["instance"] for each in found} else []

    found = [each["metric"] for each in wait_for(ups, 180, "both pods are up")]
    assert {each["job"] for each in found} == {"openai"}
    pages = [each for each in found if each["instance"].startswith("exporter-")]
    assert [sorted(each) for each in pages] == [["__name__", "instance", "job"]] * 2
    # On a busy machine a scrape now and then takes longer than its second.
    seen = "last_over_time(probe_success[2m])"
    wait_for(lambda: prometheus.value(f"count({seen})") == PROBES, 180, f"{PROBES} probes")
    assert prometheus.query(f"count by (target, module, model) ({seen}) > 1") == []


def test_the_label_endpoint_is_ours(prometheus: Prometheus) -> None:
    query = "openai_api_requests_total > 0"
    found = wait_for(lambda: prometheus.query(query), 180, "counters of probes")
    assert {each["metric"]["endpoint"] for each in found} <= {
        *("chat", "responses", "embeddings", "moderations", "models")
    }
    assert prometheus.query('{exported_endpoint!=""}') == []
    assert {each["metric"]["instance"] for each in found} == {"exporter-0"}, "the other pod stands by"


def test_the_pod_that_nobody_asks_calls_no_api(prometheus: Prometheus) -> None:
    wait_for(lambda: prometheus.query("openai_exporter_upstream_calls_total > 0"), 180, "calls")
    found = prometheus.query("sum by (instance) (openai_exporter_upstream_calls_total) > 0")
    assert {each["metric"]["instance"] for each in found} == {"exporter-0"}

# SPDX-License-Identifier: Apache-2.0
"""The manifests: valid, safe, generated from the same sources, and small enough for `kubectl apply`."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter import __version__
from openai_exporter.config.load import parse_config
from openai_exporter.rules.bundle import evaluate
from tests.deploy.kubernetes import FOLDER, OVERLAYS, ROOT, Resource, build, kubectl, mistakes, named, overlay, written
from tests.docs.markdown import shell_blocks

OPERATOR_KINDS = {"AlertmanagerConfig", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"}
APPLY_LIMIT = 262_144
"""Bytes of annotations: client-side apply keeps the whole resource in one."""
CONFIGMAP_LIMIT = 1_048_576

overlays = pytest.mark.parametrize("name", OVERLAYS)


@overlays
def test_every_overlay_builds_and_names_each_resource_once(name: str) -> None:
    keys = [(each["kind"], each["metadata"]["name"]) for each in overlay(name)]
    assert sorted(keys) == sorted(set(keys))
    assert ("Deployment", "openai-exporter") in keys


@overlays
def test_the_resources_of_kubernetes_hold_to_its_schemas(name: str) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (tools/requirements-deploy.lock)"
    )
    checked = [each for each in overlay(name) if each["kind"] not in OPERATOR_KINDS]
    assert len(checked) > 5
    for version in ("1.30", "1.34", "1.37"):
        for each in checked:
            validate.validate(each, version, strict=True)


def test_the_schemas_catch_a_mistake() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    deployment = named(overlay("plain"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(validate.ValidationError, match="readinessprobe"):
        validate.validate(deployment, "1.37", strict=True)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        pytest.param(path, each, id=f"{path.stem}-{each['metadata']['name']}")
        for path, each in written("components/operator/*.yaml")
        if each["kind"] in OPERATOR_KINDS
    ],
)
def test_the_resources_of_the_operator_hold_to_its_schemas(path: Path, resource: Resource) -> None:
    assert mistakes(resource) == []


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("ScrapeConfig", {"httpSDConfigs": [{"URL": "http://x"}]}, "'url' is a required property"),
        ("ScrapeConfig", {"scrapeInterval": "1 minute"}, "does not match"),
        ("ServiceMonitor", {"selector": {}, "endpoints": [{"ports": "http"}]}, "'ports' was unexpected"),
        ("PrometheusRule", {"groups": [{"name": "a", "rules": [{"alert": "A"}]}]}, "'expr' is a required"),
        ("AlertmanagerConfig", {"route": {"routes": [{"receiver": "a", "group_by": []}]}}, "'group_by' was"),
    ],
)
def test_the_operator_s_schemas_catch_a_mistake(kind: str, spec: Resource, said: str) -> None:
    found = mistakes({"apiVersion": "x", "kind": kind, "metadata": {}, "spec": spec})
    assert any(said in each for each in found), found


@overlays
def test_containers_may_do_nothing_that_they_need_not(name: str) -> None:
    for deployment in (each for each in overlay(name) if each["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]) == {"requests", "limits"}
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"], "throttling would be measured as latency"
            assert "env" not in container, "keys come from files, which rotate without a restart"
            assert container["readinessProbe"]


def test_the_commands_of_the_guide_show_what_would_be_applied() -> None:
    shown, led = _commands_of_the_guide()

    assert "kind: ScrapeConfig" in shown
    assert "dashboard_url: http://localhost:3000/d/" in shown
    assert shown == led.replace("https://grafana.example.org/", "http://localhost:3000/")
    assert "localhost:3000" not in led


def _commands_of_the_guide() -> list[str]:
    """What each command that is held to this file writes."""
    program = kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    mark = f"tested-by: {Path(__file__).relative_to(ROOT).as_posix()}"
    guide = (FOLDER / "README.md").read_text(encoding="utf-8")
    env = {**os.environ, "PATH": f"{Path(program).parent}:{os.environ['PATH']}"}
    return [
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        for block in shell_blocks(guide)
        if block.mark == mark
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"), [(0, {"scheme": "HTTPS"}), (1, {"port": "http"})], ids=["HTTPS", "the port alone"]
)
def test_the_patches_of_the_guide_change_how_health_is_asked_and_nothing_else(
    number: int, expected: dict[str, str], tmp_path: Path
) -> None:
    guide = (FOLDER / "README.md").read_text(encoding="utf-8")
    patches = re.findall(r"^```yaml\n(patches:\n.*?)^```", guide, re.DOTALL | re.MULTILINE)[number]
    base = os.path.relpath(FOLDER / "overlays" / "plain", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\n{patches}")
    patched, shipped = build(tmp_path), overlay("plain")
    for kind in ("startup", "liveness", "readiness"):
        new, old = (exporter_pod(each)["containers"][0].pop(f"{kind}Probe") for each in (patched, shipped))
        asked = new.get("httpGet") or new["tcpSocket"]
        assert expected.items() <= asked.items()
        for name in ("periodSeconds", "failureThreshold"):
            assert new.get(name, {"periodSeconds": 10}.get(name)) == old.get(name)
    assert patched == shipped


def exporter_pod(resources: list[Resource]) -> Resource:
    pod: Resource = named(resources, "Deployment", "openai-exporter")["spec"]["template"]["spec"]
    return pod


@overlays
def test_the_mounted_configuration_loads_and_finds_its_keys_in_the_mounted_secret(name: str, tmp_path: Path) -> None:
    resources = overlay(name)
    pod = exporter_pod(resources)
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert "subPath" not in mounts["secrets"], "the kubelet does not update files mounted by subPath"
    volume = next(each for each in pod["volumes"] if each["name"] == "config")["configMap"]["name"]
    folder = mounts["secrets"]["mountPath"]
    for key in ("openai_api_key", "openai_admin_key"):
        (tmp_path / key).write_text("sk-test")
    text = named(resources, "ConfigMap", volume)["data"]["exporter.yml"]
    assert text.count(f"{folder}/") == 2
    config = parse_config(text.replace(folder, str(tmp_path)), "exporter.yml", {}, tmp_path)
    files = [each.api_key_file for each in config.targets] + [each.admin_key_file for each in config.organizations]
    assert [str(file) for file in files] == [str(tmp_path / "openai_api_key"), str(tmp_path / "openai_admin_key")]


@overlays
def test_flags_ports_and_paths_are_those_of_the_program(name: str) -> None:
    from openai_exporter.cli.serve import serve
    from openai_exporter.web.live import DEFAULT_LISTEN

    container = exporter_pod(overlay(name))["containers"][0]
    known = {option for each in serve.params for option in each.opts}
    assert {flag.partition("=")[0] for flag in container["args"][1:]} <= known
    assert f":{container['ports'][0]['containerPort']}" == DEFAULT_LISTEN
    assert container["image"] == f"openai-exporter:{__version__}"
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")} == {
        "/-/healthy",
        "/-/ready",
    }


@overlays
def test_selectors_meet_their_pods(name: str) -> None:
    resources = overlay(name)
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in resources if each["kind"] == "Deployment"]
    selectors = [
        *(each["spec"]["selector"]["matchLabels"] for each in resources if each["kind"] == "PodDisruptionBudget"),
        *(each["spec"]["podSelector"]["matchLabels"] for each in resources if each["kind"] == "NetworkPolicy"),
        *(each["spec"]["selector"] for each in resources if each["kind"] == "Service"),
    ]
    for selector in selectors:
        assert sum(selector.items() <= labels.items() for labels in pods) == 1, selector


@overlays
def test_each_client_stays_on_one_replica(name: str) -> None:
    service = named(overlay(name), "Service", "openai-exporter")
    assert service["spec"]["sessionAffinity"] == "ClientIP"


@overlays
def test_every_resource_fits_into_what_apply_and_etcd_take(name: str) -> None:
    for each in overlay(name):
        size = len(json.dumps(each))
        limit = (
            APPLY_LIMIT if each["kind"] != "ConfigMap" or "rules" not in each["metadata"]["name"] else CONFIGMAP_LIMIT
        )
        assert size < limit, (each["kind"], each["metadata"]["name"], size)


def test_the_url_of_service_discovery_follows_the_namespace() -> None:
    resources = overlay("operator")
    url = named(resources, "ScrapeConfig")["spec"]["httpSDConfigs"][0]["url"]
    service = named(resources, "Service", "openai-exporter")
    port = service["spec"]["ports"][0]["port"]
    assert url == f"http://openai-exporter.{service['metadata']['namespace']}.svc:{port}/sd"


def test_metrics_pages_are_scraped_per_pod_and_not_through_the_service() -> None:
    resources = overlay("operator")
    dropped = [each for each in named(resources, "ScrapeConfig")["spec"]["relabelings"] if each["action"] == "drop"]
    assert [(each["sourceLabels"], each["regex"]) for each in dropped] == [(["__metrics_path__"], ".*/metrics")]
    monitor = named(resources, "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    service = named(resources, "Service", "openai-exporter")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in [each["name"] for each in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"


def test_the_operator_s_labels_do_not_push_aside_ours() -> None:
    (endpoint,) = named(overlay("operator"), "ServiceMonitor")["spec"]["endpoints"]
    (drop,) = [each for each in endpoint["relabelings"] if each.get("action") == "labeldrop"]
    for label in ("endpoint", "namespace", "service", "pod", "container"):
        assert re.fullmatch(drop["regex"], label)
    for label in ("job", "instance", "__address__"):
        assert not re.fullmatch(drop["regex"], label)


def rule_groups(document: Any) -> list[Any]:
    groups: list[Any] = document["groups"]
    return groups


def test_the_rules_are_those_of_the_rule_files() -> None:
    """But for alerts on Prometheus and Alertmanager themselves, for which the operator's users have their own."""
    rules = {
        each["metadata"]["name"]: rule_groups(each["spec"])
        for _, each in written("components/operator/prometheusrules.yaml")
    }
    files = {
        f"openai-{path.stem}": rule_groups(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (ROOT / "prometheus/rules").glob("*.yml")
    }
    assert sorted(rules) == sorted(files)
    assert {name for name in files if rules[name] != files[name]} == {"openai-alerts-exporter"}


def test_every_page_and_rule_file_is_in_its_kustomization() -> None:
    for folder, pattern in (
        ("dashboards", "generated/*.json"),
        ("prometheus/rules", "*.yml"),
        ("alerting/alertmanager", "templates/*.tmpl"),
    ):
        document = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text(encoding="utf-8"))
        listed = [file for each in document["configMapGenerator"] for file in each["files"]]
        there = [path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).glob(pattern)]
        assert sorted(listed) == sorted(there), folder


def test_pages_carry_the_label_of_grafana_s_sidecar() -> None:
    pages = [each for each in overlay("operator") if each["metadata"]["name"].startswith("openai-dashboard-")]
    assert len(pages) == len(list((ROOT / "dashboards/generated").glob("*.json")))
    for each in pages:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = each["data"].values()
        assert json.loads(text)["uid"]


@pytest.mark.parametrize("name", ["plain", "operator", "demo"])
def test_every_peer_in_the_cluster_is_named_with_its_namespace(name: str) -> None:
    for policy in [each["spec"] for each in overlay(name) if each["kind"] == "NetworkPolicy"]:
        peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
        peers += [peer for rule in policy["egress"] for peer in rule["to"] if "namespaceSelector" in peer]
        assert all(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in peers)


def test_one_replica_with_a_volume_can_be_chosen(tmp_path: Path) -> None:
    if kubectl() is None:
        pytest.skip("kubectl is not installed: nothing builds the overlays (tools/requirements-deploy.lock)")
    base, component = (Path("/").joinpath(FOLDER, each) for each in ("overlays/operator", "components/persistent"))
    up = "../" * (len(tmp_path.resolve().parts) - 1)
    document = {"resources": [up + str(base).lstrip("/")], "components": [up + str(component).lstrip("/")]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    resources = build(tmp_path)
    deployment = named(resources, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claim = named(resources, "PersistentVolumeClaim")["metadata"]["name"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": claim}} in deployment["template"]["spec"]["volumes"]
    assert not [each for each in resources if each["kind"] == "PodDisruptionBudget"]


CHANNELS = """{alertmanager+: {channels+: {
  slack: {api_url_file: '/run/secrets/slack_url', channel: '#openai'},
  email: {to: 'a@example.org', from: 'b@example.org', smarthost: 'mail:25', auth_password_file: '/run/secrets/smtp',
          require_tls: true},
  pagerduty: {routing_key_file: '/run/secrets/pagerduty_key'},
  opsgenie: {api_key_file: '/run/secrets/opsgenie_key'},
  teams: {webhook_url_file: '/run/secrets/teams_url'},
  webhook: {url_file: '/run/secrets/hook', bearer_token_file: '/run/secrets/token'},
}, version: '0.28', teams: {research: {slack: {channel: '#research'}}},
   watchdog: {url: 'https://watchdog.example.org/'},
   quietTimes: [{days_of_month: ['1:5', '31'], times: [{start_time: '22:00', end_time: '24:00'}]}]}}"""


def alertmanager_config(settings: str) -> Any:
    library = "(import 'deploy/kubernetes/operator.libsonnet')"
    mixin = f"((import 'mixin.libsonnet') + {{_config+:: {settings}}})"
    return evaluate(f"{library}({mixin}).alertmanagerConfig", ROOT)


def test_every_channel_becomes_one_of_the_operator_with_its_secrets() -> None:
    found = alertmanager_config(CHANNELS)
    assert mistakes(found) == []
    receivers = {each["name"]: each for each in found["spec"]["receivers"]}
    page = receivers["page"]
    secret = {"name": "openai-alertmanager"}
    assert page["slackConfigs"][0]["apiURL"] == secret | {"key": "slack_url"}
    assert page["emailConfigs"][0]["authPassword"] == secret | {"key": "smtp"}
    assert page["emailConfigs"][0]["headers"] == [{"key": "Subject", "value": '{{ template "openai.title" . }}'}]
    assert page["pagerdutyConfigs"][0]["routingKey"] == secret | {"key": "pagerduty_key"}
    assert page["opsgenieConfigs"][0]["apiKey"] == secret | {"key": "opsgenie_key"}
    assert page["msteamsv2Configs"][0]["webhookURL"] == secret | {"key": "teams_url"}
    hook = page["webhookConfigs"][0]
    assert hook["urlSecret"] == secret | {"key": "hook"}
    assert hook["httpConfig"]["authorization"]["credentials"] == secret | {"key": "token"}
    assert receivers["notify-research"]["slackConfigs"][0]["channel"] == "#research"
    assert "/run/secrets" not in json.dumps(found)
    quiet = next(each for each in found["spec"]["muteTimeIntervals"] if each["name"] == "quiet-times")
    assert quiet["timeIntervals"][0]["daysOfMonth"] == [{"start": 1, "end": 5}, {"start": 31, "end": 31}]


def test_a_time_zone_is_refused_with_the_remedy() -> None:
    settings = "{alertmanager+: {officeHours: [{location: 'Europe/Berlin'}]}}"
    with pytest.raises(RuntimeError, match="knows no time zones; give the hours in UTC"):
        alertmanager_config(settings)

# SPDX-License-Identifier: Apache-2.0
"""The manifests: valid, safe, generated from the same sources, and small enough for `kubectl apply`."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from openai_exporter import __version__
from openai_exporter.cli.main import main
from openai_exporter.config.load import parse_config
from openai_exporter.errors import StartError
from openai_exporter.rules.bundle import evaluate
from tests.deploy.kubernetes import (
    CHART,
    FOLDER,
    OVERLAYS,
    ROOT,
    Resource,
    build,
    chart,
    helm,
    kubectl,
    layer,
    mistakes,
    named,
    overlay,
    written,
)
from tests.docs.markdown import shell_blocks

OPERATOR_KINDS = {"AlertmanagerConfig", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"}
APPLY_LIMIT = 262_144
"""Bytes of annotations: client-side apply keeps the whole resource in one."""
CONFIGMAP_LIMIT = 1_048_576

VERSIONS = ("1.30", "1.34", "1.37")
"""The oldest Kubernetes that is supported, one between, and the newest with schemas."""

overlays = pytest.mark.parametrize("name", OVERLAYS)


@overlays
def test_every_overlay_builds_and_names_each_resource_once(name: str) -> None:
    keys = [(each["kind"], each["metadata"]["name"]) for each in overlay(name)]
    assert sorted(keys) == sorted(set(keys))
    assert ("Deployment", "openai-exporter") in keys


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    found = CliRunner().invoke(main, ["bundle", "--only", "kubernetes", str(folder)])
    assert found.exit_code == 0, found.output
    return folder


@overlays
def test_the_part_of_the_bundle_is_all_that_an_overlay_needs(name: str, bundled: Path) -> None:
    assert build(bundled / "deploy/kubernetes/overlays" / name) == overlay(name)


@overlays
def test_the_resources_of_kubernetes_hold_to_its_schemas(name: str) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (tools/requirements-deploy.lock)"
    )
    checked = [each for each in overlay(name) if each["kind"] not in OPERATOR_KINDS]
    assert len(checked) > 5
    for version in VERSIONS:
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
            cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=600
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


def discovery(resources: list[Resource]) -> str:
    url: str = named(resources, "ScrapeConfig")["spec"]["httpSDConfigs"][0]["url"]
    return url


def test_every_resource_and_the_url_of_service_discovery_follow_the_outermost_namespace(tmp_path: Path) -> None:
    inner = layer(tmp_path / "inner", namespace="team-a", resources=[FOLDER / "overlays/operator"])
    outer = layer(tmp_path / "outer", namespace="team-b", resources=[inner])
    own = layer(
        tmp_path / "own", namespace="team-c",
        resources=[FOLDER / "base"], components=[FOLDER / "components/operator"],
    )  # fmt: skip
    for namespace, resources in (
        ("monitoring", overlay("operator")),
        ("team-a", build(inner)),
        ("team-b", build(outer)),
        ("team-c", build(own)),
    ):
        assert {each["metadata"]["namespace"] for each in resources} == {namespace}
        assert discovery(resources) == f"http://openai-exporter.{namespace}.svc:9985/sd"
        assert not [each for each in resources if "$(" in json.dumps(each["metadata"])]


def test_without_a_namespace_nothing_is_built_that_would_find_no_exporter(tmp_path: Path) -> None:
    program = kubectl() or pytest.skip("kubectl is not installed")
    folder = layer(tmp_path, resources=[FOLDER / "base"], components=[FOLDER / "components/operator"])
    found = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert (found.returncode != 0, found.stdout) == (True, "")
    assert "metadata.namespace" in found.stderr


def test_the_scrape_job_of_the_plain_overlay_is_that_of_prometheus_yml(tmp_path: Path) -> None:
    data = named(overlay("plain"), "ConfigMap", "openai-prometheus-scrape")["data"]
    (job,) = yaml.safe_load(data["openai.yml"])["scrape_configs"]
    shipped = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (wanted,) = [each for each in shipped["scrape_configs"] if each["job_name"] == "openai"]
    times = ("scrape_interval", "scrape_timeout")
    assert job == {**{each: shipped["global"][each] for each in times}, **wanted, "http_sd_configs": [
        {**wanted["http_sd_configs"][0], "url": "http://openai-exporter:9985/sd"}
    ]}  # fmt: skip
    promtool = shutil.which("promtool") or pytest.skip("promtool is not installed")
    (tmp_path / "openai.yml").write_text(data["openai.yml"])
    found = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "openai.yml")], capture_output=True, timeout=600
    )
    assert found.returncode == 0, found.stderr


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


@overlays
def test_every_peer_in_the_cluster_is_of_this_namespace_or_of_a_named_one(name: str) -> None:
    for policy in [each["spec"] for each in overlay(name) if each["kind"] == "NetworkPolicy"]:
        peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
        assert [each["podSelector"]["matchLabels"] for each in peers] == [{"app.kubernetes.io/name": "prometheus"}] * 2
        peers += [peer for rule in policy["egress"] for peer in rule["to"] if "ipBlock" not in peer]
        for peer in peers:
            selector = peer.get("namespaceSelector")
            assert selector is None or selector["matchLabels"]["kubernetes.io/metadata.name"]
            assert selector or peer["podSelector"]["matchLabels"]


def persistent(folder: Path, **more: Any) -> list[Resource]:
    return build(
        layer(folder, resources=[FOLDER / "overlays/operator"], components=[FOLDER / "components/persistent"], **more)
    )


@pytest.mark.parametrize(("more", "namespace"), [({}, "monitoring"), ({"namespace": "team-a"}, "team-a")])
def test_one_replica_with_a_volume_beside_it_can_be_chosen(
    more: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    resources = persistent(tmp_path, **more)
    assert {each["metadata"]["namespace"] for each in resources} == {namespace}
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
    with pytest.raises(StartError, match="knows no time zones; give the hours in UTC"):
        alertmanager_config(settings)


def comparable(resources: list[Resource]) -> dict[tuple[str, str], Resource]:
    """Resources by kind and name, the same configuration under the same name.

    Kustomize starts a rollout by a new name of the ConfigMap, Helm by an annotation of the pods.
    """
    found = {}
    for each in resources:
        name = re.sub(r"^openai-exporter-[a-z0-9]{10}$", "openai-exporter", each["metadata"]["name"])
        each["metadata"]["name"] = name
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            if annotations := template["metadata"].pop("annotations", {}):
                assert list(annotations) == ["checksum/config"]
            template["spec"]["volumes"].sort(key=lambda volume: str(volume["name"]))
            for volume in template["spec"]["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = "openai-exporter"
        found[each["kind"], name] = each
    return found


@pytest.mark.parametrize("namespace", ["monitoring", "team-a"])
@pytest.mark.parametrize(("name", "flags"), [("plain", ()), ("operator", ("--set=operator.enabled=true",))])
def test_the_chart_deploys_what_the_overlay_deploys(
    name: str, flags: tuple[str, ...], namespace: str, tmp_path: Path
) -> None:
    built = build(layer(tmp_path, namespace=namespace, resources=[FOLDER / "overlays" / name]))
    assert comparable(chart(*flags, namespace=namespace)) == comparable(built)


def test_the_chart_with_a_volume_deploys_what_the_component_deploys(tmp_path: Path) -> None:
    flags = ("--set=operator.enabled=true", "--set=persistence.enabled=true")
    assert comparable(chart(*flags)) == comparable(
        persistent(tmp_path, labels=[{"pairs": {"release": "kube-prometheus-stack"}}])
    )


SETTINGS: dict[str, Any] = {
    "image": {"repository": "registry.example.org/exporter", "tag": "0.1.0@sha256:abc"},
    "replicas": 1,
    "config": {"targets": [{"name": "openai"}]},
    "keysSecret": "other-keys",
    "pod": {"nodeSelector": {"disk": "fast"}},
    "container": {"resources": {"limits": {"memory": "1Gi"}}},
    "persistence": {"enabled": True, "size": "2Gi", "storageClass": "fast"},
    "networkPolicy": {"prometheusNamespace": "observability", "prometheusLabels": {"app": "prometheus"}},
    "operator": {"enabled": True, "release": "mine"},
    "dashboards": {"enabled": False},
}


def test_every_setting_of_the_chart_arrives_where_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(SETTINGS))
    assert set(SETTINGS) == set(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))
    resources = chart(f"--values={tmp_path / 'values.yaml'}")
    pod = exporter_pod(resources)
    container = pod["containers"][0]
    assert container["image"] == "registry.example.org/exporter:0.1.0@sha256:abc"
    assert container["resources"] == {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}}
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert {"name": "secrets", "secret": {"secretName": "other-keys", "defaultMode": 0o440}} in pod["volumes"]
    data = named(resources, "ConfigMap", "openai-exporter")["data"]
    assert yaml.safe_load(data["exporter.yml"]) == SETTINGS["config"]
    claim = named(resources, "PersistentVolumeClaim")["spec"]
    assert (claim["resources"]["requests"]["storage"], claim["storageClassName"]) == ("2Gi", "fast")
    peers = named(resources, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert [each["podSelector"]["matchLabels"] for each in peers] == [{"app": "prometheus"}] * 2
    assert [each["namespaceSelector"]["matchLabels"] for each in peers if "namespaceSelector" in each] == [
        {"kubernetes.io/metadata.name": "observability"}
    ]
    assert {each["metadata"]["labels"]["release"] for each in resources} == {"mine"}
    assert {each["kind"] for each in resources} >= OPERATOR_KINDS
    assert [each["metadata"]["name"] for each in resources if each["kind"] == "ConfigMap"] == ["openai-exporter"]
    assert not [each for each in resources if each["kind"] == "PodDisruptionBudget"]


def test_the_chart_without_a_policy_restricts_no_client() -> None:
    assert not [each for each in chart("--set=networkPolicy.enabled=false") if each["kind"] == "NetworkPolicy"]


def test_a_changed_configuration_replaces_the_pods_of_the_chart() -> None:
    sums = [
        named(chart(*flags), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for flags in ((), (), ("--set=config=targets: []",))
    ]
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("dashboard.enabled=false", "additional properties 'dashboard' not allowed"),
        ("operator.enable=true", "additional properties 'enable' not allowed"),
        ("replicas=two", "got string, want integer"),
        ("persistence.enabled=yes", "got string, want boolean"),
        ("keysSecret=", "minLength"),
        ("keysSecret=My_Keys", "'My_Keys' does not match pattern"),
        ("persistence.size=1GB", "'1GB' does not match pattern"),
        ("persistence.storageClass=a b", "'a b' does not match pattern"),
        ("networkPolicy.prometheusNamespace=A", "'A' does not match pattern"),
        ("operator.release=a b", "'a b' does not match pattern"),
    ],
)
def test_a_typo_in_the_settings_of_the_chart_is_rejected(flag: str, said: str) -> None:
    found = helm("template", "any-name", str(CHART), "--set", flag)
    assert found.returncode == 1
    assert said in found.stderr


@pytest.mark.parametrize("flags", [(), ("--set=operator.enabled=true", "--set=persistence.enabled=true")])
def test_the_resources_of_the_chart_hold_to_the_schemas_of_each_version(flags: tuple[str, ...]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    resources = chart(*flags)
    for each in resources:
        if each["kind"] in OPERATOR_KINDS:
            assert mistakes(each) == []
            continue
        for version in VERSIONS:
            validate.validate(each, version, strict=True)


def test_the_packaged_chart_is_complete_and_has_the_version_of_the_exporter(tmp_path: Path) -> None:
    assert helm("lint", "--strict", str(CHART)).returncode == 0
    assert helm("package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    package = tmp_path / f"openai-exporter-{__version__}.tgz"
    assert chart(folder=package) == chart()
    document = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert document["version"] == document["appVersion"] == __version__

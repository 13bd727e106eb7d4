# SPDX-License-Identifier: Apache-2.0
"""What the service `prepare` writes for the others, in each profile."""

import importlib.util
import json
import shutil
import stat
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter.config import load_config
from openai_exporter.demo.plan import exporter_document
from openai_exporter.errors import ConfigError
from openai_simulator.testing import running_simulator
from tests.mixin.bundle import PROMTOOL
from tests.stack.programs import KEYS, PROMETHEUS, Prometheus, get, prometheus_on, running_exporter, wait_for

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "deploy" / "compose" / "prepare.py"


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("prepare", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare"] = module
    spec.loader.exec_module(module)
    return module


prepare = _module()
ALONE: frozenset[str] = frozenset()


def by_name(services: set[str]) -> str:
    """A test's id: a set has no order of its own, and every process must name the test alike."""
    return "+".join(sorted(services)) or "none"


@pytest.fixture
def place(tmp_path: Path) -> Any:
    found = prepare.Place(*(tmp_path / name for name in ("settings", "password", "bundle", "config", "keys")))
    for folder in (found.settings, found.password, found.config, found.keys):
        folder.mkdir()
    for part in ("prometheus", "alerting", "dashboards/provisioning", "deploy/compose"):
        shutil.copytree(ROOT / part, found.bundle / part)
    return found


def written(place: Any, env: dict[str, str] | None = None, running: frozenset[str] = ALONE) -> list[str]:
    made = prepare.plan(place, env or {}, running)
    prepare.write(made, place.settings)
    notes: list[str] = made.notes
    return notes


def exporter(place: Any) -> dict[str, Any]:
    load_config(place.settings / "exporter.yml", {})
    document: dict[str, Any] = yaml.safe_load((place.settings / "exporter.yml").read_text())
    return document


def test_without_a_key_only_the_status_page_is_read_and_the_remedy_told(place: Any) -> None:
    notes = "\n".join(written(place, {"SECRETS_DIR": "/keys"}))

    assert exporter(place) == {"status_pages": [{"name": "openai"}]}
    assert "no openai_api_key: nothing is probed; put the key into /keys/exporter/openai_api_key" in notes
    assert "no openai_admin_key: usage and costs are not read" in notes
    assert "docker compose --profile demo up" in notes


def test_a_key_alone_is_probed_with_and_no_organization_is_read(place: Any) -> None:
    (place.keys / "openai_api_key").write_text("sk-test")
    notes = written(place)
    found = exporter(place)

    assert [each["api_key_file"] for each in found["targets"]] == [str(place.keys / "openai_api_key")]
    assert "organizations" not in found
    assert len(notes) == 1
    assert "openai_admin_key" in notes[0]


def test_both_keys_and_another_address_are_taken_over(place: Any) -> None:
    for name in ("openai_api_key", "openai_admin_key"):
        (place.keys / name).write_text("sk-test")
    notes = written(place, {"OPENAI_BASE_URL": "https://eu.api.openai.com/v1"})
    found = exporter(place)

    assert notes == []
    assert {each["base_url"] for each in found["targets"] + found["organizations"]} == {"https://eu.api.openai.com/v1"}
    assert found["organizations"][0]["admin_key_file"] == str(place.keys / "openai_admin_key")


def test_a_key_that_the_exporter_could_not_read_is_refused_with_the_remedy(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.keys / "openai_api_key").write_text("sk-test")
    # Root reads everything.
    monkeypatch.setattr(prepare.os, "access", lambda path, mode: Path(path).parent != place.keys)

    with pytest.raises(ConfigError, match=r"/exporter/openai_api_key: cannot be read by user \d+; set EXPORTER_UID"):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_a_key_that_is_none_is_refused_before_the_exporter_meets_it(place: Any) -> None:
    (place.keys / "openai_api_key").write_text('"OPENAI_API_KEY=sk-test"')

    with pytest.raises(ConfigError, match="holds a quote or NAME="):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_beside_a_good_key_a_bad_one_is_told(place: Any) -> None:
    (place.keys / "openai_api_key").write_text("sk-test")
    (place.keys / "openai_admin_key").write_text("OPENAI_ADMIN_KEY=sk-admin-test")

    (note,) = written(place)
    assert "organizations[0].admin_key_file: " in note
    assert "holds a quote or NAME=; put nothing but the key there" in note


@pytest.mark.parametrize(("profiles", "status"), [((), 1), (("demo",), 0), (("scale", "demo"), 0)])
def test_mistakes_are_found_before_anything_runs_and_told_with_paths_of_this_machine(
    place: Any,
    profiles: tuple[str, ...],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (place.config / "exporter.yml").write_text("status_pages:\n- nam: mine\n")
    monkeypatch.setattr(prepare, "Place", lambda: place)
    monkeypatch.setattr(prepare.os, "getuid", lambda: 65532)

    # The demo does not use the user's own configuration.
    assert prepare.main(["--check", *profiles]) == status
    assert list(place.settings.iterdir()) == []
    said = capsys.readouterr().err
    assert ("prepare: deploy/compose/config/exporter.yml:2: status_pages[0].nam" in said) is bool(status)


def test_root_is_no_user_for_the_exporter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prepare.os, "getuid", lambda: 0)

    assert prepare.main() == 1
    assert "EXPORTER_UID in .env: the exporter is not to run as root" in capsys.readouterr().err


def test_an_exporter_yml_of_ones_own_is_linked_so_that_edits_count(place: Any) -> None:
    own = place.config / "exporter.yml"
    own.write_text("status_pages:\n- name: mine\n")
    written(place)

    assert (place.settings / "exporter.yml").readlink() == own


def test_a_mistake_in_it_is_told_with_its_line_and_nothing_is_written(place: Any) -> None:
    (place.config / "exporter.yml").write_text("status_pages:\n- nam: mine\n")

    with pytest.raises(ConfigError, match=r"exporter.yml:2: status_pages\[0\].nam"):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_a_mistake_in_the_thresholds_is_told_and_nothing_is_written(place: Any) -> None:
    (place.bundle / "alerting" / "thresholds.yml").write_text("thresholds:\n- {name: slow, metric: p95_latencyy}\n")

    with pytest.raises(ConfigError, match=r"thresholds\.yml:2"):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_beside_the_simulator_keys_are_made_up_and_ones_own_are_left_alone(place: Any) -> None:
    (place.keys / "openai_api_key").write_text("sk-mine")
    notes = written(place, running=frozenset({"simulator"}))
    found = exporter(place)
    used = {Path(each["api_key_file"]) for each in found["targets"]}

    assert used == {place.settings / "keys" / "openai_api_key"}
    assert all("sk-mine" not in path.read_text() for path in used)
    assert {each["base_url"] for each in found["targets"]} == {"http://simulator:8085/v1"}
    assert "no key is used" in notes[0]


@pytest.mark.parametrize("interval", ["5 minutes", "0s", ""])
def test_a_pace_of_the_demo_that_is_none_is_refused(place: Any, interval: str) -> None:
    with pytest.raises(ConfigError, match=r"DEMO_INTERVAL in \.env"):
        written(place, {"DEMO_INTERVAL": interval}, frozenset({"simulator"}))


def test_prometheus_reads_the_shipped_file_itself_and_the_users_rules_compiled(place: Any) -> None:
    written(place)
    rules = place.settings / "prometheus" / "rules"
    shipped = {path.name for path in (ROOT / "prometheus" / "rules").glob("*.yml")}

    assert (place.settings / "prometheus" / "prometheus.yml").readlink() == place.bundle / "prometheus/prometheus.yml"
    assert shipped == {path.name for path in rules.iterdir()}
    assert (rules / "user-thresholds.yml").read_text() == (ROOT / "prometheus/rules/user-thresholds.yml").read_text()


def links(place: Any) -> set[str]:
    """Where the alerts' links to dashboards lead, to the root of Grafana."""
    return {
        rule["annotations"]["dashboard_url"].partition("/d/")[0]
        for path in (place.settings / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "dashboard_url" in rule.get("annotations", {})
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "http://localhost:3000"),
        ({"GRAFANA_URL": ""}, "http://localhost:3000"),
        ({"GRAFANA_URL": "http://localhost:3001"}, "http://localhost:3001"),
        ({"GRAFANA_URL": "https://example.org/grafana/"}, "https://example.org/grafana"),
    ],
)
def test_alerts_lead_to_grafana_where_people_reach_it(place: Any, given: dict[str, str], expected: str) -> None:
    written(place, {"GRAFANA_URL": "https://before.example.org"})
    written(place, given)

    assert links(place) == {expected}
    # Recording rules have no links, and are read as shipped.
    assert (place.settings / "prometheus" / "rules" / "recording-usage.yml").is_symlink()


def test_a_grafana_that_was_set_in_the_rules_stays(place: Any) -> None:
    rules = place.bundle / "prometheus" / "rules"
    for path in [*rules.glob("*.yml"), place.bundle / "alerting" / "thresholds.yml"]:
        text = path.read_text().replace(prepare.GRAFANA, "https://own.example.org")
        path.write_text(
            text.replace("\nthresholds:\n", "\nsettings: {grafana_url: 'https://own.example.org'}\nthresholds:\n")
        )
    written(place, {"GRAFANA_URL": "http://localhost:3001"})

    assert links(place) == {"https://own.example.org"}


@pytest.mark.parametrize("url", ["grafana.example.org", "https://g.example.org/?a=b", "http://a b", 'http://"'])
def test_a_grafana_that_is_no_url_is_refused(place: Any, url: str) -> None:
    with pytest.raises(ConfigError, match=r"GRAFANA_URL in \.env: .*must be an http:// or https:// URL"):
        written(place, {"GRAFANA_URL": url})
    assert list(place.settings.iterdir()) == []


def test_the_catcher_gets_the_mails_when_it_runs(place: Any) -> None:
    config = place.settings / "alertmanager" / "alertmanager.yml"
    written(place)
    own = config.readlink()
    written(place, running=frozenset({"mailpit"}))

    assert own == place.bundle / "alerting" / "alertmanager" / "alertmanager.yml"
    assert config.readlink() == place.bundle / "deploy" / "compose" / "alertmanager-mail.yml"
    assert (place.settings / "alertmanager" / "templates" / "openai.tmpl").is_file()


@pytest.mark.parametrize("running", [{"simulator"}, {"simulator", "thanos-receive"}], ids=by_name)
def test_grafana_knows_the_pace_of_the_demo(place: Any, running: set[str]) -> None:
    written(place, {"DEMO_INTERVAL": "5s"}, frozenset(running))
    files = ("grafana/datasources/openai.yaml", "prometheus/prometheus.yml")
    sources, scraped = (yaml.safe_load((place.settings / name).read_text()) for name in files)
    source = next(each for each in sources["datasources"] if each["type"] == "prometheus")

    assert source["uid"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"] == "5s"


def test_from_one_profile_to_another_nothing_of_the_first_is_left(place: Any) -> None:
    written(place)
    plain = set(place.settings.rglob("*"))
    for running in ({"simulator", "mailpit"}, {"thanos-receive"}, set()):
        written(place, running=frozenset(running))

    assert plain == {path for path in place.settings.rglob("*") if path.name != "keys"}


def test_what_has_not_changed_is_not_written_again(place: Any) -> None:
    written(place)
    file = place.settings / "prometheus" / "rules" / "user-thresholds.yml"
    before = file.stat().st_ino
    written(place)

    assert before == file.stat().st_ino


def test_the_password_is_made_once_and_for_the_group_alone(place: Any) -> None:
    prepare.write_password(place.password)
    file = place.password / "admin_password"
    first = file.read_text()
    prepare.write_password(place.password)

    assert len(first) >= 20
    assert first == file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o440


@pytest.mark.stack
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "running", [set(), {"simulator"}, {"thanos-receive"}, {"simulator", "thanos-receive"}], ids=by_name
)
def test_promtool_accepts_what_prometheus_reads(place: Any, running: set[str]) -> None:
    written(place, running=frozenset(running))
    for path in sorted((place.settings / "prometheus").glob("*.yml")):
        found = subprocess.run([str(PROMTOOL), "check", "config", path], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr


def test_beside_thanos_each_prometheus_takes_its_share_writes_it_on_and_leaves_rules_to_it(place: Any) -> None:
    written(place, running=frozenset({"thanos-receive"}))
    files = [place.settings / "prometheus" / name for name in ("prometheus.yml", "prometheus-1.yml")]
    shards = [yaml.safe_load(path.read_text()) for path in files]
    jobs = [[job["job_name"] for job in each["scrape_configs"]] for each in shards]
    source = yaml.safe_load((place.settings / "grafana" / "datasources" / "openai.yaml").read_text())

    assert jobs == [["openai", "prometheus", "alertmanager", "grafana"], ["openai", "prometheus"]]
    assert [each["global"]["external_labels"]["shard"] for each in shards] == ["0", "1"]
    assert all(each["remote_write"][0]["url"].startswith("http://thanos-receive:19291/") for each in shards)
    assert not any("rule_files" in each or "alerting" in each for each in shards)
    assert [each["url"] for each in source["datasources"] if each["type"] == "prometheus"] == [
        "http://thanos-query:10902"
    ]


def test_what_does_not_look_for_changes_itself_is_told_of_them() -> None:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    reads = {name for name, each in document.items() if "settings:/stack/settings:ro" in each.get("volumes", [])}
    by_itself = {name for name in reads if "auto-reload-config" in str(document[name].get("command"))} | {"grafana"}

    assert {url.split("/")[2].partition(":")[0] for url in prepare.RELOADED} == reads - by_itself


def test_the_example_of_sharding_is_what_the_first_of_two_servers_does(place: Any) -> None:
    written(place, running=frozenset({"thanos-receive"}))
    document = yaml.safe_load((place.settings / "prometheus" / "prometheus.yml").read_text())

    assert yaml.safe_load((ROOT / "prometheus" / "sharding.yml").read_text()) == document["scrape_configs"][:1]


@pytest.mark.stack
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_two_servers_share_every_target_and_none_twice(place: Any, tmp_path: Path) -> None:
    with running_simulator() as simulator:
        document = exporter_document(simulator.base_url)
        with running_exporter(tmp_path, KEYS, document) as running:
            listed = [_page(each["labels"]) for each in running.targets()]
            with ExitStack() as servers:
                started = [
                    servers.enter_context(_server(place, tmp_path / str(shard), running.url, shard))
                    for shard in range(prepare.SHARDS)
                ]
                shares = [_share(each, len(listed)) for each in started]

    assert sorted(listed) == sorted(each for share in shares for each in share)
    assert all(shares)


def _server(place: Any, folder: Path, url: str, shard: int) -> AbstractContextManager[Prometheus]:
    source = yaml.safe_load((place.bundle / "prometheus" / "prometheus.yml").read_text())
    document = prepare.sharded(source, shard, prepare.SHARDS)
    document["scrape_configs"] = document["scrape_configs"][:1]
    document["scrape_configs"][0]["http_sd_configs"] = [{"url": f"{url}/sd"}]
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    return prometheus_on(folder / "prometheus.yml")


def _share(server: Prometheus, listed: int) -> list[str]:
    """The pages that one server keeps, when it has found all that are listed."""

    def found() -> list[dict[str, Any]]:
        data: dict[str, Any] = json.loads(get(f"{server.url}/api/v1/targets")[1])["data"]
        all_of_them = len(data["activeTargets"] + data["droppedTargets"]) == listed
        return data["activeTargets"] if all_of_them else []

    return [_page(each["discoveredLabels"]) for each in wait_for(found, 180, f"{listed} targets are found")]


def _page(labels: dict[str, str]) -> str:
    """What tells one page of the exporter from another."""
    asked = {name: value for name, value in labels.items() if name.startswith(("__metrics_path__", "__param_"))}
    return json.dumps(asked, sort_keys=True)

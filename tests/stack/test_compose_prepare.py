# SPDX-License-Identifier: Apache-2.0
"""What the service `prepare` writes for the others, in each profile."""

import dataclasses
import json
import os
import shutil
import stat
import subprocess
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import prepare
import pytest
import yaml
from services import LEAST, SHARDS, USER, Place, sharded

from openai_exporter.config import load_config
from openai_exporter.demo.plan import exporter_document
from openai_exporter.errors import ConfigError
from openai_exporter.rules.bundle import PACKAGED
from openai_simulator.testing import running_simulator
from tests.mixin.bundle import PROMTOOL
from tests.stack.programs import KEYS, PROMETHEUS, Prometheus, get, prometheus_on, running_exporter, wait_for

ROOT = Path(__file__).resolve().parents[2]
ALONE: frozenset[str] = frozenset()


def by_name(profiles: set[str]) -> str:
    """A test's id: a set has no order of its own, and every process must name the test alike."""
    return "+".join(sorted(profiles)) or "none"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image carries."""
    root = tmp_path_factory.mktemp("image") / PACKAGED
    for part in ("prometheus", "alerting", "dashboards"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("runbooks"))
    shutil.copy(ROOT / "mixin.libsonnet", root)
    return root


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> Any:
    names = ("settings", "password", "config", "keys", "alerting")
    found = Place(**{name: tmp_path / name for name in names}, bundle=bundle)
    for folder in (found.settings, found.password, found.config, found.keys):
        folder.mkdir()
    (found.alerting / "rules.d").mkdir(parents=True)
    for part in ("settings.yml", "thresholds.yml"):
        shutil.copy(ROOT / "alerting" / part, found.alerting / part)
    return found


@pytest.fixture
def other_version(place: Any, tmp_path: Path) -> Any:
    """The same with a bundle that a test may change."""
    own = tmp_path / PACKAGED
    shutil.copytree(place.bundle, own)
    return dataclasses.replace(place, bundle=own)


def planned(place: Any, env: dict[str, str] | None = None, profiles: frozenset[str] = ALONE) -> Any:
    """The plan of one more start, carried out."""
    made = prepare.plan(place, env or {}, profiles, prepare.before(place.settings))
    prepare.write(made.files, place.settings)
    return made


def written(place: Any, env: dict[str, str] | None = None, profiles: frozenset[str] = ALONE) -> list[str]:
    """What a person is told at one more start."""
    made = planned(place, env, profiles)
    return [*made.notes, *map(str, made.warnings), *map(str, made.problems)]


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
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).parent != place.keys)

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
    monkeypatch.setattr(os, "getuid", lambda: 65532)

    # The demo does not use the user's own configuration.
    assert prepare.main(["--check", *profiles]) == status
    assert list(place.settings.iterdir()) == []
    said = capsys.readouterr().err
    assert ("prepare: deploy/compose/config/exporter.yml:2: status_pages[0].nam" in said) is bool(status)


def test_root_is_no_user_for_the_exporter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)

    assert prepare.main() == 1
    assert "EXPORTER_UID in .env: the exporter is not to run as root" in capsys.readouterr().err


def test_an_exporter_yml_of_ones_own_is_taken_over_with_its_relative_files(place: Any) -> None:
    own = place.config / "exporter.yml"
    own.write_text("status_pages: # kept as written\n- name: mine\n")
    written(place)
    first = (place.settings / "exporter.yml").read_text()
    (place.config / "key").write_text("sk-test")
    own.write_text("targets:\n- {name: openai, api_key_file: key}\n")
    written(place)

    assert first == "status_pages: # kept as written\n- name: mine\n"
    assert exporter(place)["targets"][0]["api_key_file"] == str(place.config / "key")


def test_a_mistake_in_it_is_told_with_its_line_and_nothing_is_written(place: Any) -> None:
    (place.config / "exporter.yml").write_text("status_pages:\n- nam: mine\n")

    with pytest.raises(ConfigError, match=r"exporter.yml:2: status_pages\[0\].nam"):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_a_mistake_in_the_thresholds_is_told_and_nothing_is_written(place: Any) -> None:
    (place.alerting / "thresholds.yml").write_text("thresholds:\n- {name: slow, metric: p95_latencyy}\n")

    with pytest.raises(ConfigError, match=r"thresholds\.yml:2"):
        written(place)
    assert list(place.settings.iterdir()) == []


def test_beside_the_simulator_keys_are_made_up_and_ones_own_are_left_alone(place: Any) -> None:
    (place.keys / "openai_api_key").write_text("sk-mine")
    notes = written(place, profiles=frozenset({"demo"}))
    found = exporter(place)
    used = {Path(each["api_key_file"]) for each in found["targets"]}

    assert used == {place.settings / "keys" / "openai_api_key"}
    assert all("sk-mine" not in path.read_text() for path in used)
    assert {each["base_url"] for each in found["targets"]} == {"http://simulator:8085/v1"}
    assert "no key is used" in notes[0]


@pytest.mark.parametrize("interval", ["5 minutes", "0s"])
def test_a_pace_of_the_demo_that_is_none_is_refused(place: Any, interval: str) -> None:
    with pytest.raises(ConfigError, match=r"DEMO_INTERVAL in \.env"):
        written(place, {"DEMO_INTERVAL": interval}, frozenset({"demo"}))


def test_prometheus_reads_the_shipped_files_of_the_image_and_the_users_rules_compiled(place: Any) -> None:
    written(place)
    rules = place.settings / "prometheus" / "rules"
    shipped = {path.name for path in (ROOT / "prometheus" / "rules").glob("*.yml")}
    found, own = (
        yaml.safe_load((each / "prometheus.yml").read_text()) for each in (rules.parent, place.bundle / "prometheus")
    )

    assert found == own
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


def test_alerts_lead_to_grafana_where_people_reach_it_now(place: Any) -> None:
    for given, expected in (
        ({"GRAFANA_URL": "http://localhost:3001"}, "http://localhost:3001"),
        ({}, "http://localhost:3000"),
        ({"GRAFANA_URL": "https://example.org/grafana/"}, "https://example.org/grafana"),
        ({"GRAFANA_URL": ""}, "http://localhost:3000"),
    ):
        written(place, given)

        assert links(place) == {expected}


def test_a_grafana_that_is_set_in_the_settings_stays(place: Any) -> None:
    (place.alerting / "settings.yml").write_text("links: {grafana: 'https://own.example.org'}\n")
    written(place, {"GRAFANA_URL": "http://localhost:3001"})

    assert links(place) == {"https://own.example.org"}


def test_settings_reach_alertmanager_rules_and_dashboards_and_the_catcher_comes_first(place: Any) -> None:
    hook = "channels: {webhook: {url: 'http://hook/'}}\n"
    (place.alerting / "settings.yml").write_text(hook)
    written(place)
    config = yaml.safe_load((place.settings / "alertmanager" / "alertmanager.yml").read_text())
    (place.alerting / "settings.yml").write_text(hook + "selector: 'job=\"llm\"'\n")
    written(place, profiles=frozenset({"mail"}))
    caught = yaml.safe_load((place.settings / "alertmanager" / "alertmanager.yml").read_text())

    assert config["receivers"][0]["webhook_configs"][0]["url"] == "http://hook/"
    assert not [each for each in caught["receivers"] if "webhook_configs" in each]
    for name in ("prometheus/rules/recording-slo.yml", "grafana/pages/probes.json"):
        text = (place.settings / name).read_text()
        assert "llm" in text
        assert "openai|openai-exporter" not in text


def test_a_wrong_setting_keeps_the_settings_of_before(place: Any) -> None:
    path = place.alerting / "settings.yml"
    path.write_text("channels: {webhook: {url: 'http://hook/'}}\n")
    written(place)
    path.write_text("chanels: {webhook: {url: 'http://other/'}}\n")
    told = "\n".join(written(place))

    assert f"{path}:1: chanels: unknown key 'chanels'; did you mean 'channels'?" in told
    assert "http://hook/" in (place.settings / "alertmanager" / "alertmanager.yml").read_text()


@pytest.mark.parametrize("url", ["grafana.example.org", "https://g.example.org/?a=b", "http://a b", 'http://"'])
def test_a_grafana_that_is_no_url_is_refused(place: Any, url: str) -> None:
    with pytest.raises(ConfigError, match=r"GRAFANA_URL in \.env: .*must be an http:// or https:// URL"):
        written(place, {"GRAFANA_URL": url})
    assert list(place.settings.iterdir()) == []


def test_the_catcher_gets_the_mails_when_it_runs(place: Any) -> None:
    config = place.settings / "alertmanager" / "alertmanager.yml"
    written(place)
    own = config.read_text()
    written(place, profiles=frozenset({"mail"}))

    assert own == (place.bundle / "alerting" / "alertmanager" / "alertmanager.yml").read_text()
    assert "mailpit:1025" in config.read_text()
    assert (place.settings / "alertmanager" / "templates" / "openai.tmpl").is_file()


@pytest.mark.parametrize("profiles", [{"demo"}, {"demo", "scale"}], ids=by_name)
def test_grafana_knows_the_pace_of_the_demo(place: Any, profiles: set[str]) -> None:
    written(place, {"DEMO_INTERVAL": "5s"}, frozenset(profiles))
    files = ("grafana/datasources/openai.yaml", "prometheus/prometheus.yml")
    sources, scraped = (yaml.safe_load((place.settings / name).read_text()) for name in files)
    source = next(each for each in sources["datasources"] if each["type"] == "prometheus")

    assert source["uid"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"] == "5s"


def test_from_one_profile_to_another_nothing_of_the_first_is_left(place: Any) -> None:
    written(place)
    plain = set(place.settings.rglob("*"))
    for profiles in ({"mail"}, {"scale"}, set()):
        written(place, profiles=frozenset(profiles))

    assert plain == set(place.settings.rglob("*"))


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
@pytest.mark.parametrize("profiles", [set(), {"demo"}, {"scale"}, {"demo", "scale"}], ids=by_name)
def test_promtool_accepts_what_prometheus_reads(place: Any, profiles: set[str]) -> None:
    written(place, profiles=frozenset(profiles))
    for path in sorted((place.settings / "prometheus").glob("*.yml")):
        found = subprocess.run([str(PROMTOOL), "check", "config", path], capture_output=True, text=True, timeout=600)
        assert found.returncode == 0, found.stdout + found.stderr


def test_beside_thanos_each_prometheus_takes_its_share_writes_it_on_and_leaves_rules_to_it(place: Any) -> None:
    written(place, profiles=frozenset({"scale"}))
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
    by_itself = {name for name in reads if "auto-reload-config" in str(document[name].get("command"))}
    # What is read at the start only: a new retention makes a new container.
    by_itself |= {"grafana", "thanos-receive", "simulator", "history"}

    assert {url.split("/")[2].partition(".:")[0] for url in prepare.RELOADED} == reads - by_itself


def test_the_example_of_sharding_is_what_the_first_of_two_servers_does(place: Any) -> None:
    written(place, profiles=frozenset({"scale"}))
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
                    for shard in range(SHARDS)
                ]
                shares = [_share(each, len(listed)) for each in started]

    assert sorted(listed) == sorted(each for share in shares for each in share)
    assert all(shares)


def _server(place: Any, folder: Path, url: str, shard: int) -> AbstractContextManager[Prometheus]:
    source = yaml.safe_load((place.bundle / "prometheus" / "prometheus.yml").read_text())
    document = sharded(source, shard, SHARDS)
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


# ---- Which mode -------------------------------------------------------------------------------------------------


def started(place: Any, monkeypatch: pytest.MonkeyPatch, *asked: str, user: int = USER, **env: str) -> int:
    """One start as the service makes it, with the markers of these profiles."""
    monkeypatch.setattr(prepare, "Place", lambda: place)
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "environ", env)
    monkeypatch.setattr(prepare, "RELOADED", ())
    for profile in asked:
        (place.settings / f"asked-{profile}").touch()
    status: int = prepare.main()
    return status


@pytest.mark.parametrize(
    ("profiles", "mode", "line"),
    [
        ((), "production", "mode: production: the real API, with your keys; alerts go to the channels that are set"),
        (
            ("mail",),
            "production",
            "mode: production: the real API, with your keys; alerts are mailed to the mail catcher",
        ),
        (("scale",), "production", "mode: production: "),
        (("demo",), "demo", "mode: demo: a simulated API; no number is real"),
        (("demo", "mail", "scale"), "demo", "mode: demo: "),
    ],
)
def test_the_mode_is_what_was_asked_for_and_the_first_line_whatever_a_name_server_answers(
    place: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    profiles: tuple[str, ...],
    mode: str,
    line: str,
) -> None:
    (place.keys / "openai_api_key").write_text("sk-mine")
    # A search domain with a wildcard: every name has an address.
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("192.0.2.1", 0))])
    assert started(place, monkeypatch, *profiles) == 0

    stack = json.loads((place.settings / "stack.json").read_text())
    assert capsys.readouterr().out.startswith(line)
    assert stack["mode"] == mode
    assert stack["unused_keys"] == (["openai_api_key"] if mode == "demo" else [])
    assert ("simulator" in (place.settings / "exporter.yml").read_text()) is (mode == "demo")
    # What was asked for once is not asked for again.
    assert not list(place.settings.glob("asked-*"))


@pytest.mark.parametrize(("first", "then"), [(("demo",), ()), (("demo", "mail"), ("mail",))])
def test_a_stack_that_was_one_is_not_made_the_other_and_the_ways_out_are_told(
    place: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: tuple[str, ...],
    then: tuple[str, ...],
) -> None:
    assert started(place, monkeypatch, *first) == 0
    before = {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}
    capsys.readouterr()

    assert started(place, monkeypatch, *then) == 1
    said = capsys.readouterr().err
    assert "prepare: mode: the volumes of this stack hold " in said
    assert "docker compose --profile '*' down --volumes" in said
    assert before == {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}
    assert started(place, monkeypatch, *first) == 0


def test_production_goes_on_when_a_demo_is_asked_for_and_the_way_to_have_one_is_told(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.keys / "openai_api_key").write_text("sk-mine")
    assert started(place, monkeypatch) == 0
    before = {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert started(place, monkeypatch, "demo", "mail") == 0
    mailed = (place.settings / "alertmanager" / "alertmanager.yml").read_text()
    said = capsys.readouterr()
    assert started(place, monkeypatch, "demo") == 0
    after = {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}

    assert said.out.startswith("mode: production: the real API, with your keys; alerts are mailed")
    assert "the demo is rejected, and production continues" in said.err
    assert "COMPOSE_PROJECT_NAME=openai-demo" in said.err
    assert "mailpit" in mailed
    assert {path.name for path in before if before[path] != after[path]} == {"stack.json"}
    assert json.loads((place.settings / "stack.json").read_text())["mode"] == "production"
    monkeypatch.setattr(prepare, "asked", lambda _: frozenset())
    monkeypatch.setattr(prepare, "Place", lambda: place)
    assert prepare.main(["--check", "demo"]) == 1


def test_to_run_as_root_is_refused_at_first_and_later_keeps_nothing_but_the_exporter_from_going_on(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(place, monkeypatch, user=0) == 1
    assert started(place, monkeypatch) == 0
    assert started(place, monkeypatch, user=0) == 0
    assert "the exporter is not to run as root, and does not" in capsys.readouterr().err


@pytest.mark.parametrize(("keys", "mode"), [(True, "demo"), (False, "production")])
def test_the_volumes_of_an_earlier_version_say_what_they_are(place: Any, keys: bool, mode: str) -> None:
    (place.settings / "exporter.yml").write_text("status_pages: [{name: openai}]\n")
    if keys:
        (place.settings / "keys").mkdir()
        (place.settings / "keys" / "openai_api_key").write_text("sk-demo-1")

    assert prepare.before(place.settings).mode == mode


def test_the_settings_of_an_earlier_version_which_were_links_are_replaced(place: Any) -> None:
    (place.settings / "prometheus" / "rules").mkdir(parents=True)
    for name in ("prometheus/prometheus.yml", "prometheus/rules/recording-slo.yml", "exporter.yml"):
        (place.settings / name).symlink_to("/bundle/gone")
    for name in ("alertmanager", "grafana"):
        (place.settings / name).mkdir()
    for name in ("alertmanager/templates", "grafana/dashboards", "grafana/datasources"):
        (place.settings / name).symlink_to("/bundle/gone")
    written(place)

    assert not [path for path in place.settings.rglob("*") if path.is_symlink()]
    assert (place.settings / "grafana" / "dashboards" / "openai.yaml").is_file()


def test_what_the_demo_counts_is_labelled_as_that(place: Any) -> None:
    written(place, profiles=frozenset({"demo"}))
    document = yaml.safe_load((place.settings / "prometheus" / "prometheus.yml").read_text())

    assert document["global"]["external_labels"] == {"env": "demo"}


# ---- Variables --------------------------------------------------------------------------------------------------

WRONG = {
    "LOG_LEVEL": ["verbose", "INFO", "warning", "info,"],
    "RETENTION": ["30", "40 d", "0d", "1h", "1w", "30d", "d", "40D", "1.5d", "101y", "-1d", "40days"],
    "RETENTION_SIZE": ["20", "20 GB", "0GB", "20G", "all", "-1GB"],
    "DEMO_INTERVAL": ["15", "0s", "fast", "1ms", "1h"],
    "HTTPS_PROXY": ["ftp://proxy", "http://", "http://proxy:0x"],
    "NO_PROXY": ["a, b"],
    "CA_FILE": ["/run/secrets/gone.pem", "/etc/hostname", "/etc"],
    "BIND_ADDRESS": ["localhost", "127.0.0", "0.0.0.0/0", "[127.0.0.1]"],
    "GRAFANA_PORT": ["0", "65536", "http", "-1", "3000-3010"],
    "OPENAI_BASE_URL": ["api.openai.com", "ftp://x", "https://", "https://u:p@x", "https://x/?a"],
    "GRAFANA_URL": ["grafana", "http://a b"],
    "PROMETHEUS_URL": ["prometheus", "http://x:99999"],
    "ALERTMANAGER_URL": ["alerts", "http:///path"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_variable_that_may_not_be_so_is_refused_at_first_and_later_the_one_of_before_stays(
    place: Any, name: str, value: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        written(place, {name: value})
    assert list(place.settings.iterdir()) == []
    (told,) = refused.value.problems
    assert told.place == f"{name} in .env"
    assert "must be " in told.message or name == "HTTPS_PROXY" or "unit" in told.message
    assert "_ssl" not in told.message

    written(place)
    good = {path.name: path.read_text() for path in (place.settings / "values").iterdir()}
    made = planned(place, {name: value, "LOG_LEVEL": "debug"} if name != "LOG_LEVEL" else {name: value})
    now = {path.name: path.read_text() for path in (place.settings / "values").iterdir()}
    assert [each.place for each in made.problems] == [f"{name} in .env"]
    # The others count.
    assert {each: text.replace("LEVEL=debug", "LEVEL=info") for each, text in now.items()} == good
    assert written(place) == [each for each in written(place) if " in .env" not in each]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "warn"), ("RETENTION", "1y2w3d"), ("RETENTION", "31d"), ("RETENTION_SIZE", "512MB"),
        ("HTTPS_PROXY", "http://user:word@proxy:3128"), ("HTTPS_PROXY", "proxy:3128"), ("NO_PROXY", "a,.b,10.0.0.0/8"),
        ("BIND_ADDRESS", "0.0.0.0"), ("BIND_ADDRESS", "::1"), ("BIND_ADDRESS", "[::1]"), ("GRAFANA_URL", "https://[::1]:3000/grafana/"),
        ("OPENAI_BASE_URL", "http://api:8085/v1"), ("GRAFANA_PORT", "65535"),
    ],
)  # fmt: skip
def test_a_variable_that_may_be_so_is_taken(place: Any, name: str, value: str) -> None:
    made = planned(place, {name: value})

    assert made.problems == []
    assert json.loads(made.files["state.json"])["values"][name] == value.rstrip("/")


def test_a_password_of_a_proxy_is_read_by_the_group_alone_and_never_told(place: Any) -> None:
    told = written(place, {"HTTPS_PROXY": "http://user:pa55w0rd@proxy:3128"})
    told += written(place, {"HTTPS_PROXY": "http://user:pa55w0rd@proxy:x"})
    holding = [path for path in place.settings.rglob("*") if path.is_file() and "pa55w0rd" in path.read_text()]

    assert "pa55w0rd" not in "".join(told)
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o640}


def test_values_reach_a_shell_as_they_are(place: Any) -> None:
    value = "a,$(id),'b',;"
    written(place, {"NO_PROXY": value})
    script = f'. {place.settings}/values/exporter && printf %s "$NO_PROXY"'

    assert (
        subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, timeout=600).stdout
        == value
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RETENTON", "RETENTION"), ("RETENTION_SIZES", "RETENTION_SIZE"), ("GRAFANA_PORTS", "GRAFANA_PORT"),
        ("LOGLEVEL", "LOG_LEVEL"), ("EXPORTER_UIDS", "EXPORTER_UID"), ("GRAFNA_URL", "GRAFANA_URL"),
        ("SECRET_DIR", "SECRETS_DIR"), ("OPENAI_BASEURL", "OPENAI_BASE_URL"), ("BIND_ADRESS", "BIND_ADDRESS"),
        ("grafana_port", "GRAFANA_PORT"),
    ],
)  # fmt: skip
def test_a_name_that_is_nearly_one_is_told_with_the_right_one_and_nothing_else_suffers(
    place: Any, name: str, near: str
) -> None:
    made = planned(place, {name: "1", "LOG_LEVEL": "debug"})

    assert [str(each) for each in made.warnings] == [
        f"{name} in .env: is not known, and has no effect; did you mean {near}?"
    ]
    assert "debug" in made.files["values/exporter"]
    assert "RETENTON in .env" not in " ".join(written(place, {"PATH": "/bin", "HTTP_PROXY": "x", "https_proxy": "x"}))


# ---- Keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "told"),
    [
        (
            "openai_api_key",
            "sk-admin-1",
            "holds an admin key, which cannot do the work of openai_api_key; it belongs into",
        ),
        ("openai_admin_key", "sk-proj-1", "holds a project key, which cannot do the work of openai_admin_key"),
        ("openai_admin_key", "sk-svcacct-1", "holds a project key"),
    ],
)
def test_a_key_in_the_file_of_the_other_is_named_and_not_shown(place: Any, name: str, key: str, told: str) -> None:
    (place.keys / name).write_text(key)

    with pytest.raises(ConfigError) as refused:
        written(place)
    assert told in str(refused.value)
    assert key not in str(refused.value)


def test_a_key_of_the_shell_is_refused_with_the_way_that_works(place: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"OPENAI_API_KEY: is set in the shell or in \.env.*umask 077 && printf %s"
    ) as _:
        written(place, {"OPENAI_API_KEY": "set"})
    (place.keys / "openai_api_key").write_text("sk-test")
    told = written(place, {"OPENAI_API_KEY": "set"})

    assert any("OPENAI_API_KEY of the shell or .env is not used; the key is that in" in each for each in told)
    # What runs goes on when somebody has one in the shell later.
    made = planned(place, {"OPENAI_ADMIN_KEY": "set"})
    assert [each.place for each in made.problems] == ["OPENAI_ADMIN_KEY"]
    assert "openai_api_key" in made.files["exporter.yml"]
    # The demo needs no key, whoever has one.
    assert prepare.plan(place, {"OPENAI_API_KEY": "set"}, frozenset({"demo"})).problems == []


@pytest.mark.parametrize("folder", ["keys", "config", "alerting"])
def test_a_folder_that_may_not_be_looked_into_keeps_nothing_from_starting_and_is_told(
    place: Any, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    closed = getattr(place, folder)
    listed, stated = Path.iterdir, Path.exists

    def refused(path: Path, asked: Any) -> Any:
        if path.is_relative_to(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return asked(path)

    # Root reads everything.
    monkeypatch.setattr(Path, "iterdir", lambda path: refused(path, listed))
    monkeypatch.setattr(Path, "exists", lambda path: refused(path, stated))
    made = planned(place)

    (told,) = map(str, made.warnings)
    assert "cannot be read by user" in told
    assert "EXPORTER_UID" in told
    assert "chmod a+rX" in told
    assert (place.settings / "prometheus" / "rules" / "user-thresholds.yml").is_file()


# ---- What runs goes on ------------------------------------------------------------------------------------------

MISTAKES = {
    "exporter.yml": ("config", "status_pages:\n- nam: mine\n", "exporter.yml:2"),
    "prometheus.yml": ("config", "scrape_configs: {}\n", "prometheus.yml: must be a mapping with scrape_configs"),
    "prometheus.yml, no YAML": ("config", "a: [\n", "prometheus.yml:2"),
    "prometheus.yml, a section": ("config", "scrape_configs: []\nscrape: 1\n", "'scrape': unknown section"),
    "settings.yml": ("alerting", "chanels: {}\n", "settings.yml:1"),
    "thresholds.yml": ("alerting", "thresholds:\n- {name: slow, metric: p95_latencyy}\n", "thresholds.yml:2"),
    "rules.d/own.yml": ("alerting", "groups:\n- {name: g, rules: [{alert: A, expr: 'sum('}]}\n", "own.yml"),
    "rules.d/bytes.yml": ("alerting", "\udcff\udcfe", "bytes.yml"),
    "openai_api_key": ("keys", '"OPENAI_API_KEY=sk-test"', "holds a quote or NAME="),
    "openai_api_key, of the other kind": ("keys", "sk-admin-1", "holds an admin key"),
}
GOOD = {
    "exporter.yml": "status_pages:\n- name: mine\n",
    "prometheus.yml": "scrape_configs:\n- {job_name: mine}\n",
    "thresholds.yml": None,
    "rules.d/own.yml": "groups:\n- {name: g, rules: [{alert: Mine, expr: 'vector(1) > 0'}]}\n",
    "openai_api_key": "sk-test",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_with_a_mistake_what_was_accepted_before_stays_and_this_is_said_everywhere(
    place: Any, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, wrong, told = MISTAKES[mistake]
    name = mistake.partition(",")[0]
    file = getattr(place, folder) / name
    if (good := GOOD.get(name)) is not None:
        file.write_text(good)
    assert started(place, monkeypatch) == 0
    state = {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}
    capsys.readouterr()
    file.write_bytes(wrong.encode(errors="surrogateescape"))

    # However often, and with other changes that count.
    for level in ("info", "debug"):
        assert started(place, monkeypatch, LOG_LEVEL=level) == 0
        said = capsys.readouterr().err
        assert told in said
        assert "WHAT WAS ACCEPTED BEFORE STAYS IN FORCE" in said
        assert told in " ".join(json.loads((place.settings / "stack.json").read_text())["problems"])
    told_apart = {"stack.json", "state.json", "exporter"}
    assert {path: text for path, text in state.items() if path.name not in told_apart} == {
        path: path.read_bytes() for path in state if path.name not in told_apart
    }
    assert "debug" in (place.settings / "values" / "exporter").read_text()
    if good is not None:
        file.write_text(good)
    else:
        shutil.copy(ROOT / "alerting" / name, file) if (ROOT / "alerting" / name).exists() else file.unlink()
    assert started(place, monkeypatch) == 0
    assert state == {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}


def test_an_upgrade_takes_the_new_rules_though_the_users_have_a_mistake(other_version: Any) -> None:
    place = other_version
    written(place)
    shipped = place.bundle / "prometheus" / "rules" / "recording-slo.yml"
    shipped.write_text(shipped.read_text() + "# of the next version\n")
    (place.alerting / "thresholds.yml").write_text("thresholds:\n- {name: slow, metric: p95_latencyy}\n")
    made = planned(place)

    assert {each.place.rpartition("/")[2].partition(": ")[0] for each in made.problems} == {"thresholds.yml:2"}
    assert "of the next version" in (place.settings / "prometheus" / "rules" / shipped.name).read_text()
    assert "OpenAI" in (place.settings / "prometheus" / "rules" / "user-thresholds.yml").read_text()


def test_a_volume_that_is_full_keeps_what_was_accepted_and_no_half_of_anything(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, text: str, **how: Any) -> int:
        if path.name == ".prometheus.yml.new":
            raise OSError(28, "No space left on device")
        return write(path, text, **how)

    write = Path.write_text
    assert started(place, monkeypatch) == 0
    before = {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}
    own = yaml.safe_load((place.bundle / "prometheus" / "prometheus.yml").read_text())
    write(place.config / "prometheus.yml", yaml.safe_dump(own | {"global": {"scrape_interval": "30s"}}))
    write(place.config / "exporter.yml", "status_pages:\n- name: mine\n")
    monkeypatch.setattr(Path, "write_text", full)

    assert started(place, monkeypatch) == 0
    assert "cannot be written: No space left on device; make room" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in place.settings.rglob("*") if path.is_file()}


def test_at_the_first_start_a_full_volume_ends_it(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, text: str, **how: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert started(place, monkeypatch) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (place.password / "admin_password").exists()


def test_a_start_ends_with_where_to_look(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(place, monkeypatch, "demo", "scale", GRAFANA_PORT="3001", BIND_ADDRESS="::") == 0
    said = capsys.readouterr().out
    addresses = [line.split()[1] for line in said.splitlines() if line.startswith("open: ")]

    assert addresses == [f"http://localhost:{port}" for port in (3001, 9985, 9090, 8025, 8085, 10902)]
    assert "docker compose exec grafana cat /stack/grafana/admin_password" in said
    for address in ("::1", "[::1]"):
        assert started(place, monkeypatch, "demo", BIND_ADDRESS=address) == 0
        assert "open: http://[::1]:9985 exporter" in capsys.readouterr().out


def test_two_directories_of_one_name_are_told_that_they_are_one_project(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for directory in ("/a/openai", "/a/openai", "/b/openai"):
        monkeypatch.setattr(prepare, "origin", lambda _, directory=directory: f"{directory}/alerting")
        told.append([str(each) for each in planned(place).warnings])

    assert told[:2] == [[], []]
    assert "give one of them a COMPOSE_PROJECT_NAME in its .env; it was /a/openai/alerting, it is /b/" in told[2][0]


def test_the_kernel_says_which_directory_is_mounted(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "90 80 0:1 / / rw - overlay overlay rw\n"
        "91 90 254:0 /home/me/open\\040ai/alerting /stack/alerting ro - ext4 /dev/vda rw\n"
    )

    assert prepare.origin(Path("/stack/alerting"), table) == "/home/me/open ai/alerting"
    assert prepare.origin(Path("/stack/settings"), table) == ""
    assert prepare.origin(Path("/stack/alerting"), tmp_path / "gone") == ""


def test_of_an_earlier_version_with_a_mistake_now_all_but_the_probes_goes_on(place: Any) -> None:
    (place.settings / "exporter.yml").symlink_to("/etc/openai-exporter/exporter.yml")
    (place.config / "exporter.yml").write_text("targts: []\n")
    made = planned(place)

    assert [each.place.rpartition("/")[2] for each in made.problems] == ["exporter.yml:1: targts"]
    assert exporter(place) == LEAST

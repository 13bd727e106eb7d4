# SPDX-License-Identifier: Apache-2.0
"""The bundle is compiled from its settings, quiet when nothing changed, and never over changes of somebody."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from openai_exporter.cli.rules import DEFAULT, PARTS, bundle, part_files
from openai_exporter.errors import StartError
from openai_exporter.rules.bundle import PACKAGED, bundle_root

ROOT = Path(__file__).parents[3]
SLACK = "channels: {slack: {api_url_file: /run/secrets/slack, channel: '#openai'}}\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bundle, [str(each) for each in arguments])


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as a wheel has it: what no setting changes is taken as shipped."""
    root = tmp_path_factory.mktemp("package") / PACKAGED
    root.symlink_to(ROOT)
    monkeypatch.setattr("openai_exporter.cli.rules.bundle_root", lambda: root)
    return root


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory that holds the bundle."""
    assert run(tmp_path).exit_code == 0
    return tmp_path


def settings(directory: Path, text: str) -> Path:
    path = directory / "alerting" / "settings.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_it_comes_from_the_source_tree_when_the_package_is_not_installed() -> None:
    assert bundle_root() == ROOT


def test_without_its_files_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("openai_exporter.rules.bundle.__file__", str(tmp_path / "lib/openai_exporter/rules/bundle.py"))
    with pytest.raises(StartError, match="is missing: install openai-exporter from its wheel or sdist again"):
        bundle_root()


@pytest.mark.parametrize("name", PARTS)
def test_every_path_of_a_part_exists_and_holds_files(name: str) -> None:
    for path in PARTS[name].paths:
        assert (ROOT / path).exists(), path
    assert part_files(ROOT, (name,), [f"{path}/x" for path in PARTS[name].paths])


def test_the_three_programs_get_what_they_load_and_no_more(tmp_path: Path) -> None:
    into = tmp_path / "a directory with spaces" / "deeper"
    found = run(into)
    files = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()}
    programs = {
        "prometheus/prometheus.yml",
        *(f"prometheus/rules/{path.name}" for path in (ROOT / "prometheus/rules").glob("*.yml")),
        "alerting/alertmanager/alertmanager.yml",
        "alerting/alertmanager/templates/openai.tmpl",
        *(f"dashboards/generated/{path.name}" for path in (ROOT / "dashboards/generated").glob("*.json")),
        "dashboards/provisioning/dashboards/openai.yaml",
        "dashboards/provisioning/datasources/openai.yaml",
    }
    sources = {"settings.yml", "settings.schema.json", "thresholds.yml", "rules.d/README.md", "rules.d/example.yml.off"}

    assert found.exit_code == 0, found.output
    assert files == programs | {f"alerting/{name}" for name in sources}
    for path in files:
        assert (into / path).read_bytes() == (ROOT / path).read_bytes(), path
    assert found.stdout.splitlines()[0] == f"{into}: {len(files)} files written"
    assert (
        "no channel is set, so alerts notify nobody; set one under channels: in alerting/settings.yml" in found.stderr
    )


def test_a_second_run_is_quiet(written: Path) -> None:
    found = run(written)

    assert (found.exit_code, found.output) == (0, f"{written}: up to date\n")
    assert (run("--check", written).exit_code, run("--check", written).output) == (0, "")


def test_a_changed_setting_changes_the_files_that_it_is_for(written: Path) -> None:
    settings(written, SLACK)
    stale, before = run("--check", written), (written / "alerting/alertmanager/alertmanager.yml").read_text()
    found = run(written)
    config = yaml.safe_load((written / "alerting/alertmanager/alertmanager.yml").read_text())

    assert stale.exit_code == 1
    assert stale.stderr.splitlines() == [
        f"openai-exporter: {written}/alerting/alertmanager/alertmanager.yml: is stale",
        f"openai-exporter: run `openai-exporter bundle {written}`",
    ]
    assert "#openai" not in before
    assert found.stdout.splitlines() == [
        f"{written}/alerting/alertmanager/alertmanager.yml: changed",
        f"  alerting    {PARTS['alerting'].use}",
    ]
    assert config["receivers"][0]["slack_configs"][0]["channel"] == "#openai"


def test_a_mistake_leaves_all_files_as_they_are(written: Path) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    path = settings(written, "chanels: {}\n")
    found = run(written)

    assert found.exit_code == 1
    assert found.stderr.startswith(
        f"openai-exporter: {path}:1: chanels: unknown key 'chanels'; did you mean 'channels'?"
    )
    path.write_bytes(before[path])
    assert before == {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}


def test_a_broken_raw_file_is_told_left_out_and_fails_a_check(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    raw = written / "alerting" / "rules.d"
    (raw / "a.yml").write_text("groups: [{name: mine, rules: [{record: 'a:up:sum', expr: sum(up}]}]\n")
    (raw / "b.yml").write_text("groups: [{name: other, rules: [{record: 'b:up:sum', expr: sum(up)}]}]\n")
    found = run(written)

    assert found.exit_code == 0
    assert f"{raw}/a.yml:1: groups[0].rules[0].expr: 'sum(up': unclosed left parenthesis" in found.stderr
    assert "b:up:sum" in (written / "prometheus/rules/user-thresholds.yml").read_text()
    assert run("--check", written).exit_code == 1


def test_flags_are_kept_in_the_new_settings(tmp_path: Path) -> None:
    arguments = ("--grafana-url=https://g.example.org", "--selector", 'job="llm"', tmp_path)
    assert run(*arguments).exit_code == 0
    assert run("--check", tmp_path).exit_code == 0
    assert run("--check", *arguments).exit_code == 0
    rules = (tmp_path / "prometheus/rules/alerts-availability.yml").read_text()

    assert "https://g.example.org/d/openai-slo" in rules
    assert 'job="llm"' in (tmp_path / "prometheus/rules/user-thresholds.yml").read_text()
    other = run("--grafana-url=https://other.example.org", tmp_path)
    assert other.exit_code == 1
    assert "links.grafana: the flag says 'https://other.example.org', the file does not" in other.stderr


def test_sources_of_the_user_stay_and_generated_files_do_not(written: Path) -> None:
    mine = ("prometheus/prometheus.yml", "alerting/thresholds.yml", "alerting/settings.yml")
    for name in mine:
        (written / name).write_text(f"{(written / name).read_text()}# mine\n")
    rule, page = written / "prometheus/rules/alerts-keys.yml", written / "dashboards/generated/costs.json"
    rule.write_text(f"{rule.read_text()}# edited\n")
    page.write_text("{}")
    gone = written / "prometheus/rules/alerts-of-before.yml"
    gone.write_text("# Generated by `openai-exporter bundle` from alerting/; do not edit.\ngroups: []\n")
    foreign = written / "prometheus/rules/foreign.yml"
    foreign.write_text("groups: []\n")
    found = run("--force", written)

    assert [name for name in mine if not (written / name).read_text().endswith("# mine\n")] == []
    assert rule.read_bytes() == (ROOT / "prometheus/rules/alerts-keys.yml").read_bytes()
    assert page.read_bytes() == (ROOT / "dashboards/generated/costs.json").read_bytes()
    assert (gone.exists(), foreign.exists()) == (False, True)
    assert f"{gone}: removed" in found.stdout


def test_a_template_without_its_first_line_is_kept_until_it_is_forced(written: Path) -> None:
    path = written / "alerting/alertmanager/templates/openai.tmpl"
    own = path.read_text().partition("\n")[2]
    path.write_text(own)
    found = run(written)

    assert (found.exit_code, path.read_text()) == (0, own)
    assert f"note: {path} is kept as you changed it; --force replaces it" in found.stderr
    assert run("--check", written).exit_code == 0
    run("--force", written)
    assert path.read_bytes() == (ROOT / "alerting/alertmanager/templates/openai.tmpl").read_bytes()


def test_one_part_alone_and_the_operators_resources(tmp_path: Path) -> None:
    settings(tmp_path, SLACK)
    found = run("--only", "kubernetes", tmp_path)
    config = yaml.safe_load((tmp_path / "deploy/kubernetes/components/operator/alertmanagerconfig.yaml").read_text())

    assert found.exit_code == 0, found.output
    assert config["spec"]["receivers"][0]["slackConfigs"][0]["channel"] == "#openai"
    assert not (tmp_path / "exporter").exists()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("a file where a directory should be")
    found = run("--only", "prometheus", tmp_path)
    assert found.exit_code == 1
    assert "cannot be written: " in found.output
    assert "; choose a DIR that this user may write to" in found.output
    assert "Traceback" not in found.output


def test_an_unknown_part_is_answered_with_those_there_are() -> None:
    found = run("--only", "dashboard", "x")
    assert found.exit_code == 2
    assert "'dashboard' is not one of" in found.output


def test_help_explains_every_part() -> None:
    found = run("--help").output
    assert [name for name in PARTS if f"\n    {name} " not in found] == []
    assert ", ".join(DEFAULT) in found


def test_hidden_and_compiled_files_are_left_out(tmp_path: Path) -> None:
    for name in ("prometheus/remote-write/a.yml", "prometheus/remote-write/.a.yml.new", "prometheus/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert part_files(tmp_path, ("scale",), ()) == ["prometheus/remote-write/a.yml"]

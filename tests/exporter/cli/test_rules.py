# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter rules`: what is printed, the exit status, and what is written."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_exporter.cli.rules import rules
from openai_exporter.rules.rule_file import MISSING
from tests.exporter.rules.documents import document
from tests.exporter.rules.prometheus import needs_promtool

RAW = "groups: [{name: mine, rules: [{record: 'a:up:sum', expr: sum(up)}]}]\n"
BROKEN = "groups: [{name: mine, rules: [{record: 'a:up:sum', expr: sum(up}]}]\n"
EXAMPLES = [{"value": "6s", "fires": True}, {"value": "4s", "fires": False}]


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with thresholds and raw rules where the commands look for them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alerting" / "rules.d").mkdir(parents=True)
    (tmp_path / "alerting" / "thresholds.yml").write_text(document({"examples": EXAMPLES}, {"enabled": False}))
    return tmp_path


@pytest.fixture
def without_promtool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(rules, arguments)


@needs_promtool
@pytest.mark.stack
def test_check_says_what_there_is(bundle: Path) -> None:
    (bundle / "alerting" / "rules.d" / "b.yml").write_text(RAW)

    found = run("check")

    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "alerting/thresholds.yml: 2 thresholds, 1 enabled",
        "alerting/rules.d/b.yml: can be used",
        "promtool accepts 2 rules",
    ]
    assert not (bundle / "prometheus").exists()


def test_check_takes_what_all_rules_share_from_the_settings_beside_the_thresholds(bundle: Path) -> None:
    (bundle / "alerting" / "settings.yml").write_text("probe_interval: 5s\n")

    found = run("check")

    assert found.exit_code == 1
    assert "threshold: '5s': no probe takes 5s: its deadline is below the interval of the probes, 5s" in found.stderr


def test_check_fails_for_a_broken_raw_file_and_says_who_did_not_look(bundle: Path, without_promtool: None) -> None:
    (bundle / "alerting" / "rules.d" / "a.yml").write_text(BROKEN)

    found = run("check")

    assert found.exit_code == 1
    assert f"note: {MISSING}" in found.stdout
    assert "alerting/rules.d/a.yml:1: groups[0].rules[0].expr" in found.stderr


@needs_promtool
@pytest.mark.stack
def test_test_runs_the_examples(bundle: Path) -> None:
    found = run("test")

    assert (found.exit_code, found.stdout) == (0, "note: no examples: entry 1\n2 examples, 0 failed\n")


@needs_promtool
@pytest.mark.stack
def test_test_names_the_example_that_does_not_hold(bundle: Path) -> None:
    wrong = {"value": "4s", "fires": True}
    (bundle / "alerting" / "thresholds.yml").write_text(document({"examples": [*EXAMPLES, wrong]}))

    found = run("test")

    assert (found.exit_code, found.stdout) == (1, "3 examples, 1 failed\n")
    assert found.stderr == (
        "openai-exporter: alerting/thresholds.yml:13: thresholds[0].examples[2]: entry 0: the alert stays silent\n"
    )


def test_test_without_promtool_fails_and_says_how_to_get_it(without_promtool: None) -> None:
    found = run("test")

    assert (found.exit_code, found.stderr) == (1, f"openai-exporter: {MISSING}\n")


def test_a_folder_in_place_of_the_file_is_named(bundle: Path) -> None:
    found = run("check", "--thresholds", ".")

    assert found.exit_code == 1
    assert found.stderr == "openai-exporter: .: cannot be read: Is a directory; name an existing file\n"


def test_without_a_bundle_the_missing_file_is_named(bundle: Path) -> None:
    (bundle / "alerting" / "thresholds.yml").unlink()

    found = run("check")

    assert found.exit_code == 1
    assert found.stderr == (
        "openai-exporter: alerting/thresholds.yml: cannot be read: No such file or directory; name an existing file\n"
    )

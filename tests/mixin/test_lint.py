# SPDX-License-Identifier: Apache-2.0
"""The generated files pass our linter and the tools of Prometheus and Alertmanager."""

import re
from pathlib import Path

import pytest
import yaml

from tests.mixin.bundle import (
    ALERTMANAGER,
    AMTOOLS,
    PROMTOOLS,
    ROOT,
    RULES,
    alert_rules,
    mixin,
    rule_files,
    run,
    version,
)
from tests.mixin.lint.checks import Context
from tests.mixin.lint.files import lint, recorded_labels, rules_of
from tests.mixin.lint.nodes import selectors
from tests.mixin.lint.parser import parse, seconds

needs_promtool = pytest.mark.skipif(not PROMTOOLS, reason="promtool is not installed")
each_promtool = pytest.mark.parametrize("promtool", PROMTOOLS or [""], ids=version)
REMOTE = sorted((ROOT / "prometheus" / "remote-write").glob("*.yml"))


def test_our_linter_finds_nothing() -> None:
    retention = seconds(mixin("_config.retention"))

    assert lint(rule_files(), Context(recorded_labels(rule_files()), retention=retention)) == []


@pytest.mark.stack
@needs_promtool
@each_promtool
def test_promtool_finds_nothing_in_the_rules(promtool: str) -> None:
    found = run(promtool, "check", "rules", *sorted(RULES.glob("*.yml")))

    assert found.returncode == 0, found.stdout + found.stderr
    assert "FAILED" not in found.stdout + found.stderr


@pytest.mark.stack
@needs_promtool
@each_promtool
def test_promtool_accepts_the_configuration_of_prometheus(promtool: str) -> None:
    found = run(promtool, "check", "config", ROOT / "prometheus" / "prometheus.yml")

    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.stack
@needs_promtool
@each_promtool
@pytest.mark.parametrize("path", REMOTE, ids=lambda path: path.stem)
def test_a_remote_write_example_fits_the_end_of_the_configuration(path: Path, promtool: str, tmp_path: Path) -> None:
    whole = tmp_path / "prometheus.yml"
    whole.write_text((ROOT / "prometheus" / "prometheus.yml").read_text() + path.read_text())
    found = run(promtool, "check", "config", whole)
    written = yaml.safe_load(path.read_text())["remote_write"][0]

    assert found.returncode == 0, found.stdout + found.stderr
    assert not {"password", "credentials", "bearer_token"} & (set(written.get("basic_auth", {})) | set(written))


@pytest.mark.stack
@pytest.mark.skipif(not AMTOOLS, reason="amtool is not installed")
@pytest.mark.parametrize("amtool", AMTOOLS or [""], ids=version)
def test_amtool_accepts_the_configuration_of_alertmanager(amtool: str) -> None:
    found = run(amtool, "check-config", ALERTMANAGER / "alertmanager.yml")

    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 templates" in found.stdout


def test_retention_is_the_same_wherever_it_is_said_and_fits_the_longest_range() -> None:
    said = {
        found
        for path in [ROOT / "prometheus", ROOT / "deploy", ROOT / "alerting", ROOT / "docker-compose.yml"]
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in (".yml", ".yaml", ".md")
        for found in re.findall(r"storage\.tsdb\.retention\.time=(\w+)", file.read_text())
    }
    longest = max(
        (selector.range or 0) + selector.offset
        for _, rule in rules_of(rule_files())
        for selector in selectors(parse(rule["expr"]))
    )

    assert said == {mixin("_config.retention")}
    assert longest < seconds(mixin("_config.retention"))


def test_prometheus_scrapes_at_the_pace_that_rules_assume_and_evaluates_faster() -> None:
    settings = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["global"]

    assert seconds(settings["scrape_interval"]) == seconds(mixin("_config.probeInterval"))
    assert seconds(settings["evaluation_interval"]) <= seconds(settings["scrape_interval"]) / 2


def test_the_way_from_an_outage_to_the_page_takes_less_than_six_minutes() -> None:
    """Scrapes until the window holds bad probes only, `for`, one evaluation each, and Alertmanager's wait."""
    settings = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["global"]
    down = next(rule for rule in alert_rules() if rule["alert"] == "OpenAITargetDown")
    window = seconds(mixin("_config.paces[0]")) * mixin("_config.thresholds.targetDown.minBad")
    wait = seconds(mixin("alertmanagerConfig.route.routes")[2]["group_wait"])
    evaluations = 2 * seconds(settings["evaluation_interval"])
    deadline = seconds(settings["scrape_timeout"])

    assert window + deadline + seconds(down["for"]) + evaluations + wait <= 360

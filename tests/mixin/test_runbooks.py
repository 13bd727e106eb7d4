# SPDX-License-Identifier: Apache-2.0
"""Every alert has its runbook page, and what the pages ask Prometheus can be asked."""

import re
from pathlib import Path

import pytest

from tests.mixin.bundle import RULES, RUNBOOKS, alert_rules, rule_files
from tests.mixin.lint.files import recorded_labels
from tests.mixin.lint.labels import Inference
from tests.mixin.lint.parser import parse

ALERTS = sorted({rule["alert"] for rule in alert_rules()})
PROCEDURES = {"cost-spike-response", "service-degradation"}
PAGES = sorted(RUNBOOKS.glob("*.md"))
HEADINGS = ["## Meaning", "## Likely causes", "## Checks", "## Actions", "## Verify"]
ANYWHERE = frozenset(
    {"up", "ALERTS", "scrape_duration_seconds", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
)
"""Series that Prometheus and its client library add."""


def test_alerts_and_pages_are_the_same_set() -> None:
    assert sorted([*ALERTS, *PROCEDURES]) == [page.stem for page in PAGES]


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_says_what_it_means_what_causes_it_how_to_check_and_what_to_do(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    found = [line for line in text.splitlines() if line.startswith("## ")]
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)

    assert text.startswith(f"# {alert}\n\nSeverity: ")
    assert found == HEADINGS
    assert all(len(part.strip()) > 40 for part in parts[1:]), "a section is empty"
    assert "```promql" in parts[3]
    assert re.search(r"^1\. ", parts[4], flags=re.MULTILINE)
    assert "```promql" in parts[5]


@pytest.mark.parametrize("alert", ["QuotaExhausted", "CredentialsRejected", "SpendLimitReached", "ModelUnavailable"])
def test_a_page_about_a_refusal_names_the_command_that_asks_at_once(alert: str) -> None:
    """The exporter itself may wait for up to an hour after such an answer."""
    verify = (RUNBOOKS / f"OpenAI{alert}.md").read_text().split("## Verify")[1]

    assert "`openai-exporter probe --config.file exporter.yml --target T --module M`" in verify
    assert "openai_probe_backoff_seconds" in verify


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_names_each_severity_of_its_alert(alert: str) -> None:
    said = (RUNBOOKS / f"{alert}.md").read_text().splitlines()[2]
    severities = {rule["labels"]["severity"] for rule in alert_rules() if rule["alert"] == alert}

    assert severities == {each for each in ("critical", "warning", "info", "none") if each in said}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_queries_of_a_page_name_what_exists(page: Path) -> None:
    recorded = recorded_labels(rule_files())
    queries = re.findall(r"```promql\n(.*?)\n```", page.read_text(), flags=re.DOTALL)
    problems = []
    for query in queries:
        inference = Inference(recorded, anywhere=ANYWHERE)
        inference.labels(parse(query))
        problems += [f"{query}: {problem}" for problem in inference.problems]

    assert queries
    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())

    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_runbook_urls_lead_to_files_of_this_repository() -> None:
    """The part after the branch is a path here, also for alerts that thresholds.yml makes."""
    paths = [RULES / "user-thresholds.yml", *RULES.glob("alerts-*.yml")]
    urls = {url for path in paths for url in re.findall(r"runbook_url: (\S+)", path.read_text())}
    missing = [url for url in urls if not (RUNBOOKS.parents[1] / url.partition("/blob/main/")[2]).is_file()]

    assert len(urls) >= len(ALERTS)
    assert missing == []


def test_the_runbook_url_of_each_alert_ends_in_the_name_of_its_page() -> None:
    wrong = [
        rule["alert"]
        for rule in alert_rules()
        if not rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")
    ]

    assert wrong == []

# SPDX-License-Identifier: Apache-2.0
"""What Grafana is given at its start agrees with the pages and with Prometheus' own configuration."""

from functools import cache
from typing import Any

import yaml

from tests.dashboards.grafana import SCRAPE, seconds
from tests.dashboards.pages import GENERATED, ROOT, pages

PROVISIONING = ROOT / "dashboards" / "provisioning"


@cache
def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def _source(kind: str) -> Any:
    found = _yaml("dashboards/provisioning/datasources/openai.yaml")["datasources"]
    return next(each for each in found if each["type"] == kind)


def test_data_sources_have_fixed_uids_and_cannot_be_edited() -> None:
    for kind in ("prometheus", "alertmanager"):
        source = _source(kind)
        assert (kind, False, "proxy") == (source["uid"], source["editable"], source["access"])


def test_the_step_of_the_data_source_is_the_scrape_interval() -> None:
    """Otherwise $__rate_interval holds too few samples, and every rate is empty."""
    scraped = _yaml("prometheus/prometheus.yml")["global"]["scrape_interval"]

    assert scraped == _source("prometheus")["jsonData"]["timeInterval"]
    assert seconds(scraped) == SCRAPE


def test_exemplars_lead_to_the_probe_that_they_come_from() -> None:
    (destination,) = _source("prometheus")["jsonData"]["exemplarTraceIdDestinations"]

    assert destination["name"] == "request_id"
    assert destination["url"].endswith("/history?request_id=$${__value.raw}")
    assert any(target.get("exemplar") for page in pages() for panel in page.panels for target in panel.targets)


def test_pages_come_from_files_into_a_folder_of_their_own() -> None:
    (provider,) = _yaml("dashboards/provisioning/dashboards/openai.yaml")["providers"]

    assert ("file", "OpenAI", False) == (provider["type"], provider["folder"], provider["allowUiUpdates"])
    assert provider["options"]["foldersFromFilesStructure"] is False


def test_the_home_page_is_one_of_the_files() -> None:
    text = (PROVISIONING / "dashboards" / "openai.yaml").read_text()

    assert "HOME_DASHBOARD_PATH=/etc/grafana/dashboards/overview.json" in text
    assert (GENERATED / "overview.json").is_file()


def test_no_secret_is_in_the_files() -> None:
    for path in PROVISIONING.rglob("*.yaml"):
        assert "password" not in path.read_text().lower()
        assert "secure" not in path.read_text()

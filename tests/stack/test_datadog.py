# SPDX-License-Identifier: Apache-2.0
"""Datadog's OpenMetrics check with the documented configuration, on the exporter and an organization of 120 keys.

Opt-in, since it installs the check from a package index: DATADOG=1, or DATADOG_PYTHON names a Python that has it.
"""

import json
import os
import re
import subprocess
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_simulator.testing import running_simulator
from tests.conftest import Note
from tests.stack.programs import KEYS, get, running_exporter, samples, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
_BLOCK = re.search(r"\n## Datadog.*?^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
assert _BLOCK is not None
INSTANCES: list[dict[str, Any]] = yaml.safe_load(_BLOCK[1])["instances"]
PACKAGES = [
    "binary",
    "cachetools",
    "certifi",
    "cryptography",
    "jellyfish",
    "lazy-loader",
    "prometheus-client",
    "pydantic",
    "python-dateutil",
    "pyyaml",
    "requests-toolbelt",
    "requests-unixsocket2",
    "requests",
    "simplejson",
    "wrapt",
]
"""What the check imports; its own list pins exact versions, which an index need not have."""
SCRIPT = """
import json, sys
from datadog_checks.base import OpenMetricsBaseCheckV2
from datadog_checks.base.stubs import aggregator
check = OpenMetricsBaseCheckV2("openmetrics", {}, [json.loads(sys.argv[1])])
error = check.run()
rows = [(each.name, each.value, each.tags) for name in aggregator.metric_names for each in aggregator.metrics(name)]
json.dump({"error": error, "rows": rows}, sys.stdout)
"""
pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        not (os.environ.get("DATADOG") or os.environ.get("DATADOG_PYTHON")),
        reason="opt-in: DATADOG=1 installs Datadog's check in a virtual environment of its own",
    ),
]


@dataclass(frozen=True, slots=True)
class Scraped:
    """What the check would send: name, value and tags of each metric."""

    rows: list[tuple[str, float, list[str]]]

    def of(self, name: str) -> list[tuple[str, float, list[str]]]:
        return [row for row in self.rows if re.fullmatch(name, row[0])]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("DATADOG_PYTHON"):
        return Path(os.environ["DATADOG_PYTHON"])
    folder = tmp_path_factory.mktemp("datadog")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    for packages in (["--no-deps", "datadog-checks-base==38.7.0"], PACKAGES):
        found = subprocess.run([*pip, *packages], capture_output=True, text=True, timeout=600)
        if found.returncode:
            pytest.skip(f"the check cannot be installed here: {found.stderr[-300:]}")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_simulator(keys=120, projects=12, latency_scale=0) as simulator:
        keys = KEYS | {"OPENAI_BASE_URL": simulator.api_url}
        with running_exporter(tmp_path_factory.mktemp("exporter"), keys) as running:
            usage = f"{running.url}/usage?organization=default"
            wait_for(lambda: "\nopenai_costs_month_to_date_usd" in get(usage)[1], 120, "costs on the usage page")
            yield running.url


def _scraped(python: Path, url: str, instance: dict[str, Any], **other: Any) -> Scraped:
    """Run one instance against the exporter; `other` replaces settings, None removes one."""
    given = {name: value for name, value in (instance | other).items() if value is not None}
    given["openmetrics_endpoint"] = given["openmetrics_endpoint"].replace("http://exporter:9985", url)
    argv = [str(python), "-c", SCRIPT, json.dumps(given)]
    env = {"PATH": os.environ["PATH"], "DDEV_SKIP_GENERIC_TAGS_CHECK": "1"}
    found = subprocess.run(argv, capture_output=True, text=True, timeout=800, env=env)
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert not document["error"], document["error"]
    return Scraped([(name, value, tags) for name, value, tags in document["rows"]])


def test_every_cost_and_usage_series_of_120_keys_arrives(python: Path, exporter: str, note: Note) -> None:
    instance = INSTANCES[1]
    page = [name.partition("{")[0] for name in samples(get(f"{exporter}/usage?organization=default")[1])]
    expected = Counter(name for name in page if re.match("openai_(usage|costs|budget)_", name))
    limited = _scraped(python, exporter, instance, max_returned_metrics=None)

    found = _scraped(python, exporter, instance)

    arrived = Counter(name for name, _, _ in found.of("openai.openai_.*"))
    assert sum(arrived.values()) == sum(expected.values()) > 2000
    assert len(found.of("openai.openai_costs_.*")) == sum(expected[name] for name in expected if "_costs_" in name) > 0
    assert len(limited.rows) == 2000
    note("Datadog's check", f"usage of 120 keys: {len(limited.rows)} of {len(found.rows)} metrics by its default limit")
    note(
        "Datadog's check",
        f"of them costs: {len(limited.of('openai.openai_costs_.*'))} of {len(found.of('openai.openai_costs_.*'))}",
    )


def test_no_tag_is_there_twice(python: Path, exporter: str) -> None:
    for instance in INSTANCES:
        found = _scraped(python, exporter, instance)
        twice = [
            (name, tags)
            for name, _, tags in found.rows
            if max(Counter(tag.partition(":")[0] for tag in tags).values()) > 1
        ]
        assert found.rows
        assert twice == [], instance["openmetrics_endpoint"]


def test_a_probe_is_billed_for_the_outcome_it_had(python: Path, exporter: str, note: Note) -> None:
    instance = INSTANCES[0]
    before = _scraped(python, exporter, instance, raw_line_filters=None)

    found = _scraped(python, exporter, instance)

    (outcome,) = found.of("openai.openai_probe_outcome")
    assert (outcome[1], "outcome:success" in outcome[2] or outcome[2]) == (1, True)
    assert len(before.of("openai.openai_probe_outcome")) > 40
    note("Datadog's check", f"a probe: {len(before.rows)} metrics without the filter, {len(found.rows)} with it")

# SPDX-License-Identifier: Apache-2.0
"""Prometheus' own linter is content with a page of every metric."""

import shutil
import subprocess

import pytest

from openai_exporter.exposition import Family, Instruments, encode
from openai_exporter.metrics import CATALOGUE, Kind, Page

PROMTOOL = shutil.which("promtool")


def page_of_everything() -> bytes:
    instruments, families = Instruments(), []
    for metric in CATALOGUE.values():
        labels = tuple(f"{name} 1" for name in metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            instruments.observe(metric, 0.5, labels)
        elif metric.page is Page.METRICS:
            instruments.prepare(metric, labels)
        else:
            families.append(Family(metric, [(labels, 1.5)]))
    return encode(families) + instruments.render("")[0]


@pytest.mark.stack
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say() -> None:
    page = page_of_everything()
    for name in CATALOGUE:
        assert f"\n# HELP {name} ".encode() in b"\n" + page
    found = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=page, capture_output=True, timeout=30, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


@pytest.mark.stack
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_would_object_to_a_wrong_name() -> None:
    page = page_of_everything().replace(b"probe_timeout_seconds", b"probe_timeout_milliseconds")
    found = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=page, capture_output=True, timeout=30, check=False
    )
    assert found.returncode == 3

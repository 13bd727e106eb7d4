# SPDX-License-Identifier: Apache-2.0
"""The generated tables are fresh, whole, and say nothing that the code does not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openai_exporter.config import schema_document
from openai_exporter.metrics import CATALOGUE, LABELS
from openai_exporter.probe.judge import OUTCOMES
from openai_simulator.faults import KINDS
from tests.docs.documents import ROOT
from tools import docs

TEXT = "".join((ROOT / docs.REFERENCE / name).read_text(encoding="utf-8") for name in docs.PAGES)
METRICS = f"{docs.REFERENCE}/metrics.md"


def part(name: str) -> str:
    """The generated part of that name."""
    found = re.search(rf"<!-- generated: {name} -->\n(.*?)<!-- end: {name} -->", TEXT, re.DOTALL)
    assert found
    return found[1]


def first_cells(table: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)


def test_the_generated_files_are_fresh() -> None:
    assert docs.stale(ROOT) == []


def test_every_metric_of_the_catalogue_is_documented_and_nothing_else_is() -> None:
    assert sorted(first_cells(part("metrics"))) == sorted(CATALOGUE)


def test_every_label_and_every_outcome_is_documented() -> None:
    assert first_cells(part("labels")) == list(LABELS)
    assert first_cells(part("outcomes")) == list(OUTCOMES)


def test_every_fault_of_the_simulator_is_documented_with_its_fields() -> None:
    assert first_cells(part("faults")) == list(KINDS)
    (row,) = [line for line in part("faults").splitlines() if line.startswith("| `rate_limit`")]
    assert "`retry_after`" in row


def test_outcomes_say_what_they_are_matched_on_and_how_they_count() -> None:
    rows = {row.split("`")[1]: row for row in part("outcomes").splitlines() if row.startswith("| `")}
    assert "`insufficient_quota`, " in rows["quota_exhausted"]
    assert "402 | not counted | 1 min to 1 h |" in rows["quota_exhausted"]
    assert "| bad event |" in rows["server_error"]
    assert "| good event |" in rows["success"]


def test_commands_of_a_group_have_their_flags_documented() -> None:
    assert "### `openai-exporter rules check [flags]`" in part("flags")


def test_every_key_of_the_configuration_is_documented() -> None:
    found = set(first_cells(part("configuration")))
    sections = [schema_document(), *schema_document()["$defs"].values()]
    keys = {key for section in sections for key in section.get("properties", {})}
    assert len(keys) > 50
    assert keys - found == set()
    headings = re.findall(r"^### `([^`]+)`", part("configuration"), re.MULTILINE)
    assert "modules.<name>.request" in headings
    assert "organizations[].usage.<operation>" in headings


def test_every_flag_of_the_server_is_documented() -> None:
    serve = pytest.importorskip("openai_exporter.cli.serve").serve
    documented = part("flags")
    assert [name for option in serve.params for name in option.opts if f"`{name}`" not in documented] == []


def test_the_published_schema_is_the_one_of_the_code() -> None:
    assert json.loads((ROOT / docs.SCHEMA).read_text(encoding="utf-8")) == schema_document()


def copy_of_the_documents(folder: Path) -> Path:
    pages = (f"{docs.REFERENCE}/{page}" for page in docs.PAGES)
    for name in (*pages, docs.SCHEMA, docs.SETTINGS_SCHEMA):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_stale_table_is_reported_and_then_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copy_of_the_documents(tmp_path)
    page = root / METRICS
    good = page.read_text(encoding="utf-8")
    page.write_text(good.replace("| `probe_success` |", "| `probe_succes` |"), encoding="utf-8")
    (root / docs.SCHEMA).unlink()
    assert docs.main(["--check", "--root", str(root)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "docs: docs/reference/metrics.md: is stale; run `make generate`",
        "docs: exporter/exporter.schema.json: is stale; run `make generate`",
    ]
    assert docs.main(["--root", str(root)]) == 0
    assert page.read_text(encoding="utf-8") == good
    assert docs.main(["--check", "--root", str(root)]) == 0


def test_a_lost_marker_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copy_of_the_documents(tmp_path)
    page = root / METRICS
    page.write_text(page.read_text("utf-8").replace("<!-- generated: labels -->", ""), encoding="utf-8")
    assert docs.main(["--check", "--root", str(root)]) == 1
    assert "docs/reference has the generated parts" in capsys.readouterr().err


def test_the_program_runs_by_itself() -> None:
    found = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (found.returncode, found.stderr) == (0, b"")

# SPDX-License-Identifier: Apache-2.0
"""The bundle is written whole, never over somebody's changes, and is what its parts say."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_exporter.cli.rules import PARTS, bundle, bundle_root, part_files
from openai_exporter.errors import StartError

ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bundle, [str(each) for each in arguments])


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file of the bundle that somebody has changed."""
    path = tmp_path / "prometheus" / "prometheus.yml"
    path.parent.mkdir()
    path.write_text("# mine\n")
    return path


def test_it_comes_from_the_source_tree_when_the_package_is_not_installed() -> None:
    assert bundle_root() == ROOT


def test_without_its_files_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("openai_exporter.cli.rules.__file__", str(tmp_path / "lib/openai_exporter/cli/rules.py"))
    with pytest.raises(StartError, match="is missing: install openai-exporter from its wheel or sdist again"):
        bundle_root()


@pytest.mark.parametrize("name", PARTS)
def test_every_path_of_a_part_exists_and_holds_files(name: str) -> None:
    for path in PARTS[name].paths:
        assert (ROOT / path).exists(), path
    assert list(part_files(ROOT, (name,)))


def test_all_of_it_is_written_byte_for_byte(tmp_path: Path) -> None:
    into = tmp_path / "a folder with spaces" / "deeper"
    found = run(into)
    assert found.exit_code == 0, found.output
    written = sorted(path.relative_to(into) for path in into.rglob("*") if path.is_file())
    assert written == list(part_files(ROOT, tuple(PARTS)))
    for path in written:
        assert (into / path).read_bytes() == (ROOT / path).read_bytes(), path
    for name in (
        "prometheus/rules/recording-slo.yml",
        "dashboards/generated/overview.json",
        "alerting/alertmanager/templates/openai.tmpl",
        "alerting/runbooks/OpenAITargetDown.md",
        "exporter/exporter.yml",
    ):
        assert Path(name) in written
    assert (
        found.output.splitlines()[0] == f"{into}: wrote {len(written)} new files and 0 over others; 0 were up to date"
    )


def test_a_second_run_finds_everything_up_to_date(tmp_path: Path) -> None:
    run("--only", "prometheus", tmp_path)
    assert "wrote 0 new files and 0 over others" in run("--only", "prometheus", tmp_path).output


def test_a_changed_file_stops_it_before_anything_is_written(tmp_path: Path, mine: Path) -> None:
    found = run("--only", "prometheus", tmp_path)
    assert found.exit_code == 1
    assert f"nothing was written: {mine} would be overwritten" in found.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "# mine\n"


def test_force_overwrites_it(tmp_path: Path, mine: Path) -> None:
    found = run("--only", "prometheus", "--force", tmp_path)
    assert found.exit_code == 0
    assert "and 1 over others" in found.output
    assert mine.read_bytes() == (ROOT / "prometheus/prometheus.yml").read_bytes()


def test_a_dry_run_writes_nothing_and_names_what_differs(tmp_path: Path, mine: Path) -> None:
    found = run("--only", "prometheus", "--dry-run", tmp_path)
    assert found.exit_code == 0
    assert f"differs  {mine}" in found.output
    assert f"new      {tmp_path / 'prometheus/rules/recording-slo.yml'}" in found.output
    assert mine.read_text() == "# mine\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("a file where a folder should be")
    found = run("--only", "prometheus", tmp_path)
    assert found.exit_code == 1
    assert "cannot be written: " in found.output
    assert "Traceback" not in found.output


def test_an_unknown_part_is_answered_with_those_there_are() -> None:
    found = run("--only", "dashboard", "x")
    assert found.exit_code == 2
    assert "'dashboard' is not one of" in found.output


def test_help_explains_every_part() -> None:
    found = run("--help").output
    assert [name for name in PARTS if f"\n    {name} " not in found] == []


def test_hidden_and_compiled_files_are_left_out(tmp_path: Path) -> None:
    for name in ("prometheus/a.yml", "prometheus/.a.yml.new", "prometheus/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(part_files(tmp_path, ("prometheus",))) == [Path("prometheus/a.yml")]

# SPDX-License-Identifier: Apache-2.0
"""What a release says of itself agrees, and nothing is published but by a tag."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_exporter import __version__
from tests.docs.markdown import links

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")
}
TAG = "github.ref_type == 'tag'"


def test_every_link_of_the_index_s_readme_is_absolute_and_of_this_version() -> None:
    hook: dict[str, Any] = {}
    exec((ROOT / "exporter/hatch_build.py").read_text(encoding="utf-8"), hook)
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    found = list(links(hook["absolute"](text, __version__)))

    assert [link for link in found if not link.startswith(("https://", "#"))] == []
    places = [link.partition(f"/v{__version__}/")[2] for link in found if f"/v{__version__}/" in link]
    assert places == [link for link in links(text) if not link.startswith(("http", "#"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/a.md#b)", "[a](https://github.com/{}/blob/v1/docs/a.md#b)"),
        ("![a](docs/a.png)", "![a](https://raw.githubusercontent.com/{}/v1/docs/a.png)"),
        ("[a](https://example.org) [b](#b)", "[a](https://example.org) [b](#b)"),
    ],
)
def test_a_relative_link_becomes_one_of_the_tag(text: str, expected: str) -> None:
    hook: dict[str, Any] = {}
    exec((ROOT / "exporter/hatch_build.py").read_text(encoding="utf-8"), hook)
    assert hook["absolute"](text, "1") == expected.format(hook["REPOSITORY"])


def test_each_version_of_python_that_is_named_is_tested() -> None:
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_every_direct_dependency_has_a_lowest_version_that_is_tested() -> None:
    assert [each for each in PROJECT["dependencies"] if not re.match(r"[\w-]+>=[\d.]+(,<\d+|,<0\.\d+)?$", each)] == []
    assert {"run": "make lowest"} in WORKFLOWS["ci"]["jobs"]["lowest"]["steps"]


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_a_workflow_has_no_permission_by_default_and_no_job_without_an_end(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"].startswith(f"{name}-")
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 90
        assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])


def test_only_a_tag_publishes() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["publish"]["if"] == TAG
    assert jobs["build"]["permissions"] == {"contents": "read"}
    for step in jobs["image"]["steps"]:
        words = str(step.get("run", "")) + str(step.get("uses", ""))
        assert step.get("if") == (TAG if re.search("login|cosign", words) else None), step
    (image,) = [step for step in jobs["image"]["steps"] if step.get("id") == "image"]
    assert image["env"]["PUSH"].startswith(f"${{{{ {TAG} && ")
    assert jobs["publish"]["needs"] == ["build", "image"]


@pytest.mark.parametrize(
    ("tag", "said"),
    [("v9.9.9", f"the tag is v9.9.9, but the version is {__version__}"), (__version__, f"tag v{__version__}")],
)
def test_a_tag_that_is_not_the_version_ends_before_anything_is_built(tag: str, said: str, tmp_path: Path) -> None:
    env = {**os.environ, "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": tag}
    found = subprocess.run(
        ["bash", "tools/release.sh", str(tmp_path / "dist")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert said in found.stderr
    assert not (tmp_path / "dist").exists()


def test_no_link_to_a_directory_pushes_the_directory_out_of_the_sdist() -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="hatchling is not installed")
    packed = {each.distribution_path for each in sdist.SdistBuilder(str(ROOT)).recurse_included_files()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=800
    ).stdout.split("\n")
    files = {each for each in tracked if each and (ROOT / each).is_file() and "/." not in f"/{each}"}
    assert files - packed == set()


def test_the_chart_in_the_sdist_is_whole_without_links() -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="hatchling is not installed")
    packed = {each.distribution_path for each in sdist.SdistBuilder(str(ROOT)).recurse_included_files()}
    chart = ROOT / "deploy" / "helm"
    links = [each for each in (chart / "files").iterdir() if each.is_dir()]
    expected = {f"{link.relative_to(ROOT)}/{each.relative_to(link)}" for link in links for each in link.rglob("*.*")}
    expected |= {str(each.relative_to(ROOT)) for each in chart.rglob("*") if each.is_file()}
    assert len(expected) > 30
    assert expected - packed == set()

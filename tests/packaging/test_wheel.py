# SPDX-License-Identifier: Apache-2.0
"""What people install: sdist and wheel hold everything, and run from a folder that has no checkout near it.

Opt-in, since it installs from a package index: CI=true or PACKAGING=1.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from openai_exporter import __version__
from openai_exporter.cli.main import COMMANDS
from openai_exporter.cli.rules import PARTS, part_files
from tests.deadlines import stop
from tests.stack.programs import wait_for

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (os.environ.get("PACKAGING") or os.environ.get("CI")),
    reason="opt-in: PACKAGING=1 builds sdist and wheel and installs them in an empty virtual environment",
)


@dataclass(frozen=True, slots=True)
class Built:
    """The two files that a release has."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist, and the wheel from the sdist, as pip would."""
    folder = tmp_path_factory.mktemp("dist")
    pytest.importorskip("build", reason="build is not installed (make setup)")
    found = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if found.returncode and "Could not find a version that satisfies" in found.stdout + found.stderr:
        pytest.skip("no package index can be reached for hatchling")
    assert found.returncode == 0, found.stdout + found.stderr
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel)


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel and what it depends on, and a folder to work in."""

    python: Path
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command, away from the checkout and without its environment."""
        return subprocess.run(
            [self.command, *arguments],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    @property
    def command(self) -> Path:
        return self.python.with_name("openai-exporter")

    @property
    def env(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel alone into an empty environment, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a folder") / "with a space"
    folder.mkdir()
    venv.create(folder / "environment")
    python = folder / "environment/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    pip += ["install", "--quiet", str(built.wheel)]
    found = subprocess.run(pip, capture_output=True, text=True, timeout=600, cwd=folder)
    if found.returncode and "Could not find a version that satisfies" in found.stderr:
        pytest.skip("no package index can be reached for the dependencies")
    assert found.returncode == 0, found.stderr
    return Installed(python, folder)


def test_the_wheel_holds_the_package_and_the_whole_bundle(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    for path in part_files(ROOT, tuple(PARTS), ()):
        assert f"openai_exporter/_bundle/{path}" in names
    packages = {"openai_exporter", "openai_simulator"}
    source = ROOT / "exporter"
    for file in (file for package in packages for file in (source / package).rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file.relative_to(source).as_posix() in names
    assert {f"{package}/py.typed" for package in packages} <= names
    assert {name.partition("/")[0] for name in names} == {*packages, f"openai_exporter-{__version__}.dist-info"}


def test_the_sdist_holds_what_it_takes_to_build_test_and_read_it(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    # Folders of secrets and settings stay out as a whole, and the files that keep them in git with them.
    # What the links of the Helm chart lead to is in their place.
    lines = [line for line in tracked.stdout.splitlines() if not (ROOT / line).is_symlink()]
    wanted = {line for line in lines if not Path(line).name.startswith(".")}
    assert {name for name in wanted - names if not name.startswith(".")} == set()
    assert not [name for name in names if name.startswith((".venv/", ".demo/", ".env/"))]
    assert ".env" not in names


EXPLAIN = """
import sys
from click.testing import CliRunner
from openai_exporter.cli.main import main
for name in sys.argv[1:]:
    print(name, CliRunner().invoke(main, [name, "--help"]).exit_code)
"""


def test_the_installed_command_knows_its_version_and_explains_itself(installed: Installed) -> None:
    found = installed.run("--version")
    assert (found.returncode, found.stdout.split(" (")[0]) == (0, f"openai-exporter {__version__}")
    explained = subprocess.run(
        [installed.python, "-c", EXPLAIN, *COMMANDS], cwd=installed.folder, env=installed.env,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert explained.stdout.splitlines() == [f"{name} 0" for name in COMMANDS], explained.stderr


def test_the_bundle_comes_out_as_it_is_in_the_checkout(installed: Installed) -> None:
    found = installed.run("bundle", "my monitoring")
    assert found.returncode == 0, found.stderr
    shipped = [path.relative_to(ROOT).as_posix() for path in (ROOT / "prometheus" / "rules").glob("*.yml")]
    shipped += [path.relative_to(ROOT).as_posix() for path in (ROOT / "dashboards" / "generated").glob("*.json")]
    for path in (*shipped, "alerting/settings.yml", "alerting/alertmanager/alertmanager.yml"):
        assert (installed.folder / "my monitoring" / path).read_bytes() == (ROOT / path).read_bytes(), path
    settings = installed.folder / "my monitoring" / "alerting" / "settings.yml"
    settings.write_text(
        "channels: {slack: {api_url_file: /run/secrets/slack, channel: '#openai'}}\n"
        "slo: {availability: {objectives: [{objective: 99.9%}]}}\nlinks: {grafana: 'https://g.example.org'}\n"
    )
    compiled = installed.run("bundle", "my monitoring")
    assert compiled.returncode == 0, compiled.stderr
    texts = {
        "alerting/alertmanager/alertmanager.yml": "#openai",
        "prometheus/rules/recording-slo.yml": "+ 0.999",
        "prometheus/rules/alerts-availability.yml": "dashboard_url: https://g.example.org/d/",
    }
    for name, text in texts.items():
        assert text in (installed.folder / "my monitoring" / name).read_text(), name
    checked = installed.run("rules", "check", "--thresholds", "my monitoring/alerting/thresholds.yml",
                            "--rules-dir", "my monitoring/alerting/rules.d")  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_the_demo_runs_with_the_packaged_rules(installed: Installed) -> None:
    said = installed.folder / "demo.txt"
    argv = [str(installed.command), "demo", "--history-days", "0", "--data-dir", "demo data"]
    with said.open("w") as out:
        demo = subprocess.Popen(argv, cwd=installed.folder, env=installed.env, stdout=out, stderr=out)
    try:
        wait_for(lambda: " up=11/11 " in said.read_text(), 180, lambda: f"targets answer: {said.read_text()}")
    finally:
        stop(demo)
    assert demo.returncode == 0, said.read_text()
    assert "simulator" in said.read_text()
    config = installed.folder / "demo data" / "prometheus.yml"
    if not config.is_file():
        pytest.skip("Prometheus is not installed: the demo ran without it")
    assert "_bundle/prometheus/rules/recording-slo.yml" in config.read_text()
    assert "demo --bundle-dir DIR" in said.read_text(), "nobody is told to edit an installed package"


def test_types_reach_those_who_import_it(installed: Installed) -> None:
    code = "from importlib.resources import files; print(files('openai_exporter').joinpath('py.typed').is_file())"
    found = subprocess.run(
        [installed.python, "-c", code], capture_output=True, text=True, cwd=installed.folder, timeout=600
    )
    assert found.stdout == "True\n", found.stderr

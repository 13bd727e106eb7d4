# SPDX-License-Identifier: Apache-2.0
"""The commands of the Compose guide on a real engine, in a new copy in a folder with a space in its name."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import shell_blocks
from tests.stack.engine.compose import NO_HISTORY
from tests.stack.engine.engine import ROOT, Engine
from tests.stack.programs import environment

pytestmark = [pytest.mark.stack, pytest.mark.engine]

MARK = f"tested-by: {Path(__file__).relative_to(ROOT).as_posix()}"
GUIDES = ("docs/compose.md", "deploy/compose/secrets/README.md")
BLOCKS = [block.text for guide in GUIDES for block in shell_blocks((ROOT / guide).read_text()) if block.mark == MARK]


class Newcomer:
    """A person with a shell in the folder of a new copy, on the machine of the engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        path = f"{Path(engine.docker_path).parent}:{os.environ['PATH']}"
        keys = {"OPENAI_API_KEY": "sk-newcomer", "OPENAI_ADMIN_KEY": "sk-admin-newcomer"}
        self.env = environment(**{**engine.env, **keys, "PATH": path})

    def types(self, commands: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script; both outputs are in `stdout`."""
        return self.engine.there(self._run, commands, {**self.env, **more})

    def _run(self, commands: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail"], input=commands, cwd=self.folder, env=env, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=800,
        )  # fmt: skip


@pytest.fixture(scope="module")
def newcomer(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    if not engine.private:
        pytest.skip("the commands as they stand would take the ports and the project name of this machine's engine")
    folder = tmp_path_factory.mktemp("a new") / "openai exporter"
    left_out = shutil.ignore_patterns(".*cache*", ".venv", ".git", ".demo", ".env", "bench", "tests")
    shutil.copytree(ROOT, folder, ignore=left_out)
    for key in (folder / "deploy" / "compose" / "secrets" / "exporter").glob("openai_*"):
        key.unlink()
    # test_compose_engine.py imports the past of a demo; here it would take most of the time.
    (folder / "docker-compose.override.yml").write_text(yaml.safe_dump({"services": dict(NO_HISTORY)}))
    found = Newcomer(engine, folder)
    try:
        yield found
    finally:
        found.types("docker compose --profile '*' down --volumes --timeout 2")


def test_the_commands_of_the_guide_run_one_after_the_other(newcomer: Newcomer) -> None:
    assert len(BLOCKS) >= 6
    for commands in BLOCKS:
        found = newcomer.types(commands)
        assert found.returncode == 0, f"{commands}\n{found.stdout}"


def test_make_up_says_where_things_are_and_make_down_keeps_the_data(newcomer: Newcomer) -> None:
    up = newcomer.types("make up")
    running = "docker compose ps --quiet --status running"
    before = newcomer.types(running).stdout
    broken = newcomer.types(
        "cp alerting/thresholds.yml kept.yml; echo 'thresholds: [{name: a}]' > alerting/thresholds.yml\n"
        "status=0; make up || status=$?; mv kept.yml alerting/thresholds.yml; exit $status"
    )
    after = newcomer.types(running).stdout
    password = newcomer.types("docker compose exec -T grafana cat /stack/grafana/admin_password").stdout
    down = newcomer.types("make down")
    kept = newcomer.types("docker volume ls --quiet").stdout.split()

    assert (0, 0) == (up.returncode, down.returncode), up.stdout + down.stdout
    assert "open: http://localhost:3000 Grafana" in up.stdout
    assert broken.returncode != 0
    assert "prepare: alerting/thresholds.yml:1: thresholds[0].metric: is missing" in broken.stdout
    assert len(before.split()) == 4
    assert before == after
    assert password not in up.stdout
    assert {"openaiexporter_prometheus-data", "openaiexporter_grafana-password"} <= set(kept)
    assert newcomer.types("docker compose ps --all --quiet").stdout == ""


def test_a_port_that_is_taken_is_told_with_its_number_and_the_variable(newcomer: Newcomer) -> None:
    found = newcomer.types(
        'exec 3< <(exec python3 -uc \'import socket, time; s = socket.create_server(("127.0.0.1", 3000));'
        'print("taken"); time.sleep(900)\')\n'
        "read -t 60 -u 3; status=0; make up || status=$?; kill $!; exit $status"
    )
    newcomer.types("make down")

    assert found.returncode != 0
    assert "127.0.0.1:3000" in found.stdout
    assert "GRAFANA_PORT" in found.stdout

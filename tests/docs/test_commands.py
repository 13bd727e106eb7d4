# SPDX-License-Identifier: Apache-2.0
"""Every command in the documents runs, or says why not; what is not run is at least well formed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from openai_exporter.cli.main import main
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.docs.documents import ALL, ROOT
from tests.docs.markdown import Commands, shell_blocks
from tests.stack.programs import KEYS

BLOCKS = [(path, block) for path in ALL for block in shell_blocks(path.read_text(encoding="utf-8"))]
RUN = sorted({path for path, block in BLOCKS if not block.mark})
SIMULATOR = "http://127.0.0.1:8085"
"""Where the documents say that the simulator is."""


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


@pytest.mark.parametrize(
    ("path", "block"), [pytest.param(*each, id=f"{place(each[0])}-{number}") for number, each in enumerate(BLOCKS)]
)
def test_a_block_of_commands_is_run_or_says_why_not(path: Path, block: Commands) -> None:
    if block.mark.startswith("tested-by: "):
        test = (ROOT / block.mark.removeprefix("tested-by: ")).read_text(encoding="utf-8")
        assert "shell_blocks(" in test, "that test takes no commands from a document"
        assert path.name in test
    elif block.mark:
        assert re.fullmatch(r"not-run: .{8,}", block.mark), block.mark
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("path", RUN, ids=place)
def test_the_commands_of_a_document_run_one_after_the_other(
    path: Path, tmp_path: Path, simulator: SimulatorControl
) -> None:
    text = "".join(block.text for each, block in BLOCKS if each == path and not block.mark)
    for program in sorted(set(re.findall(r"^(?:.*\| *)?([a-z][\w.-]+) ", text, re.MULTILINE)) - {"openai-exporter"}):
        if program in ("promtool", "amtool", "curl", "jsonnet") and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed, which {place(path)} uses")
    folder = tmp_path / "a folder"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **KEYS,
        "OPENAI_ADMIN_KEY_WRITE": "sk-admin-of-the-documents",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "OPENAI_BASE_URL": simulator.api_url,
    }
    found = subprocess.run(
        ["bash", "-euo", "pipefail"], input=text.replace(SIMULATOR, simulator.base_url), cwd=folder, env=env,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    simulator.clear()
    assert found.returncode == 0, found.stdout + found.stderr


def invocations() -> Iterator[tuple[str, list[str]]]:
    """(document, words) of every call of the command in any block, run or not, and in inline code."""
    for path in ALL:
        text = path.read_text(encoding="utf-8")
        joined = "\n".join(block.text for block in shell_blocks(text)).replace("\\\n", " ")
        lines = [*joined.splitlines(), *re.findall(r"`(openai-exporter [^`\n]+)`", text)]
        for line in lines:
            called = re.match(r"(?:\$ |source <\()?(?:\S*/)?openai-exporter(?= |$)(?! *=)(.*)", line.strip())
            if called:
                try:
                    yield place(path), shlex.split(called[1], comments=True)
                except ValueError:
                    continue


def refused(words: list[str]) -> str | None:
    """What the command line has to say about a call; placeholders such as FILE and [flags] are taken as they are."""
    words = [each.rstrip(")") for each in words if each not in ("&", "[flags]", "...")]
    words = words[: next((at for at, each in enumerate(words) if each in (">", "|", "&&", "<")), len(words))]
    name = words[0] if words and not words[0].startswith("-") else "serve"
    rest = words[1:] if words and not words[0].startswith("-") else words
    command = main.get_command(click.Context(main), name)
    if command is None:
        return None if "|" in name else f"no command {name}"
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return None if "|" in rest[0] else f"no command {rest[0]}"
        command, rest = found, rest[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    given = [each.partition("=")[0] for each in rest if each.startswith("--")]
    wrong = [each for each in given if each not in {*known, "--help", "--version"}]
    return f"{name} has no flag {wrong[0]}" if wrong else None


def test_every_call_of_the_command_names_commands_and_flags_that_exist() -> None:
    calls = list(invocations())
    assert len(calls) > 20
    assert [(path, found) for path, words in calls if (found := refused(words))] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("prob --target a", "no command prob"),
        ("probe --targt a", "probe has no flag --targt"),
        ("--config.fil=x", "serve has no flag --config.fil"),
        ("rules biuld", "no command biuld"),
        ("rules check --thresholsd x", "rules has no flag --thresholsd"),
        ("probe --target a > file", None),
    ],
)
def test_a_wrong_call_is_caught(words: str, said: str | None) -> None:
    assert refused(words.split()) == said


def test_unmarked_and_badly_marked_blocks_are_told_apart() -> None:
    text = "```sh\na\n```\n```sh not-run: needs a key\nb\n```\n```yaml\nc: d\n```\n"
    assert list(shell_blocks(text)) == [Commands("", "a\n"), Commands("not-run: needs a key", "b\n")]

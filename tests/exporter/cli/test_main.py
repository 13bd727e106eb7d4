# SPDX-License-Identifier: Apache-2.0
"""Help, usage errors, and the completion of commands and flags."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from openai_exporter import __version__
from openai_exporter.cli.main import COMMANDS, main
from tests.exporter.cli.commands import cli
from tests.exporter.web.exporters import run_cli


def test_version() -> None:
    found = cli("--version")
    assert (found.status, found.out.split(" (")[0]) == (0, f"openai-exporter {__version__}")


def test_help_lists_every_command_with_examples() -> None:
    found = cli("--help")
    assert found.status == 0
    for name in ("serve", "check", "probe", "simulate", "demo", "schema", "metrics"):
        assert f"  {name} " in found.out
    for text in ("OPENAI_API_KEY=... OPENAI_ADMIN_KEY=... openai-exporter", "http_sd_configs"):
        assert text in found.out


def every_command(command: click.Command, name: str) -> Iterator[tuple[str, ...]]:
    """A command and all below it, as they are typed."""
    yield tuple(name.split())
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from every_command(found, f"{name} {below}")


def test_the_help_of_every_command_fits_in_eighty_columns() -> None:
    commands = list(every_command(main, ""))
    wide = [
        (" ".join(words), line)
        for words in commands
        for line in CliRunner().invoke(main, [*words, "--help"], terminal_width=80).output.splitlines()
        if len(line) > 80
    ]
    assert len(commands) > 20
    assert wide == []


@pytest.mark.parametrize("name", ["serve", "check", "probe", "simulate", "schema", "metrics"])
def test_each_command_explains_itself(name: str) -> None:
    found = cli(name, "--help")
    assert (found.status, found.err) == (0, "")
    assert f"openai_exporter {name}" in found.out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["--config.fil=x"], "No such option '--config.fil'"),
        (["serve", "--log.level=loud"], "'loud' is not one of 'debug', 'info', 'warn', 'error'"),
        (["serve", "--web.max-requests=0"], "0 is not in the range x>=1"),
        (["serve", "--web.external-url=example.org"], "'example.org' is not a URL such as https://"),
        (["serve", "--timeout-offset=-1"], "-1.0 is not in the range x>=0"),
        (["serve", "--timeout-offset=nan"], "nan is not a finite number"),
        (["probe", "--timeout=nan"], "nan is not a finite number"),
        (["demo", "--seconds=inf"], "inf is not a finite number"),
        (["simulate", "--speed=nan"], "nan is not a finite number"),
        (["simulate", "--late-seconds=inf"], "inf is not a finite number"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(arguments: list[str], message: str) -> None:
    found = cli(*arguments)
    assert found.status == 2
    assert message in " ".join(found.err.split())
    assert "Traceback" not in found.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["metrics", "schema", "completion bash", "--version", "report --help"])
def test_output_that_cannot_be_written_is_one_sentence(command: str, unbuffered: str) -> None:
    argv = [str(Path(sys.executable).with_name("openai-exporter")), *command.split()]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=env)
    assert (found.returncode, found.stderr) == (1, "Error: the output cannot be written: No space left on device\n")


MISTYPED = {
    "limts": "'limits'", "reprt": "'report'", "simulat": "'simulate'", "limits frezee": "'freeze'",
    "rules chek": "'check'", "--log.levl=info": "'--log.level'", "check --spend-limit": "'--spend-limits'",
    "limits set --spend-limt=5": "'--spend-limit'", "simulate --sped=3": "'--speed'",
}  # fmt: skip


@pytest.mark.parametrize(("words", "meant"), MISTYPED.items(), ids=MISTYPED)
def test_what_is_mistyped_is_answered_with_what_is_near(words: str, meant: str) -> None:
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 2
    assert "Did you mean" in result.output
    assert meant in result.output.partition("Did you mean")[2]


def test_a_simulator_refuses_more_streams_than_keys_can_have() -> None:
    found = cli("simulate", "--keys=1", "--streams=31", "--listen-address=127.0.0.1:0")
    assert found.status == 2
    assert "--streams: 31 is not within 0 and 30" in found.err


def answer(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    program = Path(sys.executable).with_name("openai-exporter")
    assert program.is_file(), "the package is not installed beside this interpreter"
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_OPENAI_EXPORTER_COMPLETE": "bash_complete"}
    found = subprocess.run([program], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=True)
    return [each.partition(",")[2] for each in found.stdout.split()]


def test_commands_are_completed() -> None:
    assert answer("openai-exporter ") == list(COMMANDS)
    assert answer("openai-exporter pr") == ["probe"]


def test_flags_and_choices_are_completed() -> None:
    assert answer("openai-exporter serve --web.c") == ["--web.config.file"]
    assert answer("openai-exporter bundle --only k") == ["kubernetes"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_accepts_its_script(shell: str) -> None:
    process = run_cli("completion", shell)
    script, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "_OPENAI_EXPORTER_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is not parsed (Debian: apt-get install {shell})")
    subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=30)


def test_an_unknown_shell_is_answered_with_those_there_are() -> None:
    process = run_cli("completion", "tcsh")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in error


def test_the_help_begins_with_the_version() -> None:
    assert CliRunner().invoke(main, ["--help"]).output.startswith(f"openai-exporter {__version__}\n")

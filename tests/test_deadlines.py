# SPDX-License-Identifier: Apache-2.0
"""No test waits for ever: what waits for a program has a deadline, and the deadlines work."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import at_most, next_line, stop

ROOT = Path(__file__).parent
WAITS = {"wait", "communicate", "join", "result", "accept"}
RUNS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
FORKS = {"os.fork", "os.forkpty", "pty.fork"}
"""Of a process with threads: the child may wait for ever for a lock that one of them held."""


def endless(tree: ast.AST, guarded: bool = False) -> Iterator[str]:
    """Calls that may wait for ever, with their lines; what asyncio waits for ends with the test's own limit."""
    if isinstance(tree, ast.Await):
        return
    if isinstance(tree, ast.With):
        guarded = guarded or any(ast.unparse(each.context_expr).startswith("at_most(") for each in tree.items)
    if isinstance(tree, ast.Call) and may_wait(tree, guarded):
        yield f"{tree.lineno}: {ast.unparse(tree)}"
    for child in ast.iter_child_nodes(tree):
        yield from endless(child, guarded)


def may_wait(call: ast.Call, guarded: bool) -> bool:
    given = {each.arg for each in call.keywords}
    match call.func:
        case ast.Attribute(ast.Name(module), method):
            name = f"{module}.{method}"
        case ast.Attribute(_, method):
            name = ""
        case _:
            name = method = ""
    if name in FORKS or "preexec_fn" in given:
        return True
    if name in RUNS:
        return "timeout" not in given
    return not guarded and (method == "readline" or (method in WAITS and not call.args and not given))


def test_what_a_test_waits_for_has_a_deadline() -> None:
    files = [path for path in ROOT.rglob("*.py") if "doubles" not in path.parts]
    found = {path.relative_to(ROOT).as_posix(): list(endless(ast.parse(path.read_text()))) for path in files}
    allowed = {"deadlines.py", "exporter/client/test_connection.py"}  # within a deadline of their own
    assert {name: lines for name, lines in found.items() if lines and name not in allowed} == {}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("subprocess.run(['a'])", True),
        ("subprocess.run(['a'], timeout=5)", False),
        ("process.wait()", True),
        ("process.wait(5)", False),
        ("process.communicate('x', timeout=5)", False),
        ("out.readline()", True),
        ("with at_most(process):\n    out.readline()", False),
        ("async def f():\n    await event.wait()", False),
        ("pty.fork()", True),
        ("subprocess.Popen(['a'], preexec_fn=f)", True),
        ("', '.join(names)", False),
    ],
)
def test_a_wait_without_a_deadline_is_found(code: str, expected: bool) -> None:
    assert bool(list(endless(ast.parse(code)))) is expected


SILENT = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"


def test_a_program_that_says_nothing_fails_the_test_that_reads() -> None:
    start = time.monotonic()
    with (
        subprocess.Popen(SILENT, stdout=subprocess.PIPE, text=True) as process,
        pytest.raises(AssertionError, match=r"killed after 0\.1 s"),
    ):
        next_line(process, 0.1)
    assert time.monotonic() - start < 60


def test_a_program_that_ignores_sigterm_fails_the_test_and_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as process:
        assert next_line(process) == "ready\n"
        with pytest.raises(AssertionError, match="SIGTERM did not end it"):
            stop(process, 0.1)
    assert process.returncode == -9


def test_what_ends_in_time_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "print('a')"], stdout=subprocess.PIPE, text=True) as process:
        with at_most(process):
            assert next_line(process) == "a\n"
        stop(process)

# SPDX-License-Identifier: Apache-2.0
"""Settings that every test shares; fixtures of one package stand in its own folder."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.selection import ByFile, longest_first, starts_program

settings.register_profile("full", derandomize=True, max_examples=40, deadline=None, database=None, print_blob=True)
settings.register_profile("quick", parent=settings.get_profile("full"), max_examples=10)
settings.register_profile("dev", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("dev"), max_examples=5000)

Sections = dict[str, list[str]]
SECTIONS = pytest.StashKey[Sections]()
"""What tests report at the end of a run, by title."""
Note = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only tests that start no program, few examples")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SECTIONS] = {}
    # A shell's background job ignores Ctrl-C, and every program that a test interrupts would, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["OPENAI_EXPORTER_STORAGE_PATH"] = ""  # a test that keeps state names a folder of its own
    quick = config.getoption("--quick")
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick" if quick else "full"))
    if quick:
        sys.addaudithook(_refuse_programs)


def _refuse_programs(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.skip(f"starts {Path(arguments[0]).name}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts a program, put it first, and leave it out of a quick run."""
    for item in items:
        if starts_program(item):
            item.add_marker("program")
    if config.getoption("--quick"):
        left_out = [item for item in items if item.get_closest_marker("program")]
        items[:] = [item for item in items if not item.get_closest_marker("program")]
        config.hook.pytest_deselected(items=left_out)
    ranks: dict[str, int] = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        ranks[file] = min(longest_first(item), ranks.get(file, longest_first(item)))
    items.sort(key=lambda item: ranks[item.nodeid.partition("::")[0]])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """With several processes: files in the order of collection, each as a whole."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def note(pytestconfig: pytest.Config) -> Note:
    """`note(title, line)` prints a line under a title at the end of the run."""
    return lambda title, line: pytestconfig.stash[SECTIONS].setdefault(title, []).append(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that ran some of the tests hands over what they noted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["sections"] = session.config.stash[SECTIONS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for title, lines in getattr(node, "workeroutput", {}).get("sections", {}).items():
        node.config.stash[SECTIONS].setdefault(title, []).extend(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for title, lines in config.stash[SECTIONS].items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True, scope="session")
def _no_keys_of_the_developer() -> Iterator[None]:
    """No test sees, or spends, a key that happens to be set where the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            patch.delenv(name, raising=False)
        yield

# SPDX-License-Identifier: Apache-2.0
"""tests/selection.py: what starts a program is found, however far from the test, and nothing else is."""

import subprocess
from collections.abc import Callable

import pytest

from openai_simulator import testing
from openai_simulator.testing import running_simulator
from tests import selection
from tests.docs import markdown
from tests.exporter.demo.terminal import Terminal
from tests.mixin import bundle


def directly() -> None:
    subprocess.run(["true"], check=True, timeout=600)


def by_a_helper() -> None:
    directly()


def in_a_function_within() -> Callable[[], None]:
    return lambda: by_a_helper()


def by_the_simulator() -> None:
    with running_simulator():
        pass


def by_a_module() -> None:
    bundle.run("true")


def by_a_package() -> None:
    testing.running_simulator()


def by_a_class() -> None:
    Terminal([], bundle.ROOT, {})


def by_nothing(times: int = 0) -> None:
    assert markdown.prose("a") == "a"
    if times:
        by_nothing(times - 1)


@pytest.mark.parametrize(
    "function", [directly, by_a_helper, in_a_function_within, by_the_simulator, by_a_module, by_a_package, by_a_class]
)
def test_a_program_is_found_however_far_away(function: Callable[[], object]) -> None:
    assert selection.reaches_starter(function)


def test_what_only_computes_starts_none() -> None:
    assert not selection.reaches_starter(by_nothing)


@pytest.fixture(scope="module")
def simulator() -> None:
    by_the_simulator.__doc__ = "named, never called"


def test_a_test_is_marked_for_its_fixture(request: pytest.FixtureRequest, simulator: None) -> None:
    assert request.node.get_closest_marker("program")


def test_this_test_runs_in_a_quick_run(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("program")


def test_files_on_an_engine_follow_each_other_and_others_do_not() -> None:
    assert selection.is_on_engine("tests/stack/test_compose_engine.py")
    assert not selection.is_on_engine("tests/stack/test_demo.py")

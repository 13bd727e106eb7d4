# SPDX-License-Identifier: Apache-2.0
"""Which tests start a program, found from their code so that nobody marks them, and which tests share a process."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STARTERS = {
    "subprocess",
    "multiprocessing",
    "ProcessPoolExecutor",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "fork",
    "forkpty",
}
"""Names with which code starts a program."""
OURS = ("tests.", "bench.", "openai_simulator.testing")
"""Modules whose functions are read when a test calls them."""
_ROOT = Path(__file__).resolve().parents[1]


def starts_program(item: pytest.Item) -> bool:
    """Whether a test, one of its fixtures, or a helper of those in `OURS` names a starter, or a marker says so."""
    if any(item.get_closest_marker(name) for name in ("program", "stack", "engine", "compat")):
        return True
    assert isinstance(item, pytest.Function)
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(each.func for found in fixtures for each in found)]
    return any(reaches_starter(function) for function in functions)


@cache
def reaches_starter(function: Callable[..., Any]) -> bool:
    """Whether a function, or one that it calls, names a starter."""
    seen: set[object] = set()
    waiting = [function]
    while waiting:
        current = inspect.unwrap(waiting.pop())
        if current in seen or not hasattr(current, "__code__"):
            continue
        seen.add(current)
        names = set(_names(current.__code__))
        if names & STARTERS:
            return True
        waiting += _called(names, current.__globals__)
    return False


def _names(code: CodeType) -> Iterator[str]:
    """Every global and attribute that code names, also in functions within."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _called(names: set[str], scope: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """The functions and methods in `OURS` behind the names, those of imported modules too."""
    for name in names & scope.keys():
        found = scope[name]
        inside = vars(found) if isinstance(found, ModuleType) and found.__name__.startswith(OURS) else {}
        for value in (found, *(inside[each] for each in names & inside.keys())):
            if getattr(value, "__module__", "").startswith(OURS):
                members = vars(value).values() if inspect.isclass(value) else ()
                yield from (each for each in (value, *map(_function, members)) if callable(each))


def _function(member: Any) -> Any:
    """The function of a property, a class method or a static method."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def longest_first(item: pytest.Item) -> int:
    """Rank of a test: what waits on real programs starts first, beside it runs what only computes."""
    found = [item.get_closest_marker(name) is not None for name in ("engine", "stack", "program")]
    return found.index(True) if True in found else len(found)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out whole files, so that the servers of a module start once; files on a Docker engine follow each other."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "engine" if is_on_engine(file) else file


@cache
def is_on_engine(file: str) -> bool:
    return "pytest.mark.engine" in (_ROOT / file).read_text(encoding="utf-8")

# SPDX-License-Identifier: Apache-2.0
"""docs/contributing.md: what it names exists, its layers are those of the import contract, its two ways are real."""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

TEXT = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "exporter" / "openai_exporter"
WAYS = ("One scrape of a probe", "One usage bucket")


def steps(title: str) -> list[tuple[Path, set[str]]]:
    """The numbered lines below a heading: the file that each begins with, and the names in it."""
    section = TEXT.partition(f"### {title}\n")[2].partition("\n#")[0]
    found = re.findall(r"^\d+\. `([\w/]+\.py)` (.*)$", section, re.MULTILINE)
    return [(PACKAGE / path, set(re.findall(r"`(\w+)`", words))) for path, words in found]


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def imported(path: Path) -> set[str]:
    """Every module that a file may import, names of a `from` import among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def names(path: Path) -> tuple[set[str], set[str]]:
    """What a file defines, and what it calls."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {node.name for node in nodes if isinstance(node, kinds)}
    called = {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    return defined, called


def connected(one: tuple[Path, set[str]], other: tuple[Path, set[str]]) -> bool:
    """Whether one of two files imports the other, or calls a function of it that the document names."""
    for (path, named), (further, also) in ((one, other), (other, one)):
        (defined, _), (_, called) = names(path), names(further)
        if module(path) in imported(further) or defined & called & (named | also):
            return True
    return False


@pytest.mark.parametrize("title", WAYS)
def test_each_file_of_a_way_leads_to_the_next(title: str) -> None:
    way = steps(title)
    gaps = [f"{a[0].name} -> {b[0].name}" for a, b in pairwise(way) if not connected(a, b)]

    assert 10 <= len(way) <= 12
    assert gaps == []


@pytest.mark.parametrize("title", WAYS)
def test_each_line_of_a_way_begins_with_a_file(title: str) -> None:
    section = TEXT.partition(f"### {title}\n")[2].partition("\n#")[0]

    assert len(re.findall(r"^\d+\. ", section, re.MULTILINE)) == len(steps(title))


def test_files_that_have_nothing_to_do_with_each_other_are_no_way() -> None:
    assert not connected((PACKAGE / "cli" / "demo.py", set()), (PACKAGE / "usage" / "rows.py", set()))


def test_every_file_and_folder_that_is_named_exists() -> None:
    paths = set(re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.(?:py|sh|md|toml|libsonnet))`", TEXT))
    missing = [
        path for path in sorted(paths) if not any((root / path).exists() for root in (ROOT, PACKAGE, PACKAGE.parent))
    ]

    assert len(paths) > 25
    assert missing == []


def test_the_layers_are_those_of_the_import_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    expected = [layer.replace("openai_exporter.", "") for layer in contract["layers"]]
    rows = re.findall(
        r"^\| (\w+(?: \| \w+)*)(?:  .*)? \|", TEXT.partition("```text")[2].partition("```")[0], re.MULTILINE
    )

    assert expected == [row.strip() for row in rows]


def test_the_page_stays_short() -> None:
    lines = TEXT.splitlines()

    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 100] == []

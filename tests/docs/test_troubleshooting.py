# SPDX-License-Identifier: Apache-2.0
"""The messages that the guide explains are those that the program prints."""

import ast
import re
from functools import cache

import pytest

from .documents import ROOT

GUIDE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^### `([^`]+)`$", GUIDE, re.MULTILINE)
GAP = "…"


@cache
def texts() -> tuple[str, ...]:
    """Every text in the program's source, with GAP for what is filled in."""
    found: set[str] = set()
    for path in (ROOT / "exporter/openai_exporter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"%\(\w+\)[sdr]|%[sdr]", GAP, node.value))
            elif isinstance(node, ast.JoinedStr):
                found.add("".join(str(v.value) if isinstance(v, ast.Constant) else GAP for v in node.values))
    return tuple(found)


def is_printed(message: str) -> bool:
    """Whether every piece between gaps stands in one text of the source, in that order."""
    pieces = [piece.strip() for piece in message.split(GAP) if piece.strip()]
    pattern = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
    return any(pattern.search(text) for text in texts())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_guide_is_one_of_the_program(message: str) -> None:
    assert is_printed(message)


def test_the_guide_explains_messages() -> None:
    assert len(MESSAGES) > 10


def test_a_message_that_the_program_does_not_print_is_caught() -> None:
    assert is_printed("cannot be read: …; put the key there")
    assert not is_printed("cannot be read: …; put the keys there")

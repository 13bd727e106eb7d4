# SPDX-License-Identifier: Apache-2.0
"""Links, headings and fenced blocks of Markdown files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
SHELLS = {"sh", "bash", "shell", "console"}


@dataclass(frozen=True, slots=True)
class Commands:
    """A fenced block of shell commands.

    Attributes:
        mark: what stands after the language: empty (a test runs it), `not-run: reason` or `tested-by: path`.
    """

    mark: str
    text: str


def shell_blocks(text: str) -> Iterator[Commands]:
    """Every block of shell commands, in order."""
    yield from (Commands(match[2].strip(), match[3]) for match in _BLOCK.finditer(text) if match[1] in SHELLS)


def without_blocks(text: str) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", text)


def prose(text: str) -> str:
    """The text without code."""
    return _CODE.sub("", without_blocks(text))


def links(text: str) -> Iterator[str]:
    """The target of every link and image outside code."""
    kept = _FENCE.sub("", text)
    for match in _LINK.finditer(kept):
        yield match[1]


def anchors(text: str) -> set[str]:
    """What a link may name after `#`, as GitHub derives it from the headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = _NOT_IN_SLUG.sub("", plain.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def broken(file: Path, text: str) -> list[str]:
    """The links of a document that lead nowhere; addresses outside are only looked at, never called."""
    found = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[^\s<>\"]*)?", link):
                found.append(link)
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve()
        if path and not target.exists():
            found.append(link)
        elif anchor:
            there = target.read_text(encoding="utf-8") if path else text
            found += [link] if anchor not in anchors(there) else []
    return found

# SPDX-License-Identifier: Apache-2.0
"""Every link leads somewhere, every page says what it covers, and is found from the index."""

import re
from pathlib import Path

import pytest

from .documents import ALL, DOCUMENTS, ROOT
from .markdown import anchors, broken, links

GUIDES = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*/README.md")])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    assert broken(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", GUIDES, ids=name)
def test_a_guide_says_first_what_it_covers(path: Path) -> None:
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith(("#", "<!--"))
    ]
    assert re.match(r"[A-Z][a-z]", lines[0]), lines[0]
    assert not lines[0].startswith("For "), "say what the page covers, not whom it is for"


def test_every_guide_is_found_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index.read_text("utf-8"))}
    assert [name(path) for path in GUIDES if path != index and path not in listed] == []


def test_the_readme_and_its_index_are_among_the_documents() -> None:
    assert {"README.md", "docs/README.md", "exporter/README.md"} <= {name(path) for path in DOCUMENTS}


def test_broken_links_are_caught(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `heading`, with words\n")
    text = (
        "[a](other.md#a-heading-with-words) [b](other.md#heading) [c](gone.md) [d](http://example.org)\n"
        "![e](gone.png) [f](https://example.org/x#y) `[g](code.md)`\n```\n[h](code.md)\n```\n[i](#here)\n\n# Here\n"
    )
    found = broken(tmp_path / "page.md", text.replace("`[g](code.md)`", ""))
    assert found == ["other.md#heading", "gone.md", "http://example.org", "gone.png"]


def test_headings_become_the_anchors_of_github() -> None:
    text = "# One\n## `two`: the *second*\n## One\n```\n# no heading\n```\n### [Three](x.md) & four\n"
    assert anchors(text) == {"one", "two-the-second", "one-1", "three--four"}

# SPDX-License-Identifier: Apache-2.0
"""The README of the pages names them all, and its pictures exist, are small, and say what drew them."""

import re
from pathlib import Path

from tests.dashboards.pages import ROOT, pages

README = ROOT / "dashboards" / "README.md"
_MOST_BYTES = 300_000


def _pictures() -> list[tuple[str, Path]]:
    """Caption and file of each picture."""
    found = re.findall(r"!\[[^\]]*\]\(([^)]+)\)\n\*([^*]+)\*", README.read_text())
    return [(caption, (README.parent / path).resolve()) for path, caption in found]


def test_every_page_is_named_with_its_uid() -> None:
    text = README.read_text()

    assert [page.json["uid"] for page in pages() if f"`{page.json['uid']}`" not in text] == []


def test_pictures_exist_and_are_small() -> None:
    assert _pictures()
    assert [path.name for _, path in _pictures() if not 10_000 < path.stat().st_size < _MOST_BYTES] == []


def test_captions_say_what_drew_the_picture() -> None:
    assert all("Grafana 12.0 frontend" in caption and "made-up data" in caption for caption, _ in _pictures())

# SPDX-License-Identifier: Apache-2.0
"""What is kept, for how long, and over a restart."""

import json
from pathlib import Path

import pytest

from openai_exporter.errors import StartError
from openai_exporter.pagesink.page import Alert, Page
from openai_exporter.pagesink.store import Store


def page(title: str) -> Page:
    return Page(
        "webhook", "firing", "critical", title, "text", "page", (Alert("firing", {"alertname": title}),)
    )


def titles(store: Store) -> list[str]:
    return [each.title for each in store.pages()]


def test_pages_are_numbered_and_the_newest_comes_first() -> None:
    store = Store(keep=10, now=lambda: 42.0)

    kept = [store.add(page(title)) for title in "ab"]

    assert [(each.id, each.received) for each in kept] == [(1, 42.0), (2, 42.0)]
    assert titles(store) == ["b", "a"]


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "pages.jsonl"
    store = Store(keep=3, file=file)
    for number in range(20):
        store.add(page(str(number)))

    assert titles(store) == ["19", "18", "17"]
    lines = file.read_text().splitlines()
    assert 3 <= len(lines) <= 6
    assert json.loads(lines[-1])["title"] == "19"


def test_a_restart_keeps_pages_and_goes_on_counting(tmp_path: Path) -> None:
    file = tmp_path / "new" / "pages.jsonl"
    first = Store(keep=3, file=file)
    for title in "abcd":
        first.add(page(title))

    second = Store(keep=3, file=file)

    assert second.pages() == first.pages()
    assert second.add(page("e")).id == 5


def test_clearing_forgets_the_file_too(tmp_path: Path) -> None:
    file = tmp_path / "pages.jsonl"
    store = Store(keep=3, file=file)
    store.add(page("a"))

    assert store.clear() == 1
    assert store.pages() == ()
    assert Store(keep=3, file=file).pages() == ()
    assert store.add(page("b")).id == 2


@pytest.mark.parametrize("content", ["not json\n", '{"a": 1}\n', "3\n", '{"alerts": 3}\n'])
def test_a_file_of_something_else_is_not_touched(tmp_path: Path, content: str) -> None:
    file = tmp_path / "precious"
    file.write_text(content)

    with pytest.raises(StartError, match="holds something else than pages"):
        Store(keep=3, file=file)
    assert file.read_text() == content


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="name a file that can be written"):
        Store(keep=3, file=tmp_path / "file" / "pages")


def test_a_file_that_fails_later_loses_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    store = Store(keep=3, file=folder / "pages.jsonl")
    (folder / "pages.jsonl").unlink()
    folder.rmdir()

    store.add(page("a"))
    store.clear()
    store.add(page("b"))

    assert titles(store) == ["b"]
    assert "in memory only" in caplog.text

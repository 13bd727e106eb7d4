# SPDX-License-Identifier: Apache-2.0
"""The last pages, in memory and, if wanted, in a file of JSON lines that a restart reads back."""

import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from openai_exporter.errors import StartError
from openai_exporter.pagesink.page import Page, from_json

log = logging.getLogger(__name__)


class Store:
    """Pages in the order of arrival.

    Args:
        keep: how many are kept; the file holds at most twice as many.
        file: JSON lines, None for memory alone.
        now: Unix seconds.

    Raises:
        StartError: the file cannot be read or written.
    """

    def __init__(self, keep: int, file: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._pages: deque[Page] = deque(maxlen=keep)
        self._keep = keep
        self._file = file
        self._now = now
        self._next = 1
        self._lines = 0
        if file is not None:
            self._restore(file)

    def add(self, page: Page) -> Page:
        """Keep a page; returns it with its number and time."""
        kept = replace(page, id=self._next, received=self._now())
        self._next += 1
        self._pages.append(kept)
        if self._file is not None:
            self._record(self._file, kept)
        return kept

    def pages(self) -> tuple[Page, ...]:
        """All that are kept, newest first."""
        return tuple(reversed(self._pages))

    def clear(self) -> int:
        """Forget all, in the file too; returns how many there were. Numbers go on."""
        count = len(self._pages)
        self._pages.clear()
        if self._file is not None:
            self._rewrite(self._file)
        return count

    def _restore(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise StartError(
                f"--file {file}: {error.strerror or error}; name a file that can be written"
            ) from None
        self._lines = len(lines)
        for line in lines:
            try:
                self._pages.append(from_json(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                raise StartError(
                    f"--file {file}: holds something else than pages; name another file"
                ) from None
        self._next = max((page.id for page in self._pages), default=0) + 1

    def _record(self, file: Path, page: Page) -> None:
        if self._lines >= 2 * self._keep:
            self._rewrite(file)
            return
        try:
            with file.open("a", encoding="utf-8") as out:
                out.write(_line(page))
            self._lines += 1
        except OSError as error:
            log.warning("page kept in memory only: %s: %s", file, error.strerror or error)

    def _rewrite(self, file: Path) -> None:
        beside = file.with_name(f".{file.name}.new")
        try:
            beside.write_text("".join(_line(page) for page in self._pages), encoding="utf-8")
            beside.replace(file)
            self._lines = len(self._pages)
        except OSError as error:
            log.warning("pages kept in memory only: %s: %s", file, error.strerror or error)


def _line(page: Page) -> str:
    return json.dumps(page.as_json(), ensure_ascii=False) + "\n"

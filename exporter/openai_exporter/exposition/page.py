# SPDX-License-Identifier: Apache-2.0
"""A page that is encoded once and served often."""

import gzip
import threading
from collections.abc import Callable, Sequence

from openai_exporter.exposition.text import Family, encode


class EncodedPage:
    """Families and their encodings; each encoding is made at its first use and kept.

    Safe to use from several threads. `families` must not change after the page is made.

    Args:
        pause: called now and then while a long page is encoded, so that other threads get their turn.
    """

    def __init__(self, families: Sequence[Family], pause: Callable[[], None] | None = None) -> None:
        self.families = tuple(families)
        self._pause = pause
        self._bodies: dict[tuple[bool, bool], bytes] = {}
        self._lock = threading.Lock()

    def body(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes:
        """The page in one format, gzip-compressed when asked for."""
        with self._lock:
            return self._body(openmetrics, compressed)

    def made(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes | None:
        """The page in one format if it was asked for before; None when it would have to be encoded."""
        return self._bodies.get((openmetrics, compressed))

    def prepare(self, before: "EncodedPage") -> None:
        """Make the encodings that were asked of the page before, so that no scrape waits for them."""
        for openmetrics, compressed in tuple(before._bodies):
            self.body(openmetrics=openmetrics, compressed=compressed)

    def _body(self, openmetrics: bool, compressed: bool) -> bytes:
        found = self._bodies.get((openmetrics, compressed))
        if found is None:
            if compressed:
                found = gzip.compress(self._body(openmetrics, False), compresslevel=1, mtime=0)
            else:
                found = encode(self.families, openmetrics=openmetrics, pause=self._pause)
            self._bodies[openmetrics, compressed] = found
        return found

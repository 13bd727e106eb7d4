# SPDX-License-Identifier: Apache-2.0
"""Counters persisted over restarts: one locked file per organization, written atomically, checked when read.

Without it a restart computes the counters anew from the API, which is right as long as the API took nothing
back: a counter that fell would look like a reset. A file that is damaged, or of another API, is moved to another
name, never fatal.
One exporter at a time writes the file; another one reads it and takes over the writing when the first has ended.
"""

import json
import logging
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from openai_exporter import files
from openai_exporter.usage.ledger import Labels, PersistedUsage, Rows

log = logging.getLogger(__name__)

FORMAT = "openai-exporter usage counters"
VERSION = 1

READ, DAMAGED, WRITE = "read", "damaged", "write"
REASONS = (READ, DAMAGED, files.LOCKED, WRITE, files.NEWER)
"""Why figures were not read or not kept."""


T = TypeVar("T")
_HEAD = ("operation", "group_by", "columns", "month", "corrections", "closing", "closed_until")


class DamagedError(ValueError):
    """The file is not what was written."""


class OtherSourceError(ValueError):
    """The file is of another API than the one that is read now."""


@dataclass(eq=False)
class Storage:
    """The file of one organization.

    Attributes:
        pause: called for each line, so that other threads get their turn.
        source: root of the API that the figures are of; those of another are of no use.
        failed: called with the reason of each failure, one of `REASONS`.
        identity: which organization the figures are of, by where the API says it.
    """

    folder: Path
    organization: str
    pause: Callable[[], None]
    source: str = ""
    failed: Callable[[str], None] = lambda reason: None
    identity: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.folder / f"{self.organization}.usage.jsonl"
        self._lock = files.FileLock(self.folder / f"{self.organization}.usage.lock")
        self._complaint = ""

    def load(self) -> dict[str, PersistedUsage]:
        """Persisted figures by operation; nothing when there are none, or none that can be used."""
        try:
            if newer := files.newer_version(self.path, VERSION):
                self._complain(files.NEWER, newer)
                return {}
            with self.path.open(encoding="utf-8") as lines:
                return {usage.operation: usage for usage in _decoded(lines, self.source, self.identity)}
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.failed(READ)
            log.error("%s: cannot be read: %s; counters are rebuilt from the API", self.path, error.strerror)
        except OtherSourceError as error:
            self._set_aside(error, "other")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            self.failed(DAMAGED)
            self._set_aside(f"damaged ({error})", DAMAGED)
        return {}

    def save(self, usage: Iterable[PersistedUsage]) -> bool:
        """Replace the file; False when that failed, which is said once in the log."""
        try:
            lines = self._paused(_encoded(usage, self.source, self.identity))
            left = files.replace_state(self.path, self._lock, VERSION, lines)
        except OSError as error:
            self._complain(
                WRITE,
                f"cannot be written: {error.strerror or error}; after a restart, counters may look like a reset "
                "if the API corrects usage until then",
            )
            return False
        if left:
            self._complain(*left)
            return False
        if self._complaint:
            log.info("%s: counters are kept again", self.path)
        self._complaint = ""
        return True

    def release(self) -> None:
        """Let another one write the file."""
        self._lock.release()

    def _paused(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.pause()
            yield line

    def _complain(self, reason: str, message: str) -> None:
        self.failed(reason)
        if message != self._complaint:
            log.error("%s: %s", self.path, message)
        self._complaint = message

    def _set_aside(self, cause: object, kind: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.{kind}-{int(time.time())}")
        try:
            if not self._lock.acquire():
                log.error("%s: %s, and %s", self.path, cause, self._lock.occupied)
                return
            self.path.replace(aside)
        except OSError as failure:
            log.error("%s: %s, cannot be set aside: %s", self.path, cause, failure.strerror)
            return
        log.error("%s: %s; moved to %s, counters are rebuilt from the API", self.path, cause, aside.name)


def _encoded(usage: Iterable[PersistedUsage], source: str, identity: dict[str, str]) -> Iterator[str]:
    check = 0
    for value in _entries(usage, source, identity):
        line = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
        check = zlib.crc32(line.encode(), check)
        yield line
    yield json.dumps({"end": check}) + "\n"


def _entries(usage: Iterable[PersistedUsage], source: str, identity: dict[str, str]) -> Iterator[Any]:
    yield {"format": FORMAT, "version": VERSION, "source": source, "identity": identity}
    for each in usage:
        buckets = [[*span, *(b64encode(chunk).decode() for chunk in chunks)] for span, chunks in each.buckets.items()]
        owed = [[*span, *rows.items()] for span, rows in each.owed.items()]
        head = {name: getattr(each, name) for name in _HEAD}
        yield head | {"buckets": buckets, "owed": owed, "series": len(each.totals)}
        for labels, values in each.totals.items():
            reported = each.reported.get(labels, ())
            entry = [labels, values, 0 if reported == values else reported, int(labels in each.fresh)]
            yield entry[:2] if entry[2:] == [0, 0] else entry


def _decoded(lines: Iterable[str], source: str, identity: dict[str, str]) -> Iterator[PersistedUsage]:
    checked = _checked(iter(lines))
    head = next(checked, None)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DamagedError("it does not begin as this file does")
    if head.get("version") != VERSION:
        raise DamagedError(f"version {head.get('version')!r}, this program writes {VERSION}")
    if head.get("source", "") != source:
        raise OtherSourceError(f"is of base_url {head.get('source')!r}, and {source!r} is configured now")
    identity.update(head.get("identity", {}))
    for entry in checked:
        yield _operation(entry, checked)


def _checked(lines: Iterator[str]) -> Iterator[Any]:
    check = 0
    for line in lines:
        value = json.loads(line)
        if isinstance(value, dict) and "end" in value:
            if value["end"] != check or next(lines, None) is not None:
                raise DamagedError("the checksum differs")
            return
        check = zlib.crc32(line.encode(), check)
        yield value
    raise DamagedError("it ends too early")


def _operation(entry: dict[str, Any], rest: Iterator[Any]) -> PersistedUsage:
    group_by, columns = tuple(entry["group_by"]), tuple(entry["columns"])
    totals: Rows = {}
    reported: Rows = {}
    fresh: set[Labels] = set()
    for _ in range(entry["series"]):
        labels, values, said, new = (*next(rest), 0, 0)[:4]
        key = _tuple(labels, str, len(group_by))
        totals[key] = _tuple(values, int, len(columns))
        if said != []:
            reported[key] = _tuple(said, int, len(columns)) if said else totals[key]
        if new:
            fresh.add(key)
    corrections = _tuple(entry["corrections"], int, len(columns))
    operation, month = str(entry["operation"]), int(entry["month"])
    closing = entry.get("closing")
    closed = None if closing is None else _tuple(closing, int, len(closing))
    return PersistedUsage(
        operation, group_by, columns, month, corrections, totals, reported, frozenset(fresh), closed,
        int(entry.get("closed_until", 0)),
        {(start, end): tuple(map(b64decode, chunks)) for start, end, *chunks in entry.get("buckets", ())},
        {
            (start, end): {
                _tuple(labels, str, len(group_by)): _tuple(debt, int, len(columns)) for labels, debt in rows
            }
            for start, end, *rows in entry.get("owed", ())
        },
    )  # fmt: skip


def _tuple(values: list[Any], kind: type[T], width: int) -> tuple[T, ...]:
    if len(values) != width or not all(type(value) is kind for value in values):
        raise DamagedError(f"expected {width} {'labels' if kind is str else 'whole numbers'}")
    return tuple(values)

# SPDX-License-Identifier: Apache-2.0
"""The journal of changes: each is written down before it is sent, and again when its result is known."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from openai_exporter.config import mask_keys
from openai_exporter.errors import StartError
from openai_exporter.files import FileLock, private
from openai_exporter.limits.change import Change, words
from openai_exporter.limits.setting import Value
from openai_exporter.report.report import iso

Result = Literal["sent", "applied", "rejected", "not_applied", "changed", "unknown"]
"""`sent`: the program ended before it knew; `not_applied`: no answer, and the old value is still set; `changed`: no
answer, and neither is set; `unknown`: no answer, and what is set could not be read."""
OPEN: tuple[Result, ...] = ("sent", "unknown")
"""Results that are still to be found out."""
_VERSION = 1
_SENT = ("batch", "number", "time", "who", "command", "organization")
_SETTLED = ("result", "target", "value", "request_id", "message")
FILE = "limits.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A change and what became of it.

    Attributes:
        batch: number of the command that made it; `undo` takes it.
        number: its place in the batch, from 1.
        time: when it was sent, ISO 8601 in UTC.
        who: user and host.
        command: such as `set` or `freeze`.
        target: id of what was set; of a new spend alert only known afterwards.
        value: what the API says is set now.
        request_id: of the answer.
        message: why it failed.
    """

    batch: int
    number: int
    time: str
    who: str
    command: str
    organization: str
    change: Change
    result: Result = "sent"
    target: str = ""
    value: Value | None = None
    request_id: str = ""
    message: str = ""

    @property
    def done(self) -> bool:
        """Whether the API took it."""
        return self.result == "applied"


class Journal:
    """The file of all changes, one JSON object a line, appended to and synced; nothing in it is ever replaced.

    Attributes:
        path: the file.
        entries: what it holds, by batch and number.
        unreadable: numbers of lines that are no entries, such as one that a crash cut short before anything was sent.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path = path
        self.entries: dict[tuple[int, int], Entry] = {}
        self.unreadable: list[int] = []
        self._now = now
        self._torn = False

    @classmethod
    @contextmanager
    def held(cls, folder: Path, now: Callable[[], float]) -> Iterator[Self]:
        """The journal of a state folder, which one command at a time may hold.

        Raises:
            StartError: it cannot be read or written, or another command holds it.
        """
        journal = cls(folder / FILE, now)
        lock = FileLock(folder / f"{FILE}.lock")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not lock.acquire():
                raise StartError(f"another `limits` command is running ({lock.holder}); run this one when it has ended")
        except OSError as error:
            problem = f"{journal.path}: {error.strerror or error}; changes need a journal: give --storage.path"
            raise StartError(problem) from None
        try:
            journal._load()
            yield journal
        finally:
            lock.release()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What the journal of a state folder holds, also while a command writes to it; not to be written to.

        Raises:
            StartError: it cannot be read.
        """
        journal = cls(folder / FILE, time.time)
        journal._load()
        return journal

    @property
    def last(self) -> int:
        """Number of the last batch; 0 where there is none."""
        return max((batch for batch, _ in self.entries), default=0)

    def open(self, organization: str) -> list[Entry]:
        """Entries of an organization whose result is not known."""
        return [e for e in self.entries.values() if e.result in OPEN and e.organization == organization]

    def sending(self, entry: Entry) -> Entry:
        """Write down what is going to be sent, before it is."""
        entry = replace(entry, time=iso(self._now()))
        self._append(entry, _SENT, {"result": "sent", "change": asdict(entry.change)})
        self.entries[entry.batch, entry.number] = entry
        return entry

    def settled(self, entry: Entry) -> Entry:
        """Write down what became of it; it is in `entries` even when that fails."""
        entry = replace(entry, message=mask_keys(entry.message))
        self.entries[entry.batch, entry.number] = entry
        self._append(replace(entry, time=iso(self._now())), ("batch", "number", "time", *_SETTLED), {})
        return entry

    def _append(self, entry: Entry, names: Sequence[str], more: Mapping[str, Any]) -> None:
        line = {"version": _VERSION, **{name: getattr(entry, name) for name in names}, **more}
        text = json.dumps(line, separators=(",", ":")) + "\n"
        try:
            with open(self.path, "a", encoding="utf-8", opener=private) as stream:
                # A line that a crash cut short stays what it is.
                stream.write(f"\n{text}" if self._torn else text)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise StartError(f"{self.path}: cannot be written: {error.strerror}; nothing more is sent") from None
        self._torn = False

    def _load(self) -> None:
        try:
            if self.path.is_char_device() or self.path.is_fifo():
                raise OSError("not a regular file")
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StartError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        self._torn = bool(text) and not text.endswith("\n")
        for number, line in enumerate(text.split("\n"), 1):
            try:
                self._take(line)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                if line.strip():
                    self.unreadable.append(number)

    def _take(self, line: str) -> None:
        data = json.loads(line)
        key = int(data["batch"]), int(data["number"])
        if data["version"] != _VERSION:
            raise StartError(f"{self.path}: a newer openai-exporter wrote it; use that one")
        if "change" in data:
            change = Change(**data["change"])
            for each in (change, change.reversed(change.target, change.new)):
                if not (each.request and [*each.lines()]):
                    raise ValueError("it changes nothing")
            sent = {name: data[name] for name in _SENT}
            self.entries[key] = Entry(**sent, change=change, target=change.target)
        else:
            words(data["value"])
            self.entries[key] = replace(self.entries[key], **{name: data[name] for name in _SETTLED})

# SPDX-License-Identifier: Apache-2.0
"""What probes keep across a restart, in one small file: the day's spend, and waits that the API asked for."""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any

from openai_exporter.files import write_atomically
from openai_exporter.model import ProbeKey
from openai_exporter.probe.judge import OUTCOMES

log = logging.getLogger(__name__)

DAY = 86_400
FILE = "probe-state.json"
FORMAT, VERSION = "openai-exporter probes", 1
DELAY = 1.0
"""Seconds from a change to its writing; what a crash forgets at most."""


class Spend:
    """What the probes of each module have cost today (UTC), at list prices; `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._day = 0
        self._usd: dict[str, Decimal] = {}

    def today(self) -> tuple[int, dict[str, Decimal]]:
        """The day, in UTC days since 1970, and USD spent by module."""
        day = int(self._now() // DAY)
        if day != self._day:
            self._day, self._usd = day, {}
        return self._day, self._usd

    def add(self, module: str, cost: Decimal) -> None:
        """Count a probe."""
        usd = self.today()[1]
        usd[module] = usd.get(module, Decimal()) + cost

    def reached(self, module: str, limit: float | None) -> bool:
        """Whether the daily limit is used up."""
        return limit is not None and self.today()[1].get(module, Decimal()) >= Decimal(str(limit))

    def restore(self, day: int, spent: Mapping[str, Decimal]) -> None:
        """Go on from what had been spent before a restart; of another day it means nothing."""
        if day == self.today()[0]:
            for module, usd in spent.items():
                self.add(module, usd)


@dataclass(frozen=True, slots=True)
class Wait:
    """A probe that the API told to wait.

    Attributes:
        until, at: Unix seconds: when the API may be called again, and when it answered.
        strikes: waits in a row.
        outcome, status_code, message: what it had answered.
    """

    key: ProbeKey
    until: float
    at: float
    strikes: int
    outcome: str
    status_code: int
    message: str


class StateStore:
    """Spend and waits, and the file that keeps them over a restart.

    The file is replaced atomically, at most once per `DELAY`, in a thread. One that cannot be read is set aside, and
    never fatal.

    Args:
        folder: where the file is, None to keep nothing.
        now: Unix seconds.
        failed: called with `read`, `damaged` or `write`.
    """

    def __init__(
        self,
        folder: Path | None,
        now: Callable[[], float],
        failed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.spend = Spend(now)
        self.waits: dict[ProbeKey, Wait] = {}
        self._path = None if folder is None else folder / FILE
        self._now = now
        self._failed = failed
        self._complaint = ""
        self._writing: asyncio.Task[None] | None = None
        self._changed = False
        if self._path is not None:
            self._load(self._path)

    def remember(self, key: ProbeKey, cost: Decimal | None, wait: Wait | None) -> None:
        """Take in what a probe has cost, and whether the API told it to wait; it is written soon."""
        if cost is not None:
            self.spend.add(key.module, cost)
        before = self.waits.pop(key, None)
        if wait is not None:
            self.waits[key] = wait
        if self._path is None or not (cost or before or wait):
            return
        self._changed = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what has not been written."""
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._changed:
            await self._write()

    async def _write_later(self) -> None:
        while self._changed:
            await asyncio.sleep(DELAY)
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        self._changed = False
        await asyncio.to_thread(self._replace, self._document())

    def _document(self) -> str:
        (day, spend), now = self.spend.today(), self._now()
        document = {
            "format": FORMAT,
            "version": VERSION,
            "day": day,
            "spend": {module: str(usd) for module, usd in spend.items()},
            "waits": [asdict(wait) for wait in self.waits.values() if wait.until > now],
        }
        return json.dumps(document, indent=1)

    def _replace(self, text: str) -> None:
        assert self._path is not None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text)
        except OSError as error:
            self._complain(error)
        else:
            self._complaint = ""

    def _complain(self, error: OSError) -> None:
        message = error.strerror or str(error)
        if message != self._complaint:
            text = "%s: cannot be written: %s; a restart would begin daily cost limits and waits anew"
            log.error(text, self._path, message)
        self._complaint = message
        self._failed("write")

    def _load(self, path: Path) -> None:
        """A folder that cannot be written in is reported now, rather than when there is something to lose."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            self._complain(error)
        try:
            self._restore(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            log.error("%s: cannot be read: %s; spend and waits begin anew", path, error.strerror)
            self._failed("read")
        except (ValueError, TypeError, KeyError, AttributeError, DecimalException) as error:
            self._set_aside(path, error)

    def _restore(self, document: Any) -> None:
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"not version {VERSION} of this file")
        spend = {str(module): Decimal(text) for module, text in document["spend"].items()}
        if not all(usd.is_finite() and usd >= 0 for usd in spend.values()):
            raise ValueError("an amount of money is none")
        waits = [_wait(entry) for entry in document["waits"]]
        self.spend.restore(int(document["day"]), spend)
        self.waits = {wait.key: wait for wait in waits}

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        log.error("%s: damaged (%s); set aside as %s, spend and waits begin anew", path, error, aside.name)
        self._failed("damaged")
        try:
            path.replace(aside)
        except OSError as failure:
            log.error("%s: cannot be set aside: %s", path, failure.strerror)


def _wait(entry: Any) -> Wait:
    key = ProbeKey(*(str(entry["key"][name]) for name in ("target", "module", "model")))
    until, at, strikes = float(entry["until"]), float(entry["at"]), int(entry["strikes"])
    if entry["outcome"] not in OUTCOMES:
        raise ValueError("an outcome is unknown")
    return Wait(key, until, at, strikes, entry["outcome"], int(entry["status_code"]), str(entry["message"]))

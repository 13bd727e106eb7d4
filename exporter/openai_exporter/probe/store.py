# SPDX-License-Identifier: Apache-2.0
"""What probes keep across a restart, in one small file: the day's spend, and waits that the API asked for."""

import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any

from openai_exporter.model import ProbeKey
from openai_exporter.probe.judge import OUTCOMES

# What probes must not forget over a restart, in one small file: the day's spend, and waits that the API asked for.
# Written whole and put in place at once, at most once per `DELAY`, in a thread. A file that cannot be read is set aside
# and never fatal; without a folder nothing is kept.

log = logging.getLogger(__name__)

FILE = "probe-state.json"
FORMAT, VERSION = "openai-exporter probes", 1
DELAY = 1.0
"""Seconds from a change to its writing; what a crash forgets at most."""


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


@dataclass(frozen=True, slots=True)
class Remembered:
    """The content of the file; `day` counts UTC days since 1970, `spend` is in USD by module."""

    day: int
    spend: Mapping[str, Decimal]
    waits: tuple[Wait, ...] = ()


class Memory:
    """The file.

    Args:
        folder: where it is, None to keep nothing.
        content: what is to be kept now; called in the loop's thread.
        failed: told `read`, `damaged` or `write`.
    """

    def __init__(
        self,
        folder: Path | None,
        content: Callable[[], Remembered],
        failed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._path = None if folder is None else folder / FILE
        self._content = content
        self._failed = failed
        self._complaint = ""
        self._writing: asyncio.Task[None] | None = None
        self._changed = False

    def load(self) -> Remembered | None:
        """What was kept; None when there is nothing, or nothing that can be used.

        A folder that cannot be written in is told now, rather than when there is something to lose.
        """
        if self._path is None:
            return None
        self._try_folder(self._path.parent)
        try:
            return _decoded(json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.error("%s: cannot be read: %s; spend and waits begin anew", self._path, error.strerror)
            self._failed("read")
        except (ValueError, TypeError, KeyError, AttributeError, DecimalException) as error:
            self._set_aside(self._path, error)
        return None

    def _try_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            self._complain(error)

    def changed(self) -> None:
        """Write soon."""
        if self._path is None:
            return
        self._changed = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._later())

    async def close(self) -> None:
        """Write what has not been written."""
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._changed:
            await self._write()

    async def _later(self) -> None:
        while self._changed:
            await asyncio.sleep(DELAY)
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        self._changed = False
        text = json.dumps(_encoded(self._content()), indent=1)
        await asyncio.to_thread(self._replace, text)

    def _replace(self, text: str) -> None:
        assert self._path is not None
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
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

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        log.error("%s: damaged (%s); set aside as %s, spend and waits begin anew", path, error, aside.name)
        self._failed("damaged")
        try:
            path.replace(aside)
        except OSError as failure:
            log.error("%s: cannot be set aside: %s", path, failure.strerror)


def _encoded(found: Remembered) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "day": found.day,
        "spend": {module: str(usd) for module, usd in found.spend.items()},
        "waits": [asdict(each) for each in found.waits],
    }


def _decoded(document: Any) -> Remembered:
    if document["format"] != FORMAT or document["version"] != VERSION:
        raise ValueError(f"not version {VERSION} of this file")
    spend = {str(module): _usd(text) for module, text in document["spend"].items()}
    return Remembered(int(document["day"]), spend, tuple(_waits(document["waits"])))


def _usd(text: Any) -> Decimal:
    usd = Decimal(text)
    if not usd.is_finite() or usd < 0:
        raise ValueError("an amount of money is none")
    return usd


def _waits(entries: Iterable[Any]) -> Iterable[Wait]:
    for each in entries:
        key = ProbeKey(*(str(each["key"][name]) for name in ("target", "module", "model")))
        if each["outcome"] not in OUTCOMES:
            raise ValueError("an outcome is unknown")
        yield Wait(
            key, float(each["until"]), float(each["at"]), int(each["strikes"]),
            each["outcome"], int(each["status_code"]), str(each["message"]),
        )  # fmt: skip


# What the probes of each module have cost today (UTC), at list prices.

DAY = 86_400


class Spend:
    """Sums per module and UTC day; `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._day = 0
        self._sums: dict[str, Decimal] = {}

    def add(self, module: str, cost: Decimal) -> None:
        """Count a probe."""
        self._turn_day()
        self._sums[module] = self._sums.get(module, Decimal()) + cost

    def restore(self, day: int, sums: Mapping[str, Decimal]) -> None:
        """Go on from what had been spent before a restart; of another day it means nothing."""
        self._turn_day()
        if day == self._day:
            for module, usd in sums.items():
                self._sums[module] = self._sums.get(module, Decimal()) + usd

    def so_far(self) -> tuple[int, Mapping[str, Decimal]]:
        """The day, in UTC days since 1970, and USD spent by module."""
        self._turn_day()
        return self._day, dict(self._sums)

    def today(self, module: str) -> Decimal:
        """USD spent today."""
        self._turn_day()
        return self._sums.get(module, Decimal())

    def reached(self, module: str, limit: float | None) -> bool:
        """Whether the daily limit is used up."""
        return limit is not None and self.today(module) >= Decimal(str(limit))

    def _turn_day(self) -> None:
        day = int(self._now() // DAY)
        if day != self._day:
            self._day = day
            self._sums.clear()

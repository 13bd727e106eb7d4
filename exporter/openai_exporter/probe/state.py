# SPDX-License-Identifier: Apache-2.0
"""What is remembered of probes: recent results, waits and spend, and the file that keeps them over a restart."""

import asyncio
import json
import logging
import math
import random
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any

from openai_exporter.config.sections import Module
from openai_exporter.files import NEWER, FileLock, newer_version, replace_state
from openai_exporter.metrics import RENAMED_VALUES
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult, RateLimit
from openai_exporter.probe.judge import OUTCOMES, BackOff
from openai_exporter.probe.result import ResultLog

log = logging.getLogger(__name__)

# How long a probe leaves the API alone after an answer: rate limits, used-up quotas, limits nearly reached.
# Failures of the provider cause no wait: an outage that is not probed is an outage that is not measured. Our own
# mistakes cause none either; they cost nothing and must show as soon as they are mended.

LIMIT_BASE, LIMIT_CAP = 5.0, 300.0
RETRY_AFTER_CAP = 3600.0
"""Longest wait that a server can ask for; a nonsensical header must not silence a probe for days."""
QUOTA_BASE, QUOTA_CAP = 60.0, 3600.0
NEAR_ZERO = 0.02
"""Share of a limit below which it counts as nearly reached."""
NEAR_ZERO_CAP = 60.0

Draw = Callable[[float, float], float]


def wait_after(result: ProbeResult, strikes: int, draw: Draw = random.uniform) -> float:
    """Seconds to wait after a result, 0 for none; `strikes` counts the waits in a row before this one.

    `draw(low, high)` yields a random number between the two (full jitter).
    """
    kind = OUTCOMES[result.outcome].backoff
    if kind is BackOff.QUOTA:
        return draw(0.0, min(QUOTA_BASE * 2.0 ** min(strikes, 16), QUOTA_CAP))
    if kind is BackOff.LIMIT:
        if result.retry_after:
            return min(result.retry_after, RETRY_AFTER_CAP)
        return draw(0.0, min(LIMIT_BASE * 2.0 ** min(strikes, 16), LIMIT_CAP))
    return max(map(_until_relief, result.rate_limits), default=0.0)


def is_limited(result: ProbeResult) -> bool:
    """Whether the API refused the probe for a limit, so that the next wait is longer."""
    return OUTCOMES[result.outcome].backoff in (BackOff.QUOTA, BackOff.LIMIT)


def _until_relief(limit: RateLimit) -> float:
    """Without a limit to compare with, as Azure often answers, only 0 is near zero; without a reset, a short wait."""
    if limit.remaining is None or (limit.remaining > 0 and limit.remaining >= NEAR_ZERO * (limit.limit or 0)):
        return 0.0
    unknown = 0.0 if limit.remaining else LIMIT_BASE
    return min(unknown if limit.reset_seconds is None else limit.reset_seconds, NEAR_ZERO_CAP)


@dataclass(slots=True)
class ProbeState:
    """State of one probe key; all times are monotonic seconds.

    Attributes:
        last: the newest result and when it was finished.
        told: whether a scrape has had the newest result; one whose scrape had left before is news for the next one.
        started: when the newest probe started, which `min_interval` counts from.
        until: when the API may be called again.
        strikes: waits in a row.
        running: the probe in flight, which ends by `running_until`; `placed` once it has its place among them.
        good: when the newest good results were finished, and what they took.
        price: what a call may cost at most, as of UTC day `priced`; None when it is not known.
        log: what of its results has been logged.
    """

    last: ProbeResult | None = None
    finished: float = 0.0
    told: bool = True
    started: float = float("-inf")
    until: float = 0.0
    strikes: int = 0
    running: asyncio.Task[ProbeResult] | None = None
    running_until: float = 0.0
    placed: bool = False
    good: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20))
    price: Decimal | None = None
    priced: int = -1
    log: ResultLog = field(default_factory=ResultLog)

    def settle(self, result: ProbeResult, now: float, draw: Draw) -> None:
        """Take in a fresh result."""
        self.last, self.finished, self.told = result, now, False
        if result.success:
            self.good.append((now, result.duration))
        wait = wait_after(result, self.strikes, draw)
        self.strikes = self.strikes + 1 if wait > 0 or is_limited(result) else 0
        self.until = now + wait

    def backoff(self, now: float) -> float:
        """Seconds for which the API will still not be called."""
        return max(self.until - now, 0.0)

    def from_cache(self, module: Module, now: float) -> ProbeAnswer | None:
        """The last result, when the API is not to be called now; None when it is."""
        if self.last is None:
            return None
        if self.backoff(now) > 0:
            return self.cached("backoff", now)
        if now - self.started < module.min_interval:
            return self.cached("min_interval", now)
        return None

    def cached(self, reason: str, now: float, *, cost_limited: bool = False) -> ProbeAnswer | None:
        """The last result with its age, as news when nobody has been told it; None without any."""
        if self.last is None:
            return None
        age, known, self.told = max(now - self.finished, 0.0), self.told, True
        return ProbeAnswer(self.last, age, known, self.backoff(now), cost_limited, reason)


# Recent probe results, for people; failures are kept longer than successes.

MAX_BYTES = 16 * 1024 * 1024
"""Bytes that the recent results may take, and again the failures kept longer, whatever their number."""

_BARE = 2048
"""Bytes of a result without its texts."""

_CARD = 256
"""Bytes of one listed model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One result, the number it is found by, and about how many bytes it takes."""

    id: int
    answer: ProbeAnswer
    weight: int


def weight(result: ProbeResult) -> int:
    """About how many bytes a result takes."""
    texts = (result.message, result.request, result.reply, *result.log)
    return _BARE + sum(map(sys.getsizeof, texts)) + _CARD * len(result.models)


class History:
    """Keeps the last `limit` results, and as many failures that have left them; fewer where they are very large."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent: deque[Entry] = deque()
        self._failures: deque[Entry] = deque()
        self._next = 1

    def add(self, answer: ProbeAnswer) -> Entry:
        """Keep a result."""
        entry = Entry(self._next, answer, weight(answer.result))
        self._next += 1
        self._recent.append(entry)
        self.resize(self._limit)
        return entry

    def recent(self) -> tuple[Entry, ...]:
        """What is kept, newest first."""
        return (*reversed(self._recent), *reversed(self._failures))

    def get(self, number: int) -> Entry | None:
        """The entry of that number, None when it is gone."""
        return next((entry for entry in self.recent() if entry.id == number), None)

    def resize(self, limit: int) -> None:
        """Keep this number of results from now on; of those that are too large together, the newest stays."""
        self._limit = limit
        for entries in (self._recent, self._failures):
            size = sum(map(attrgetter("weight"), entries))
            while len(entries) > limit or (size > MAX_BYTES and len(entries) > 1):
                gone = entries.popleft()
                size -= gone.weight
                if entries is self._recent and not gone.answer.result.success:
                    self._failures.append(gone)


# What probes keep across a restart, in one small file: the day's spend, and waits that the API asked for.

DAY = 86_400
FILE, LOCK = "probe-state.json", "probe-state.lock"
FORMAT, VERSION = "openai-exporter probes", 1
MOST_USD = 10**9
DELAY = 1.0
"""Seconds from a change to its writing; what a crash forgets at most."""


class Spend:
    """What the probes of each module have cost today (UTC), at list prices; `now` gives Unix seconds.

    Attributes:
        reserved: USD by module, for the calls that are made now.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.reserved: defaultdict[str, Decimal] = defaultdict(Decimal)
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

    def allows(self, module: str, limit: float | None, price: Decimal | None) -> bool:
        """Whether a call of this price fits into what the daily limit leaves; the first of a day does in any case."""
        if limit is None:
            return True
        taken, bound = self.today()[1].get(module, Decimal()) + self.reserved[module], Decimal(str(limit))
        return taken < bound and (not taken or taken + (price or 0) <= bound)

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
        failed: called with `read`, `damaged`, `write`, `newer` or `locked`.
    """

    def __init__(
        self, folder: Path | None, now: Callable[[], float], failed: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.spend = Spend(now)
        self.waits: dict[ProbeKey, Wait] = {}
        self._path = None if folder is None else folder / FILE
        self._lock = None if folder is None else FileLock(folder / LOCK)
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
        if self._lock is not None:
            self._lock.release()

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
        assert self._lock is not None
        try:
            left = replace_state(self._path, self._lock, VERSION, text)
        except OSError as error:
            self._unwritable(error)
            return
        if left:
            self._complain(*left)
        else:
            self._complaint = ""

    def _unwritable(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        self._complain(
            "write",
            f"cannot be written: {reason}; a restart would reset daily cost limits and backoff; "
            "set a directory with --storage.path, or none with --storage.path=",
        )

    def _complain(self, reason: str, message: str) -> None:
        if message != self._complaint:
            log.error("%s: %s", self._path, message)
        self._complaint = message
        self._failed(reason)

    def _load(self, path: Path) -> None:
        """A folder that cannot be written in is reported now, rather than when there is something to lose."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            self._unwritable(error)
        try:
            if newer := newer_version(path, VERSION):
                self._complain(NEWER, newer)
                return
            self._restore(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            log.error("%s: cannot be read: %s; spend and backoff start at 0", path, error.strerror)
            self._failed("read")
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            self._set_aside(path, error)

    def _restore(self, document: Any) -> None:
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"not version {VERSION} of this file")
        spend = {str(module): Decimal(text) for module, text in document["spend"].items()}
        if not all(usd.is_finite() and 0 <= usd < MOST_USD for usd in spend.values()):
            raise ValueError("an amount of money is none")
        waits = [_wait(entry, self._now()) for entry in document["waits"]]
        self.spend.restore(int(document["day"]), spend)
        self.waits = {wait.key: wait for wait in waits}

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        log.error("%s: damaged (%s); moved to %s; spend and backoff start at 0", path, error, aside.name)
        self._failed("damaged")
        try:
            path.replace(aside)
        except OSError as failure:
            log.error("%s: cannot be set aside: %s", path, failure.strerror)


def _wait(entry: Any, now: float) -> Wait:
    """A wait as it was written; no longer than any may be, should the clock have been moved."""
    key = ProbeKey(*(str(entry["key"][name]) for name in ("target", "module", "model")))
    until = min(float(entry["until"]), now + RETRY_AFTER_CAP)
    at, strikes = float(entry["at"]), int(entry["strikes"])
    if not (math.isfinite(at) and math.isfinite(until)):
        raise ValueError("a time is none")
    outcome = RENAMED_VALUES.get(entry["outcome"], entry["outcome"])
    if outcome not in OUTCOMES:
        raise ValueError("an outcome is unknown")
    return Wait(key, until, at, strikes, outcome, int(entry["status_code"]), str(entry["message"]))

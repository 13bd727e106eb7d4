# SPDX-License-Identifier: Apache-2.0
"""What the landing page says of probes; pure, from the board and the history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from openai_exporter.config import Config
from openai_exporter.model import ProbeAnswer, ProbeKey
from openai_exporter.probe.history import Entry
from openai_exporter.probe.outcomes import OUTCOMES
from openai_exporter.web import words
from openai_exporter.web.board import Board, Track, probe_keys
from openai_exporter.web.chart import Bar, bars

RECENT_FAILURES = 10
OLD, OLD_INTERVALS = 900.0, 3
"""Age in seconds, and in intervals, from which on figures are shown as old: nobody has scraped since."""


@dataclass(frozen=True, slots=True)
class Row:
    """One probe.

    Attributes:
        state: `good`, `bad`, `ours` (a failure that is not the provider's) or `none` before its first answer.
        note: why the answer came from the cache, empty for a fresh one.
        old: whether the last scrape was too long ago for the state to be the present one, which is then `none`.
    """

    module: str
    endpoint: str
    model: str
    query: str
    state: str
    outcome: str = "not scraped yet"
    meaning: str = ""
    latency: float | None = None
    first_token: float | None = None
    age: str = words.UNKNOWN
    note: str = ""
    bars: tuple[Bar, ...] = ()
    old: bool = False


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target and its probes."""

    name: str
    provider: str
    base_url: str
    simulated: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the recent failures."""

    id: int
    age: str
    target: str
    module: str
    model: str
    state: str
    outcome: str
    status_code: int
    message: str
    request_id: str
    simulated: bool


def targets(config: Config, board: Board, now: float) -> tuple[TargetView, ...]:
    """Every target that is probed, in the configuration's order."""
    keys = probe_keys(config)
    return tuple(
        TargetView(
            each.name,
            each.provider.value,
            each.base_url,
            any(_simulated(board.track(key)) for key in keys if key.target == each.name),
            tuple(_row(config, key, board.track(key), now) for key in keys if key.target == each.name),
        )
        for each in config.targets
        if any(key.target == each.name for key in keys)
    )


def failures(recent: Sequence[Entry], now: float) -> Iterator[Failure]:
    """The newest failures, newest first."""
    failed = [each for each in recent if not each.answer.result.success]
    for entry in failed[:RECENT_FAILURES]:
        result = entry.answer.result
        yield Failure(
            entry.id,
            words.ago(result.started_at, now),
            result.key.target,
            result.key.module,
            result.key.model,
            state_of(entry.answer),
            result.outcome,
            result.status_code,
            result.message,
            result.request_id,
            result.simulated,
        )


def state_of(answer: ProbeAnswer) -> str:
    """`good`, `bad` when the provider failed, `ours` when we did."""
    if answer.result.success:
        return "good"
    return "bad" if answer.result.valid else "ours"


def meaning_of(outcome: str) -> str:
    """The taxonomy's sentence for an outcome."""
    fact = OUTCOMES.get(outcome)
    return fact.meaning if fact else ""


def _simulated(track: Track | None) -> bool:
    return track is not None and track.answer.result.simulated


def _row(config: Config, key: ProbeKey, track: Track | None, now: float) -> Row:
    named = {"target": key.target, "module": key.module} | ({"model": key.model} if key.model else {})
    query = urlencode(named)
    endpoint = config.modules[key.module].endpoint.value
    if track is None:
        return Row(key.module, endpoint, key.model, query, "none")
    result = track.answer.result
    scraped = min(result.started_at + track.answer.age, now)
    old = now - scraped > max(OLD, OLD_INTERVALS * config.modules[key.module].min_interval)
    return Row(
        key.module,
        endpoint,
        key.model,
        query,
        "none" if old else state_of(track.answer),
        result.outcome,
        result.message or meaning_of(result.outcome),
        result.duration if result.called else None,
        result.stream.first_token if result.stream else None,
        words.ago(result.started_at, now),
        f"last scraped {words.ago(scraped, now)}" if old else _note(track.answer),
        bars(track.points),
        old,
    )


def _note(answer: ProbeAnswer) -> str:
    if answer.cost_limited:
        return "daily cost limit reached; paused until midnight UTC"
    if answer.backoff > 0:
        return f"backing off for {words.span(answer.backoff)}"
    return ""

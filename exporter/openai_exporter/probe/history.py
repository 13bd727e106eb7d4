# SPDX-License-Identifier: Apache-2.0
"""Recent probe results for people, and one probe explained as text: its log, its metrics, what was exchanged."""

import sys
from collections import deque
from dataclasses import dataclass

import yaml

from openai_exporter.config.secret import Masker, named_secrets
from openai_exporter.config.sections import Module
from openai_exporter.exposition import encode
from openai_exporter.model import ProbeAnswer, ProbeResult
from openai_exporter.probe.families import families
from openai_exporter.probe.judge import OUTCOMES

# Recent probe results, for people; failures are kept longer than successes.

MAX_BYTES = 16 * 1024 * 1024
"""Bytes that the recent results may take, and again the failures kept longer, whatever their number."""

_BARE = 2048
"""Bytes of a result without its texts."""

_CARD = 256
"""Bytes of one listed model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One result and the number it is found by."""

    id: int
    answer: ProbeAnswer


def weight(result: ProbeResult) -> int:
    """About how many bytes a result takes."""
    texts = (result.message, result.request, result.reply, *result.log)
    return _BARE + sum(map(sys.getsizeof, texts)) + _CARD * len(result.models)


class _Ring:
    """A queue bounded by number and weight."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: deque[Entry] = deque()
        self._weight = 0

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._weight += weight(entry.answer.result)

    def surplus(self) -> list[Entry]:
        """Take out the oldest entries that are too many; the newest always stays."""
        gone = []
        while len(self.entries) > self.limit or (self._weight > MAX_BYTES and len(self.entries) > 1):
            gone.append(self.entries.popleft())
            self._weight -= weight(gone[-1].answer.result)
        return gone


class History:
    """Keeps the last `limit` results, and as many failures that have left them; fewer where they are very large."""

    def __init__(self, limit: int) -> None:
        self._recent = _Ring(limit)
        self._failures = _Ring(limit)
        self._next = 1

    def add(self, answer: ProbeAnswer) -> Entry:
        """Keep a result."""
        entry = Entry(self._next, answer)
        self._next += 1
        self._recent.add(entry)
        self._trim()
        return entry

    def recent(self) -> tuple[Entry, ...]:
        """What is kept, newest first."""
        return (*reversed(self._recent.entries), *reversed(self._failures.entries))

    def get(self, number: int) -> Entry | None:
        """The entry of that number, None when it is gone."""
        return next((entry for entry in self.recent() if entry.id == number), None)

    def resize(self, limit: int) -> None:
        """Keep another number of results from now on."""
        self._recent.limit = self._failures.limit = limit
        self._trim()

    def _trim(self) -> None:
        for gone in self._recent.surplus():
            if not gone.answer.result.success:
                self._failures.add(gone)
        self._failures.surplus()


# One probe as text for people: its log, its metrics, its module, what was sent and received; all masked.


def explain(answer: ProbeAnswer, module: Module) -> str:
    """The text of `debug=true` and of a page of the history."""
    result = answer.result
    fact = OUTCOMES[result.outcome]
    sections = [
        ("Outcome", f"{result.outcome}: {fact.meaning}\n{result.message}\n{_freshness(answer)}"),
        ("Logs for the probe", "\n".join(result.log)),
        ("Metrics that would have been returned", encode(families(answer)).decode()),
        ("Module configuration", _module(module)),
        ("Request", result.request or "none was sent"),
        ("Reply", result.reply or "none came"),
    ]
    return "\n\n".join(f"{title}:\n{text.rstrip()}" for title, text in sections) + "\n"


def _freshness(answer: ProbeAnswer) -> str:
    if not answer.cached:
        return "Fresh: the API was called for this answer."
    return (
        f"From the cache ({answer.reason or 'history'}), {answer.age:.1f} s old; "
        f"the API is left alone for {answer.backoff:.1f} s more."
    )


def _module(module: Module) -> str:
    text: str = yaml.safe_dump(module.model_dump(mode="json", exclude_none=True), sort_keys=False)
    return Masker(named_secrets(module.request.extra)).mask(text)

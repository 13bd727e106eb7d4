# SPDX-License-Identifier: Apache-2.0
"""Adds fresh results up into the counters and histograms of `/metrics`."""

from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.metrics import probe as m
from openai_exporter.model import ProbeKey, ProbeResult
from openai_exporter.probe.directory import Directory

DIRECTIONS = ("input", "output", "cached", "reasoning")
USUAL_ERRORS = (
    ("auth", "401"),
    ("quota_exhausted", "429"),
    ("rate_limited_requests", "429"),
    ("rate_limited_tokens", "429"),
    ("server_error", "500"),
    ("overloaded", "503"),
    ("connect", "0"),
    ("reset", "0"),
    ("timeout_headers", "0"),
    ("timeout_total", "200"),
)
"""Failures whose series exist from the start, at 0, so that `increase()` sees the first one."""

_HUNG = frozenset({"timeout_connect", "timeout_headers", "timeout_first_token"})
"""Outcomes of probes whose answer, or first token, took at least as long as they were given."""
_EXEMPLAR = 100


class Totals:
    """Counts into the instruments of one process."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._in_flight = 0
        instruments.set(own.PROBES_IN_FLIGHT, 0)

    def prepare(self, directory: Directory) -> None:
        """Let the series of all configured probes exist, at 0."""
        count = self._instruments.count
        for key in directory.keys:
            _, module = directory.parts(key)
            labels = (key.target, key.module, str(module.endpoint), key.model)
            for metric in (m.API_REQUESTS, m.PROBE_UNPRICED):
                count(metric, labels, 0.0)
            for direction in DIRECTIONS:
                count(m.API_TOKENS, (*labels, direction), 0.0)
            for error in USUAL_ERRORS:
                count(m.API_ERRORS, (*labels, *error), 0.0)
            for outcome in ("no_credentials", "exporter_busy"):
                count(m.PROBE_NOT_SENT, (*labels, outcome), 0.0)
            for metric in (m.PROBE_COST_TOTAL, m.PROBES_CACHED):
                count(metric, (key.target, key.module, key.model), 0.0)

    def in_flight(self, change: int) -> None:
        """A probe started (+1) or ended (-1)."""
        self._in_flight += change
        self._instruments.set(own.PROBES_IN_FLIGHT, self._in_flight)

    def cached(self, key: ProbeKey) -> None:
        """A scrape was answered without calling the API for it."""
        self._instruments.count(m.PROBES_CACHED, (key.target, key.module, key.model))

    def count(self, result: ProbeResult) -> None:
        """Add a fresh result."""
        count, key = self._instruments.count, result.key
        labels = (key.target, key.module, str(result.endpoint), key.model)
        if not result.called:
            count(m.PROBE_NOT_SENT, (*labels, result.outcome))
            return
        count(m.API_REQUESTS, labels)
        if not result.success:
            count(m.API_ERRORS, (*labels, result.outcome, str(result.status_code)))
        self._observe(result, labels)
        if result.tokens is not None:
            for direction in DIRECTIONS:
                count(m.API_TOKENS, (*labels, direction), getattr(result.tokens, direction))
        if result.cost_usd is not None:
            count(m.PROBE_COST_TOTAL, (key.target, key.module, key.model), float(result.cost_usd))
        if result.unpriced:
            count(m.PROBE_UNPRICED, labels)

    def _observe(self, result: ProbeResult, labels: tuple[str, ...]) -> None:
        exemplar = {"request_id": result.request_id[:_EXEMPLAR]} if result.request_id else None
        hung = result.outcome in _HUNG
        if result.status_code or hung:
            status = str(result.status_code)
            self._instruments.observe(m.API_LATENCY, result.duration, (*labels, status), exemplar)
        if not result.streamed:
            return
        first = result.stream.first_token if result.stream else None
        if (
            first is None and hung
        ):  # else an API that hangs would look fast: only its good moments would count
            first = result.duration
        if first is not None:
            self._instruments.observe(m.API_TTFT, first, labels, exemplar)

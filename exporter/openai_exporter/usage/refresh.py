# SPDX-License-Identifier: Apache-2.0
"""Reads the datasets that are due, one after the other, and remembers how each went. Knows no dataset's contents."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence

from openai_exporter.client.calls import Calls
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Dataset
from openai_exporter.usage.track import DatasetState, due_at, unread

log = logging.getLogger(__name__)


class Refresher:
    """The schedule of one organization.

    Args:
        datasets: in the order in which they are read.
        now: our clock in Unix seconds.
        since: when the datasets were first asked for.
    """

    def __init__(
        self,
        organization: str,
        datasets: Sequence[Dataset],
        calls: Calls,
        now: Callable[[], float],
        since: float,
    ) -> None:
        self._organization = organization
        self._datasets = tuple(datasets)
        self._calls = calls
        self._now = now
        self._states = {each.name: DatasetState(each.name) for each in datasets}
        self._started: dict[str, float] = {}
        self._since = {each.name: since for each in datasets}
        self.stopped = False

    @property
    def states(self) -> tuple[DatasetState, ...]:
        """How the datasets are, in their order."""
        return tuple(self._states[each.name] for each in self._datasets)

    @property
    def due(self) -> tuple[Dataset, ...]:
        """The datasets that are to be read now; none while the API asked to wait."""
        if self._calls.wait > 0:
            return ()
        return tuple(each for each in self._datasets if self._is_due(each))

    def read(self, dataset: Dataset, *, seen: bool) -> bool:
        """Read one dataset; False when it failed or the API asks to wait."""
        if self._calls.wait > 0 or self.stopped:
            return False
        started, made = self._now(), self._calls.made
        self._started[dataset.name] = started
        before = self._states[dataset.name]
        try:
            complete = dataset.read(self._calls, seen=seen)
        except UpstreamError as error:
            if self.stopped:
                return False
            after = self._failed(before, str(error), error.reason)
        except Exception as error:
            log.exception("organization %s: dataset %s", self._organization, dataset.name)
            after = self._failed(before, f"unexpected {type(error).__name__}, see the log", "malformed")
        else:
            after = self._succeeded(before) if complete else self._unfinished(before)
        self._states[dataset.name] = dataclasses.replace(
            after, duration=max(0.0, self._now() - started), calls=self._calls.made - made
        )
        return after.up is True

    def adopt(self, other: "Refresher") -> None:
        """Take over from the schedule of the configuration before, as far as the datasets fit."""
        before = {each.name: each for each in other._datasets}
        for dataset in self._datasets:
            name = dataset.name
            if name in before and dataset.adopt(before[name]):
                self._states[name] = other._states[name]
                self._since[name] = other._since[name]
                if name in other._started:
                    self._started[name] = other._started[name]

    def families(self) -> Iterator[Family]:
        """Freshness; of datasets that were never tried, since when."""
        yield unread((each.name, self._since[each.name]) for each in self.states if each.last_success is None)
        tried = [each for each in self.states if each.up is not None]
        yield Family(metrics.UP, [((each.name,), int(each.up is True)) for each in tried])
        yield Family(
            metrics.LAST_SUCCESS,
            [((each.name,), each.last_success) for each in tried if each.last_success is not None],
        )
        yield Family(metrics.REFRESH_DURATION, [((each.name,), each.duration) for each in tried])
        yield Family(metrics.REFRESH_CALLS, [((each.name,), each.calls) for each in tried])

    def _is_due(self, dataset: Dataset) -> bool:
        started = self._started.get(dataset.name)
        if started is None:
            return True
        now = self._now()
        failures = self._states[dataset.name].failures
        return now < started or now >= due_at(started, dataset.interval, failures)

    def _failed(self, before: DatasetState, message: str, reason: str) -> DatasetState:
        self._calls.failed(before.name, reason)
        if before.error != message:
            log.warning(
                "organization %s: dataset %s could not be read (%s): %s",
                self._organization, before.name, reason, message,
            )  # fmt: skip
        return dataclasses.replace(
            before, up=False, error=message, reason=reason, failures=before.failures + 1
        )

    def _unfinished(self, before: DatasetState) -> DatasetState:
        self._started.pop(before.name, None)
        return before

    def _succeeded(self, before: DatasetState) -> DatasetState:
        if before.error:
            log.info("organization %s: dataset %s is read again", self._organization, before.name)
        return DatasetState(before.name, up=True, last_success=self._now())

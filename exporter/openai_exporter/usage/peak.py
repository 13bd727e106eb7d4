# SPDX-License-Identifier: Apache-2.0
"""The peak minute of each project and model, beside the rate limits: read by the minute, and only where asked for.

Rate limits are for an alias and all its snapshots together, so usage is summed by the limit's model first.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.operations import OPERATIONS, Operation
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.rows import RowDecoder
from openai_exporter.usage.snapshots import limited_as

API = "peak_minute"
_MINUTE = 60
_MOST_MINUTES = 1440
_GROUP_BY = ("project_id", "model")

Limited = Callable[[], Mapping[str, Collection[str]]]
"""Models with a rate limit, by project."""
_Key = tuple[str, str]
_Counts = tuple[int, int]


class PeakDataset:
    """Most requests and tokens in one minute.

    Args:
        limited: told anew for each reading.
    """

    name = API

    def __init__(self, organization: Organization, context: Context, limited: Limited) -> None:
        assert organization.peak_minute is not None
        self.interval = organization.peak_minute.refresh_interval
        self._window = organization.peak_minute.window
        self._operations = tuple(
            OPERATIONS[name]
            for name in organization.usage
            if name in OPERATIONS and OPERATIONS[name].pricing in ("tokens", "input")
        )
        self._context = context
        self._limited = limited
        self._peaks: dict[_Key, _Counts] = {}

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the window of all token endpoints."""
        now = self._context.clock.now()
        start = int((now - self._window) // _MINUTE) * _MINUTE
        minutes: dict[int, dict[_Key, _Counts]] = {}
        for operation in self._operations:
            read(calls, self._query(operation, start), self._taker(operation, minutes))
        self._peaks = _peaks(minutes)
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over the peaks of the same window and endpoints."""
        if not isinstance(other, PeakDataset):
            return False
        if (other._window, other._operations) != (self._window, self._operations):
            return False
        self._peaks = other._peaks
        return True

    def families(self) -> Iterator[Family]:
        """The peaks; nothing for what had no usage in the window."""
        yield Family(metrics.PEAK_RPM, [(key, requests) for key, (requests, _) in self._peaks.items()])
        yield Family(metrics.PEAK_TPM, [(key, tokens) for key, (_, tokens) in self._peaks.items()])

    def _taker(
        self, operation: Operation, minutes: dict[int, dict[_Key, _Counts]]
    ) -> Callable[[Reply], Sink]:
        decoder = RowDecoder(operation, _GROUP_BY, lambda result, start: ())
        names = [column.name for column in operation.sources]
        places = [names.index(name) for name in ("input_tokens", "output_tokens") if name in names]
        requests = names.index("requests")
        limited = self._limited()

        def bucket(start: int) -> Take:
            sums = minutes.setdefault(start, {})

            def take(result: object) -> None:
                (project, model), values = decoder.decode(result, start)
                key = (project, limited_as(model, limited.get(project, ())))
                before = sums.get(key, (0, 0))
                tokens = sum(values[place] for place in places)
                sums[key] = (before[0] + values[requests], before[1] + tokens)

            return take

        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        return arrived

    def _query(self, operation: Operation, start: int) -> Query:
        params = [("start_time", str(start)), ("bucket_width", "1m"), ("limit", str(_MOST_MINUTES))]
        params += [("group_by[]", name) for name in _GROUP_BY]
        return Query(operation.path, self.name, params, self._context.pause)


def _peaks(minutes: Mapping[int, Mapping[_Key, _Counts]]) -> dict[_Key, _Counts]:
    found: dict[_Key, _Counts] = {}
    for sums in minutes.values():
        for key, (requests, tokens) in sums.items():
            most = found.get(key, (0, 0))
            found[key] = (max(most[0], requests), max(most[1], tokens))
    return found

# SPDX-License-Identifier: Apache-2.0
"""Stored bytes of vector stores: a level, so the newest day that has figures counts, and nothing is summed."""

from collections.abc import Iterator
from typing import Any

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Reply
from openai_exporter.config.organization import Organization
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import Context, Dataset
from openai_exporter.usage.jsontext import MalformedError
from openai_exporter.usage.operations import VECTOR_STORES
from openai_exporter.usage.pages import Query, Sink, Take, read
from openai_exporter.usage.rows import label, shown, whole
from openai_exporter.usage.window import DAY, day_start

_DAYS = 7


class LevelDataset:
    """Bytes in vector stores, by project where grouped so."""

    name = VECTOR_STORES

    def __init__(self, organization: Organization, context: Context) -> None:
        self.interval = organization.refresh_interval
        self._grouped = "project_id" in organization.usage["vector_stores"].group_by
        self._context = context
        self._newest: tuple[int, dict[str, int]] | None = None

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the last days."""
        days: dict[int, dict[str, int]] = {}

        def bucket(start: int) -> Take:
            def take(result: Any) -> None:
                if not isinstance(result, dict):
                    raise MalformedError(f"expected an object, got {shown(result)}")
                level = whole(result, "usage_bytes", required=True)
                project = label(result, "project_id")
                by_project = days.setdefault(start, {})
                by_project[project] = by_project.get(project, 0) + level

            return take

        def arrived(reply: Reply) -> Sink:
            self._context.clock.observe(reply.date)
            return bucket

        read(calls, self._query(), arrived)
        self._newest = max(days.items(), default=None, key=lambda item: item[0])
        return True

    def adopt(self, other: Dataset) -> bool:
        """Take over the levels of the same grouping."""
        if not isinstance(other, LevelDataset) or other._grouped != self._grouped:
            return False
        self._newest = other._newest
        return True

    def families(self) -> Iterator[Family]:
        """The levels of the newest day, and which day that is."""
        if self._newest is None:
            return
        start, levels = self._newest
        yield Family(metrics.VECTOR_STORE_BYTES, [((project,), level) for project, level in levels.items()])
        yield Family(metrics.NEWEST_BUCKET, [((self.name,), start)])
        yield Family(metrics.SERIES, [((self.name,), len(levels))])

    def _query(self) -> Query:
        start = day_start(self._context.clock.now()) - (_DAYS - 1) * DAY
        params = [("start_time", str(start)), ("bucket_width", "1d"), ("limit", "31")]
        params += [("group_by[]", "project_id")] if self._grouped else []
        return Query(f"/organization/usage/{self.name}", self.name, params, self._context.pause)

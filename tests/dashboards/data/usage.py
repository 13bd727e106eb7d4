# SPDX-License-Identifier: Apache-2.0
"""Usage counters of the made-up organization, their estimated cost, and what names the ids."""

from collections.abc import Iterator

from openai_exporter.metrics import usage
from tests.dashboards.data.organization import TARGET, Key, Organization, Stream
from tests.dashboards.data.series import Series, series
from tests.dashboards.data.timeline import DAY, Timeline

_UNPRICED = {
    usage.IMAGES.name: usage.UNPRICED_IMAGES.name,
    usage.CHARACTERS.name: usage.UNPRICED_CHARACTERS.name,
    usage.AUDIO_SECONDS.name: usage.UNPRICED_AUDIO_SECONDS.name,
}
"""What no list prices, and where it is counted as such."""


def usage_series(organization: Organization, timeline: Timeline) -> Iterator[Series]:
    """Usage counters, their estimated cost, and what names the ids."""
    for stream in organization.streams:
        yield from _of_stream(stream, timeline)
    one = timeline.constant(1.0)
    for project, name in organization.projects.items():
        yield series(usage.PROJECT_INFO.name, one, TARGET, project_id=project, project=name, status="active")
    for user, name in organization.users.items():
        yield series(usage.USER_INFO.name, one, TARGET, user_id=user, user=name, role="reader")
    for key in organization.keys:
        yield from _of_key(key, timeline)


def _of_stream(stream: Stream, timeline: Timeline) -> Iterator[Series]:
    if stream.model.name and stream.more.get("source") != "image.edit":
        values = timeline.month_counter(stream.requests())
        yield series(usage.REQUESTS.name, values, TARGET, **stream.labels)
    for name, per_request in stream.figures.items():
        values = timeline.month_counter(stream.times(per_request))
        yield series(name, values, TARGET, **stream.labels, **stream.more)
        if name in _UNPRICED and stream.more.get("source") != "image.edit":
            yield series(_UNPRICED[name], values, TARGET, **stream.labels)
    given = stream.figures.get(usage.INPUT_TOKENS.name, 0.0)
    if not given:
        return
    if stream.model.prices is None:
        values = timeline.month_counter(stream.times(given + stream.figures.get(usage.OUTPUT_TOKENS.name, 0.0)))
        yield series(usage.UNPRICED_TOKENS.name, values, TARGET, **stream.labels)
    else:
        values = timeline.month_counter(stream.dollars(), whole=False)
        yield series(usage.ESTIMATED_COST.name, values, TARGET, **stream.labels)


def _of_key(key: Key, timeline: Timeline) -> Iterator[Series]:
    info = {"api_key": key.name, "project_id": key.project, "owner_type": key.owner_type, "owner_id": key.owner}
    yield series(usage.API_KEY_INFO.name, timeline.constant(1.0), TARGET, api_key_id=key.id, **info)
    stamp = {"api_key_id": key.id, "kind": "project"}
    created = timeline.constant(timeline.end - 400 * DAY)
    yield series(usage.API_KEY_CREATED.name, created, TARGET, **stamp)
    if key.used_days_ago is not None:
        used = [t // 600 * 600 - key.used_days_ago * DAY for t in timeline.times]
        yield series(usage.API_KEY_LAST_USED.name, used, TARGET, **stamp)
    if key.expires_in_days is not None:
        expires = timeline.constant(timeline.end + key.expires_in_days * DAY)
        yield series(usage.API_KEY_EXPIRES.name, expires, TARGET, **stamp)

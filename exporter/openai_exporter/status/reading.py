# SPDX-License-Identifier: Apache-2.0
"""What a status page says, as closed lists of states; tolerant of everything that pages leave out or invent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

STATES = (
    "operational",
    "degraded_performance",
    "partial_outage",
    "major_outage",
    "under_maintenance",
    "unknown",
)
IMPACTS = ("none", "minor", "major", "critical", "maintenance", "unknown")
MAX_COMPONENTS = 500
"""Components exported; OpenAI's page has some 35."""

_OTHER_WORDS = {"full_outage": "major_outage", "maintenance": "under_maintenance"}
_OVER = {"resolved", "postmortem", "completed"}


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the provider's service; ids are unique, names are not."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that is not over."""

    name: str
    impact: str
    status: str
    url: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One whole read of a page."""

    components: tuple[Component, ...]
    incidents: tuple[Incident, ...]


def reading(documents: Sequence[Mapping[str, object]]) -> Reading:
    """Merge documents of one page; a component or incident counts as the first document has it.

    summary.json has been seen to list fewer components than components.json, and to have no `incidents`.
    """
    components: dict[str, Component] = {}
    incidents: dict[str, Incident] = {}
    for document in documents:
        for each in _objects(document, "components"):
            found = _component(each)
            if found is not None and len(components) < MAX_COMPONENTS:
                components.setdefault(found.id, found)
        for each in _objects(document, "incidents"):
            if _word(each.get("status")) not in _OVER:
                incidents.setdefault(str(each.get("id") or each.get("name") or ""), _incident(each))
    return Reading(tuple(components.values()), tuple(incidents.values()))


def chosen(
    found: Sequence[Component], wanted: Sequence[str]
) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """The components whose name or id is wanted (all when nothing is), and the wants that none has."""
    if not wanted:
        return tuple(found), ()
    kept = tuple(each for each in found if each.id in wanted or each.name in wanted)
    known = {each.id for each in found} | {each.name for each in found}
    return kept, tuple(each for each in wanted if each not in known)


def _objects(document: Mapping[str, object], key: str) -> Iterator[Mapping[str, object]]:
    listed = document.get(key)
    if isinstance(listed, list):
        yield from (each for each in listed if isinstance(each, dict))


def _component(each: Mapping[str, object]) -> Component | None:
    identifier = each.get("id")
    if not isinstance(identifier, str) or not identifier or each.get("group") is True:
        return None
    state = _word(each.get("status"))
    state = _OTHER_WORDS.get(state, state)
    return Component(identifier, str(each.get("name") or identifier), state if state in STATES else "unknown")


def _incident(each: Mapping[str, object]) -> Incident:
    impact = _word(each.get("impact"))
    link = each.get("shortlink")
    return Incident(
        name=str(each.get("name") or "unnamed incident"),
        impact=impact if impact in IMPACTS else "unknown",
        status=_word(each.get("status")) or "unknown",
        url=link if isinstance(link, str) and link.startswith(("https://", "http://")) else "",
    )


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""

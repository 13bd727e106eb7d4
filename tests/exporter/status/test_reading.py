# SPDX-License-Identifier: Apache-2.0
"""What a status page says, whatever it leaves out or invents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.status.families import families
from openai_exporter.status.reading import IMPACTS, STATES, Component, Incident, chosen, reading


def _component(identifier: str, name: str, status: Any) -> dict[str, Any]:
    return {"id": identifier, "name": name, "status": status, "position": 1, "group": None}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((state, state) for state in STATES),
        ("full_outage", "major_outage"),
        ("maintenance", "under_maintenance"),
        ("Operational", "operational"),
        ("on_fire", "unknown"),
        (None, "unknown"),
        (7, "unknown"),
    ],
)
def test_states_become_a_closed_list(status: Any, expected: str) -> None:
    found = reading([{"components": [_component("a", "Chat", status)]}])
    assert (Component("a", "Chat", expected),) == found.components


def test_components_of_one_name_are_kept_apart_by_id() -> None:
    listed = [_component("a", "Login", "operational"), _component("b", "Login", "major_outage")]
    assert ("a", "b") == tuple(each.id for each in reading([{"components": listed}]).components)


def test_what_only_the_second_document_lists_is_added() -> None:
    summary = {"components": [_component("a", "Chat", "operational")]}
    whole = {"components": [_component("a", "Chat", "major_outage"), _component("b", "CLI", "operational")]}
    found = reading([summary, whole]).components
    assert (Component("a", "Chat", "operational"), Component("b", "CLI", "operational")) == found


def test_groups_and_nameless_entries_are_tolerated() -> None:
    listed = [{"id": "g", "name": "API", "group": True}, {"name": "no id"}, {"id": "c"}, "text", None]
    assert (Component("c", "c", "unknown"),) == reading([{"components": listed}]).components


@pytest.mark.parametrize(
    "document", [{}, {"components": None, "incidents": None}, {"components": 3, "incidents": "x"}]
)
def test_absent_keys_are_empty(document: dict[str, Any]) -> None:
    found = reading([document])
    assert ((), ()) == (found.components, found.incidents)


def test_incidents_that_are_over_do_not_count() -> None:
    listed = [
        {
            "id": "1",
            "name": "Slow",
            "status": "investigating",
            "impact": "minor",
            "shortlink": "https://s.example/1",
        },
        {"id": "2", "name": "Down", "status": "resolved", "impact": "critical"},
        {
            "id": "3",
            "name": "Odd",
            "status": "new_word",
            "impact": "enormous",
            "shortlink": "javascript:alert(1)",
        },
    ]
    expected = (
        Incident("Slow", "minor", "investigating", "https://s.example/1"),
        Incident("Odd", "unknown", "new_word", ""),
    )
    assert expected == reading([{"incidents": listed}]).incidents


def test_components_are_chosen_by_name_or_id() -> None:
    found = (Component("a", "Chat", "operational"), Component("b", "Batch", "operational"))
    assert (found, ()) == chosen(found, ())
    assert (found[:1], ("Nope",)) == chosen(found, ("Chat", "Nope"))
    assert (found[1:], ()) == chosen(found, ("b",))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)
_ENTRIES = st.lists(
    st.dictionaries(st.sampled_from(["id", "name", "status", "impact", "group", "shortlink"]), _VALUES)
    | _VALUES
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["components", "incidents", "page"]), _ENTRIES | _VALUES), max_size=3
    )
)
def test_any_document_gives_states_of_the_closed_lists(documents: list[dict[str, Any]]) -> None:
    found = reading(documents)
    assert {each.state for each in found.components} <= set(STATES)
    assert {each.impact for each in found.incidents} <= set(IMPACTS)
    identifiers = [each.id for each in found.components]
    assert len(identifiers) == len(set(identifiers))
    families(True, 1.0, found.components, found.incidents)


def test_the_families_are_a_state_set_and_counts() -> None:
    found = families(
        True, 12.0, [Component("a", "Chat", "partial_outage")], [Incident("x", "major", "monitoring", "")]
    )
    samples = {each.metric.name: dict(each.samples) for each in found}
    assert {"partial_outage"} == {
        labels[2] for labels, value in samples["openai_status_component"].items() if value
    }
    assert len(STATES) == len(samples["openai_status_component"])
    assert {("major",)} == {labels for labels, value in samples["openai_status_incident"].items() if value}
    assert len(IMPACTS) == len(samples["openai_status_incident"])
    assert {(): 12.0} == samples["openai_status_last_success_timestamp_seconds"]


def test_before_the_first_read_only_up_is_exposed() -> None:
    found = [each.metric.name for each in families(False, None, (), ()) if each.samples]
    assert ["openai_status_up"] == found

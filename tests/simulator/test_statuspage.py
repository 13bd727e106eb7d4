# SPDX-License-Identifier: Apache-2.0
"""The status page on a socket."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from openai_simulator.catalogue import SimClock
from openai_simulator.faults import Faults
from openai_simulator.statuspage import COMPONENTS, StatusPage
from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts


@pytest.fixture
def page(simulator: SimulatorControl) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"{simulator.base_url}/status/api/v2", timeout=5, trust_env=False) as client:
        yield client


def statuses(body: Any) -> Counter[str]:
    return Counter(component["status"] for component in body["components"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/summary.json", "status_summary"),
        ("/components.json", "status_components"),
        ("/status.json", "status_only"),
        ("/incidents.json", "status_incidents"),
    ],
)
def test_documents_conform_in_calm_and_in_outage(
    page: httpx2.Client, simulator: SimulatorControl, facts: Facts, path: str, name: str
) -> None:
    facts.assert_conforms(name, page.get(path).json())
    simulator.fault("outage", scope="api")
    facts.assert_conforms(name, page.get(path).json())


def test_without_an_incident_the_key_is_missing(page: httpx2.Client) -> None:
    summary = page.get("/summary.json").json()
    assert "incidents" not in summary
    assert summary["status"]["indicator"] == "none"


def test_the_list_of_components_has_more_than_the_summary(page: httpx2.Client) -> None:
    summary, components = (page.get(path).json()["components"] for path in ("/summary.json", "/components.json"))
    missing = {component["name"] for component in components} - {component["name"] for component in summary}
    assert {"Codex Web", "Codex API", "CLI"} == missing
    assert (len(summary), len(components)) == (31, 34)


def test_two_components_have_one_name_but_all_have_their_own_id(page: httpx2.Client) -> None:
    components = page.get("/components.json").json()["components"]
    names = Counter(component["name"] for component in components)
    assert {"Login"} == {name for name, count in names.items() if count > 1}
    assert len({component["id"] for component in components}) == 34
    assert {26} == {len(component["id"]) for component in components}


def test_an_outage_shows_in_the_api_group_and_as_an_incident(page: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("outage", scope="api")
    summary = page.get("/summary.json").json()
    down = {component["name"] for component in summary["components"] if component["status"] == "major_outage"}
    assert {"Chat Completions", "Responses", "Embeddings", "Moderations"} <= down
    assert "Conversations" not in down
    assert (summary["status"]["indicator"], summary["incidents"][0]["status"]) == ("major", "investigating")
    assert set() == {*summary["incidents"][0]} & {"components", "affected_components"}


def test_an_outage_of_one_endpoint_shows_in_its_component_only(
    page: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("outage", "/v1/embeddings")
    summary = page.get("/summary.json").json()
    assert [c["name"] for c in summary["components"] if c["status"] != "operational"] == ["Embeddings"]
    assert summary["status"]["indicator"] == "minor"


def test_an_outage_of_the_organization_api_does_not_show(page: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("outage", scope="organization")
    assert {"operational"} == {*statuses(page.get("/summary.json").json())}


def test_after_the_outage_the_incident_is_resolved(page: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("outage", scope="api")
    running = page.get("/summary.json").json()["incidents"][0]
    simulator.clear()
    assert "incidents" not in page.get("/summary.json").json()
    past = page.get("/incidents.json").json()["incidents"]
    assert next(one["status"] for one in past if one["id"] == running["id"]) == "resolved"


def test_times_of_update_stand_still(page: httpx2.Client, simulator: SimulatorControl) -> None:
    before = page.get("/components.json").json()
    simulator.fault("outage", scope="api")
    after = page.get("/components.json").json()
    assert before["page"] == after["page"]
    assert {before["page"]["updated_at"]} == {component["updated_at"] for component in after["components"]}


async def test_an_outage_may_be_noticed_late() -> None:
    clock, faults = SimClock(1_000_000.0, speed=0), Faults()
    status = StatusPage(clock, faults, delay_seconds=300)
    faults.add({"kind": "outage", "scope": "api"})
    routes: dict[str, Any] = {getattr(route, "path", ""): route for route in status.routes()}
    summary = routes["/status/api/v2/summary.json"].endpoint

    assert b"major_outage" not in (await summary(None)).body
    clock.advance(301)
    assert b"major_outage" in (await summary(None)).body


async def test_an_outage_that_nobody_noticed_leaves_no_incident() -> None:
    clock, faults = SimClock(1_000_000.0, speed=0), Faults()
    status = StatusPage(clock, faults, delay_seconds=300)
    routes: dict[str, Any] = {getattr(route, "path", ""): route for route in status.routes()}
    history = routes["/status/api/v2/incidents.json"].endpoint

    faults.add({"kind": "outage", "scope": "api"})
    await history(None)
    faults.clear()
    assert b'"incidents":[]' in (await history(None)).body.replace(b" ", b"")


def test_the_api_group_has_the_ids_of_the_real_page() -> None:
    ids = {component.name: component.id for component in COMPONENTS if component.path}
    assert ids["Chat Completions"] == "01JMXBRMFE6N2NNT7DG6XZQ6PW"
    assert ids["Responses"] == "01JP8CD9JR3HR6Y7G4Q75N4DVW"

# SPDX-License-Identifier: Apache-2.0
"""Spend limits, spend alerts and rate limits on a socket."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from openai_simulator.organization.limits import ENFORCED_AFTER
from openai_simulator.organization.organization import month_start
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.simulator.conformance import Facts
from tests.simulator.organization.conftest import ADMIN, NOW

LIMIT = {"threshold_amount": 100_000_000, "currency": "USD", "interval": "month"}
CHANNEL = {"type": "email", "recipients": ["ops@example.com"], "subject_prefix": None}
RATE_LIMIT = "/projects/{project}/rate_limits/rl-gpt-6-luna"
ALERT = {**LIMIT, "notification_channel": CHANNEL}


@pytest.fixture(scope="module")
def simulator_of_this_file() -> Iterator[SimulatorControl]:
    with running_simulator(seed=7, clock=NOW, speed=0, latency_scale=0) as control:
        yield control


@pytest.fixture
def client(simulator_of_this_file: SimulatorControl) -> Iterator[httpx2.Client]:
    url = f"{simulator_of_this_file.api_url}/organization"
    with httpx2.Client(base_url=url, headers=ADMIN, timeout=20, trust_env=False) as admin:
        yield admin


@pytest.fixture
def projects(client: httpx2.Client) -> list[str]:
    return [project["id"] for project in client.get("/projects").json()["data"]]


def scopes(projects: list[str]) -> list[tuple[str, str]]:
    return [("organization", ""), ("project", f"/projects/{projects[0]}")]


def test_projects_have_a_limit_or_none(client: httpx2.Client, projects: list[str]) -> None:
    assert {200, 404} == {client.get(f"/projects/{one}/spend_limit").status_code for one in projects[1:]}


def test_a_spend_limit_is_set_read_and_deleted(client: httpx2.Client, facts: Facts, projects: list[str]) -> None:
    for kind, base in scopes(projects):
        made = client.post(f"{base}/spend_limit", json=LIMIT)
        assert made.status_code == 200
        facts.assert_conforms(f"{kind}_spend_limit", made.json())
        assert made.json() == client.get(f"{base}/spend_limit").json()
        assert made.json()["enforcement"]["status"] == "inactive"
        gone = client.delete(f"{base}/spend_limit")
        facts.assert_conforms(f"{kind}_spend_limit_deleted", gone.json())
        assert [client.get(f"{base}/spend_limit").status_code, client.delete(f"{base}/spend_limit").status_code] == [
            404,
            404,
        ]


def test_a_limit_below_the_months_spend_is_enforcing(client: httpx2.Client, projects: list[str]) -> None:
    for _, base in scopes(projects):
        made = client.post(f"{base}/spend_limit", json={**LIMIT, "threshold_amount": 1})
        assert made.json()["enforcement"] == {"status": "enforcing"}


def test_a_limit_is_enforcing_from_the_cent_on_that_was_spent_a_minute_ago(
    client: httpx2.Client, simulator_of_this_file: SimulatorControl
) -> None:
    now = simulator_of_this_file.clock()
    span = {"start": month_start(now), "end": now - ENFORCED_AFTER}
    url = f"{simulator_of_this_file.base_url}/_simulator/organization/bill"
    rows = httpx2.get(url, params=span, timeout=20, trust_env=False).json()["data"]
    cents = int(sum(Decimal(row["usd"]) for row in rows) * 100)
    statuses = [
        client.post("/spend_limit", json={**LIMIT, "threshold_amount": amount}).json()["enforcement"]["status"]
        for amount in (cents, cents + 1)
    ]
    assert statuses == ["enforcing", "inactive"]


@pytest.fixture
def ask(simulator_of_this_file: SimulatorControl, projects: list[str]) -> Iterator[Callable[[], httpx2.Response]]:
    """A chat request of a key of the second project; its limits are as before afterwards."""
    url = simulator_of_this_file.api_url
    with httpx2.Client(base_url=url, timeout=20, trust_env=False) as user:
        admin = httpx2.Client(base_url=f"{url}/organization", headers=ADMIN, timeout=20, trust_env=False)
        key = admin.get(f"/projects/{projects[1]}/api_keys").json()["data"][0]["id"]
        headers = {"Authorization": f"Bearer sk-{key}"}
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 5}
        yield lambda: user.post("/chat/completions", json=body, headers=headers)
        for base in ("", f"/projects/{projects[1]}"):
            admin.delete(f"{base}/spend_limit")
        admin.close()


@pytest.mark.parametrize("kind", ["project", "organization"])
def test_requests_are_rejected_once_a_limit_that_was_set_is_reached(
    kind: str, client: httpx2.Client, projects: list[str], ask: Callable[[], httpx2.Response]
) -> None:
    base = f"/projects/{projects[1]}" if kind == "project" else ""
    assert ask().status_code == 200
    client.post(f"{base}/spend_limit", json={**LIMIT, "threshold_amount": 1})
    refused = ask()
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, f"{kind}_spend_limit_exceeded")
    assert error["type"] == "insufficient_quota"
    client.delete(f"{base}/spend_limit")
    assert ask().status_code == 200


def test_a_limit_of_another_project_rejects_nothing(
    client: httpx2.Client, projects: list[str], ask: Callable[[], httpx2.Response]
) -> None:
    client.post(f"/projects/{projects[0]}/spend_limit", json={**LIMIT, "threshold_amount": 1})
    assert ask().status_code == 200
    client.delete(f"/projects/{projects[0]}/spend_limit")


def test_a_rate_limit_that_was_set_holds_for_all_keys_of_the_project_and_stands_in_the_headers(
    client: httpx2.Client, projects: list[str], ask: Callable[[], httpx2.Response]
) -> None:
    path = RATE_LIMIT.format(project=projects[1])
    before = next(one for one in client.get(f"/projects/{projects[1]}/rate_limits").json()["data"]
                  if one["model"] == "gpt-6-luna")  # fmt: skip
    client.post(path, json={"max_requests_per_1_minute": 2})
    replies = [ask() for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
    assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
    client.post(path, json={"max_requests_per_1_minute": 0})
    assert ask().status_code == 429
    client.post(path, json={"max_requests_per_1_minute": before["max_requests_per_1_minute"]})
    assert ask().status_code == 200


def test_alerts_are_listed_added_changed_and_deleted(client: httpx2.Client, facts: Facts, projects: list[str]) -> None:
    for kind, base in scopes(projects):
        made = client.post(f"{base}/spend_alerts", json=ALERT).json()
        facts.assert_conforms(f"{kind}_spend_alert", made)
        listed = client.get(f"{base}/spend_alerts").json()
        facts.assert_conforms(f"{kind}_spend_alert_list", listed)
        assert made in listed["data"]
        path = f"{base}/spend_alerts/{made['id']}"
        changed = client.post(path, json={**ALERT, "threshold_amount": 5}).json()
        assert {**made, "threshold_amount": 5} == changed == client.get(path).json()
        facts.assert_conforms(f"{kind}_spend_alert_deleted", client.delete(path).json())
        assert client.get(path).status_code == 404


def test_alerts_are_paged_both_ways(client: httpx2.Client) -> None:
    for _ in range(3):
        client.post("/spend_alerts", json=ALERT)
    everything = client.get("/spend_alerts").json()["data"]
    backwards = client.get("/spend_alerts", params={"order": "desc"}).json()["data"]
    before = client.get("/spend_alerts", params={"before": everything[3]["id"], "limit": 2}).json()
    assert everything == backwards[::-1]
    assert (everything[1:3], True) == (before["data"], before["has_more"])
    assert client.get("/spend_alerts", params={"limit": 0}).json()["data"] == []


def test_rate_limits_are_listed_for_each_undated_model(
    client: httpx2.Client, facts: Facts, projects: list[str]
) -> None:
    listed = client.get(f"/projects/{projects[1]}/rate_limits").json()
    facts.assert_conforms("project_rate_limit_list", listed)
    models = [limit["model"] for limit in listed["data"]]
    assert {"gpt-6-luna", "gpt-5.4", "text-embedding-3-small", "gpt-image-2"} <= set(models)
    assert "gpt-5.4-2026-03-05" not in models
    assert len(set(models)) == len(models)


def test_a_rate_limit_is_changed(client: httpx2.Client, facts: Facts, projects: list[str]) -> None:
    base = f"/projects/{projects[2]}/rate_limits"
    old = client.get(base).json()["data"][0]
    changed = client.post(f"{base}/{old['id']}", json={"max_requests_per_1_minute": 7}).json()
    facts.assert_conforms("project_rate_limit", changed)
    assert {**old, "max_requests_per_1_minute": 7} == changed == client.get(base).json()["data"][0]
    assert client.get(f"/projects/{projects[3]}/rate_limits").json()["data"][0]["max_requests_per_1_minute"] != 7


WRONG_BODIES: list[tuple[str, Any, str]] = [
    ("/spend_limit", {**LIMIT, "threshold_amount": 0}, "threshold_amount"),
    ("/spend_limit", {**LIMIT, "threshold_amount": "5"}, "threshold_amount"),
    ("/spend_limit", {**LIMIT, "threshold_amount": True}, "threshold_amount"),
    ("/spend_limit", {**LIMIT, "currency": "EUR"}, "currency"),
    ("/spend_limit", {**LIMIT, "interval": "day"}, "interval"),
    ("/spend_limit", {"threshold_amount": 5, "currency": "USD"}, "interval"),
    ("/spend_limit", {**LIMIT, "extra": 1}, "extra"),
    ("/spend_limit", [], "body"),
    ("/spend_alerts", LIMIT, "notification_channel"),
    ("/spend_alerts", {**ALERT, "threshold_amount": -1}, "threshold_amount"),
    ("/spend_alerts", {**ALERT, "notification_channel": {**CHANNEL, "type": "sms"}}, "notification_channel.type"),
    (
        "/spend_alerts",
        {**ALERT, "notification_channel": {**CHANNEL, "recipients": "me"}},
        "notification_channel.recipients",
    ),
    (
        "/spend_alerts",
        {**ALERT, "notification_channel": {**CHANNEL, "subject_prefix": 3}},
        "notification_channel.subject_prefix",
    ),
    (RATE_LIMIT, {"max_requests_per_1_minute": 1.5}, "max_requests_per_1_minute"),
    (RATE_LIMIT, {"max_tokens_per_1_hour": 1}, "max_tokens_per_1_hour"),
]  # fmt: skip


def test_wrong_bodies_are_refused(client: httpx2.Client, projects: list[str]) -> None:
    for path, body, param in WRONG_BODIES:
        reply = client.post(path.format(project=projects[0]), json=body)
        assert (400, param) == (reply.status_code, reply.json()["error"]["param"]), (path, body)


def test_a_body_that_is_no_json_is_refused(client: httpx2.Client) -> None:
    assert client.post("/spend_limit", content=b"{").status_code == 400


def test_unknown_ids_are_not_found(client: httpx2.Client) -> None:
    paths = ("/projects/proj_none/spend_limit", "/projects/proj_none/rate_limits", "/spend_alerts/alert_none")
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)


def test_changing_needs_another_scope_than_reading(simulator_of_this_file: SimulatorControl) -> None:
    url = f"{simulator_of_this_file.api_url}/organization/spend_limit"
    headers = {"authorization": "Bearer sk-proj-0123456789"}
    read, written = (httpx2.request(m, url, headers=headers, trust_env=False) for m in ("GET", "POST"))
    assert "api.management.read" in read.json()["error"]["message"]
    assert "api.management.write" in written.json()["error"]["message"]


def test_the_state_tells_the_limits(simulator_of_this_file: SimulatorControl, client: httpx2.Client) -> None:
    client.post("/spend_limit", json={**LIMIT, "threshold_amount": 4321})
    assert simulator_of_this_file.state()["books"]["limits"][""] == 4321

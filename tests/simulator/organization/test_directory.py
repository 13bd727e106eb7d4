# SPDX-License-Identifier: Apache-2.0
"""Projects, keys, users and service accounts on a socket."""

from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts
from tests.simulator.organization.conftest import DAY, MONTH, NOW, Get

LISTS = {
    "/projects": "project_list",
    "/users": "organization_user_list",
    "/admin_api_keys": "admin_api_key_list",
    "/projects/{project}/api_keys": "project_api_key_list",
    "/projects/{project}/users": "project_user_list",
    "/projects/{project}/service_accounts": "project_service_account_list",
}


@pytest.fixture
def project(get: Get) -> str:
    return str(get("/projects")["data"][0]["id"])


def test_lists_and_their_items_conform(get: Get, facts: Facts, project: str) -> None:
    for path, name in LISTS.items():
        url = path.format(project=project)
        page = get(url)
        assert facts.check(name, page) == [], path
        assert page["data"], path
        for item in page["data"]:
            single = get(f"{url}/{item['id']}")
            assert facts.check(name.removesuffix("_list"), single) == [], path
            assert item == single, path


def test_paging_by_id_is_the_whole_list_once(get: Get, project: str) -> None:
    for path in (path.format(project=project) for path in LISTS):
        whole = get(path, limit=100)
        found: list[dict[str, Any]] = []
        page = get(path, limit=1)
        while page["has_more"]:
            found += page["data"]
            page = get(path, limit=1, after=page["last_id"])
        found += page["data"]
        assert whole["data"] == found, path
        assert (whole["first_id"], whole["last_id"]) == (found[0]["id"], found[-1]["id"]), path


def test_a_list_that_fills_its_page_exactly_has_no_more(get: Get) -> None:
    count = len(get("/users")["data"])
    assert [True, False] == [get("/users", limit=limit)["has_more"] for limit in (count - 1, count)]


def test_archived_projects_are_shown_on_demand(get: Get) -> None:
    active, all_ = (get("/projects", include_archived=value)["data"] for value in ("false", "true"))
    archived = [project for project in all_ if project not in active]
    assert {"active"} == {project["status"] for project in active}
    assert {"archived"} == {project["status"] for project in archived}
    assert all(project["archived_at"] for project in archived)


def test_a_project_was_active_before_it_was_archived(get: Get, still: SimulatorControl) -> None:
    still.clock(now=NOW - 400 * DAY)
    projects = get("/projects", include_archived="true")["data"]
    assert {("active", None)} == {(project["status"], project["archived_at"]) for project in projects}


def test_nothing_is_listed_before_it_was_created(get: Get, still: SimulatorControl) -> None:
    still.clock(now=1672531200 + 30 * DAY)
    assert len(get("/projects")["data"]) == 1
    assert len(get("/users")["data"]) == 2


def test_the_keys_of_archived_projects_have_owners_without_access(get: Get) -> None:
    projects = get("/projects", include_archived="true")["data"]
    archived = next(project["id"] for project in projects if project["status"] == "archived")
    every = get(f"/projects/{archived}/api_keys")["data"]
    assert {"inactive"} == {key["owner_project_access"] for key in every}
    assert get(f"/projects/{archived}/api_keys", owner_project_access="active")["data"] == []


def keys(get: Get) -> list[dict[str, Any]]:
    projects = get("/projects", include_archived="true")["data"]
    return [key for project in projects for key in get(f"/projects/{project['id']}/api_keys")["data"]]


def test_there_are_keys_of_every_state_of_health(get: Get) -> None:
    found = keys(get)
    assert len(found) == 14
    assert any(key["last_used_at"] is None for key in found)
    assert any(key["last_used_at"] and key["last_used_at"] > NOW - 3600 for key in found)
    assert any(key["expires_at"] and NOW < key["expires_at"] < NOW + 90 * DAY for key in found)
    assert any(key["expires_at"] and key["expires_at"] < NOW for key in found)
    assert {"user", "service_account"} == {key["owner"]["type"] for key in found}


def test_keys_in_use_are_those_in_the_usage(get: Get) -> None:
    page = get("/usage/completions", start_time=MONTH, limit=31, group_by="api_key_id")
    seen = {row["api_key_id"] for bucket in page["data"] for row in bucket["results"]}
    used = {key["id"] for key in keys(get) if (key["last_used_at"] or 0) >= MONTH}
    assert seen <= used


def test_owners_are_the_users_of_the_usage(get: Get) -> None:
    page = get("/usage/completions", start_time=MONTH, limit=31, group_by=["api_key_id", "user_id"])
    owners = {key["id"]: key["owner"][key["owner"]["type"]]["id"] for key in keys(get)}
    for bucket in page["data"]:
        for row in bucket["results"]:
            assert owners[row["api_key_id"]] == row["user_id"]


def test_users_are_found_by_email(get: Get) -> None:
    address = get("/users")["data"][3]["email"]
    assert [address] == [user["email"] for user in get("/users", emails=address)["data"]]
    assert [address] == [user["email"] for user in get("/users", **{"emails[]": address})["data"]]


def test_admin_keys_come_in_the_order_asked_for(get: Get) -> None:
    up, down = (get("/admin_api_keys", order=order)["data"] for order in ("asc", "desc"))
    assert up == down[::-1]
    assert len(up) == 3


def test_unknown_ids_are_not_found(admin: httpx2.Client, project: str) -> None:
    for path in (
        "/projects/proj_none",
        "/projects/proj_none/api_keys",
        "/projects/{project}/api_keys/key_none",
        "/projects/{project}/users/user-none",
        "/projects/{project}/service_accounts/user-none",
        "/users/user-none",
        "/admin_api_keys/key_none",
    ):
        reply = admin.get(path.format(project=project))
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found"), path


def test_wrong_parameters_are_refused(admin: httpx2.Client) -> None:
    for path, name, value in (
        ("/projects", "limit", "0"),
        ("/projects", "limit", "101"),
        ("/projects", "limit", "ten"),
        ("/projects", "after", "proj_none"),
        ("/projects", "include_archived", "maybe"),
        ("/projects", "order", "asc"),
        ("/admin_api_keys", "order", "up"),
    ):
        reply = admin.get(path, params={name: value})
        assert (400, name) == (reply.status_code, reply.json()["error"]["param"]), (path, name, value)


def test_a_project_key_may_not_read(still: SimulatorControl, project: str) -> None:
    headers = {"authorization": "Bearer sk-proj-0123456789"}
    with httpx2.Client(base_url=f"{still.api_url}/organization", headers=headers, trust_env=False) as client:
        for path in LISTS:
            reply = client.get(path.format(project=project))
            assert reply.status_code == 403, path
            assert "api.management.read" in reply.json()["error"]["message"], path

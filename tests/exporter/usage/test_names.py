# SPDX-License-Identifier: Apache-2.0
"""Names and limits are what the API lists, page by page, project by project."""

import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import names
from openai_exporter.usage.names import Directory, Emails, Key, Project, User, named
from openai_exporter.usage.rows import MalformedError
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.scraping import ADMIN_KEY, Now, Scrape, of, scrape, service, up

# Names of ids: how they are read, how people are called, and what happens to what is gone.

NOVEMBER, DECEMBER = 1793491200, 1796083200


@pytest.mark.parametrize(
    ("name", "email", "emails", "expected"),
    [
        ("Ada", "ada@example.com", "off", "Ada"),
        ("Ada", "ada@example.com", "plain", "ada@example.com"),
        ("Ada", "ada@example.com", "hashed", "sha256:b5fc85e55755"),
        ("Ada", " ADA@example.com ", "hashed", "sha256:b5fc85e55755"),
        ("Ada", "", "plain", "Ada"),
        ("Ada", "", "hashed", ""),
        ("", "ada@example.com", "off", ""),
    ],
    ids=str,
)
def test_people_are_called_as_configured(name: str, email: str, emails: Emails, expected: str) -> None:
    assert expected == named(name, email, emails)


def test_a_key_of_a_project_has_its_owner_nested() -> None:
    item = {
        "id": "key_1",
        "name": "backend",
        "created_at": 1,
        "last_used_at": 2,
        "expires_at": None,
        "owner": {"type": "service_account", "service_account": {"id": "user-9", "name": "bot"}},
    }
    expected = Key("key_1", "backend", "project", "proj_1", "service_account", "user-9", 1, 2, None)
    assert expected == names.project_key(item, "proj_1")


def test_an_admin_key_has_its_owner_flat() -> None:
    item = {"id": "key_2", "name": None, "created_at": 1, "owner": {"type": "user", "id": "user-1"}}
    expected = Key("key_2", "", "admin", "", "user", "user-1", 1, None, None)
    assert expected == names.admin_key(item)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"id": "p", "name": "A", "status": "active"}, Project("p", "A", "active")),
        ({"id": "p", "name": None, "archived_at": 5}, Project("p", "", "archived")),
        ({"id": "p", "name": "A", "archived_at": None}, Project("p", "A", "active")),
    ],
    ids=["said", "archived", "unsaid"],
)
def test_a_project_is_active_or_archived(item: dict[str, Any], expected: Project) -> None:
    assert expected == names.project(item)


@pytest.mark.parametrize(
    "change",
    [{"name": 7}, {"owner": "x"}, {"created_at": "yesterday"}, {"last_used_at": -1}, {"owner": {"type": 3}}],
    ids=str,
)
def test_wrong_types_are_refused_by_name(change: dict[str, Any]) -> None:
    item = {"id": "key_1", "name": "n", "created_at": 1, "owner": {}} | change
    with pytest.raises(MalformedError) as found:
        names.project_key(item, "proj_1")
    assert str(found.value).startswith(f"{next(iter(change))}: expected") or "type: expected" in str(found.value)


def lists(*ids: str, name: str = "x") -> Directory:
    return Directory(
        {id: Project(id, name, "active") for id in ids},
        {id: Key(id, name, "project", "p", "user", "u", 1, None, None) for id in ids},
        {id: User(id, name, "owner") for id in ids},
    )


def test_what_is_renamed_has_only_its_new_name() -> None:
    found = Directory().followed_by(lists("a"), NOVEMBER).followed_by(lists("a", name="y"), NOVEMBER)
    assert ["y"] == [each.name for each in found.projects.values()]


def test_what_is_gone_keeps_its_name_until_the_month_ends() -> None:
    found = Directory().followed_by(lists("a", "b"), NOVEMBER).followed_by(lists("a"), NOVEMBER)
    assert {"a": "active", "b": "deleted"} == {id: each.status for id, each in found.projects.items()}
    assert {"a", "b"} == found.keys.keys() == found.users.keys()
    again = found.followed_by(lists("a"), NOVEMBER).followed_by(lists("a"), DECEMBER)
    assert {"a"} == again.projects.keys() == again.keys.keys() == again.users.keys()


def test_what_comes_back_is_active_again() -> None:
    found = Directory().followed_by(lists("a"), NOVEMBER).followed_by(lists(), NOVEMBER)
    assert "deleted" == found.projects["a"].status
    assert "active" == found.followed_by(lists("a"), NOVEMBER).projects["a"].status


# Names and limits are what the API lists, page by page, project by project.

MORE = "  usage: {embeddings: {group_by: [model]}}\n  costs: null\n"


@pytest.fixture
async def usage(simulator: SimulatorControl, now: Now) -> AsyncIterator[UsageService]:
    made = service(simulator.api_url, now, more=MORE)
    yield made
    await made.close()


def listed(simulator: SimulatorControl, path: str) -> list[dict[str, Any]]:
    """Everything that the API lists, or nothing where it says 404."""
    body = called(simulator, f"{path}{'&' if '?' in path else '?'}limit=100")
    return list(body["data"])


def called(simulator: SimulatorControl, path: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{simulator.api_url}/organization{path}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def projects(simulator: SimulatorControl) -> list[dict[str, Any]]:
    return listed(simulator, "/projects?include_archived=true")


def active(simulator: SimulatorControl) -> list[str]:
    return [each["id"] for each in projects(simulator) if each["status"] == "active"]


def rows(found: Scrape, metric: Any, *names: str) -> set[tuple[str, ...]]:
    return {tuple(dict(labels).get(name, "") for name in names) for labels in of(found, metric)}


async def test_projects_have_name_and_status(usage: UsageService, simulator: SimulatorControl) -> None:
    found = scrape(await usage.page())
    expected = {(each["id"], each["name"], each["status"]) for each in projects(simulator)}
    assert expected == rows(found, metrics.PROJECT_INFO, "project_id", "project", "status")


async def test_keys_have_name_project_and_owner(usage: UsageService, simulator: SimulatorControl) -> None:
    found = scrape(await usage.page())
    expected = set()
    for project in active(simulator):
        for key in listed(simulator, f"/projects/{project}/api_keys"):
            kind = key["owner"]["type"]
            expected.add((key["id"], key["name"], project, kind, key["owner"][kind]["id"]))
    for key in listed(simulator, "/admin_api_keys"):
        expected.add((key["id"], key["name"], "", key["owner"]["type"], key["owner"]["id"]))
    names = ("api_key_id", "api_key", "project_id", "owner_type", "owner_id")
    assert expected == rows(found, metrics.API_KEY_INFO, *names)


async def test_keys_have_their_times(usage: UsageService, simulator: SimulatorControl) -> None:
    found = scrape(await usage.page())
    keys = [(key, "admin") for key in listed(simulator, "/admin_api_keys")]
    for project in active(simulator):
        keys += [(key, "project") for key in listed(simulator, f"/projects/{project}/api_keys")]
    for metric, field in (
        (metrics.API_KEY_CREATED, "created_at"),
        (metrics.API_KEY_LAST_USED, "last_used_at"),
        (metrics.API_KEY_EXPIRES, "expires_at"),
    ):
        expected = {(key["id"], kind): float(key[field]) for key, kind in keys if key.get(field) is not None}
        assert expected
        assert expected == {(dict(k)["api_key_id"], dict(k)["kind"]): value for k, value in of(found, metric).items()}


@pytest.mark.parametrize("emails", ["off", "plain", "hashed"])
async def test_people_and_service_accounts_are_named_as_configured(
    simulator: SimulatorControl, now: Now, emails: str
) -> None:
    usage = service(simulator.api_url, now, more=f"{MORE}  emails: {emails}\n")
    found = rows(scrape(await usage.page()), metrics.USER_INFO, "user_id", "user", "role")
    await usage.close()
    people = {(each["id"], each["role"]): each for each in listed(simulator, "/users")}
    for id, name, role in found:
        if role == "service_account":
            continue
        person = people.pop((id, role))
        shown = {"off": person["name"], "plain": person["email"]}.get(emails)
        assert name == shown or (emails == "hashed" and name.startswith("sha256:"))
    assert not people
    bots = {name for _, name, role in found if role == "service_account"}
    assert bots
    assert ("@" in str(found)) == (emails == "plain")


async def test_limits_are_in_dollars_by_scope(usage: UsageService, simulator: SimulatorControl) -> None:
    found = scrape(await usage.page())
    told = simulator.state()["books"]["limits"]
    expected = {("project" if id else "organization", id): cents / 100 for id, cents in told.items()}
    actual = {
        (dict(labels)["scope"], dict(labels).get("project_id", "")): usd
        for labels, usd in of(found, metrics.SPEND_LIMIT).items()
    }
    assert {key: usd for key, usd in expected.items() if key[1] in ("", *active(simulator))} == actual
    enforcing = of(found, metrics.SPEND_LIMIT_ENFORCING)
    assert len(actual) == len(enforcing)
    status = called(simulator, "/spend_limit")["enforcement"]["status"]
    assert float(status == "enforcing") == enforcing[(("scope", "organization"),)]


async def test_spend_alerts_are_listed_with_their_threshold(usage: UsageService, simulator: SimulatorControl) -> None:
    found = scrape(await usage.page())
    expected = {("organization", "", a["id"]): a["threshold_amount"] / 100 for a in listed(simulator, "/spend_alerts")}
    for project in active(simulator):
        for alert in listed(simulator, f"/projects/{project}/spend_alerts"):
            expected["project", project, alert["id"]] = alert["threshold_amount"] / 100
    assert expected
    actual = {
        tuple(dict(labels).get(name, "") for name in ("scope", "project_id", "alert_id")): usd
        for labels, usd in of(found, metrics.SPEND_ALERT_THRESHOLD).items()
    }
    assert expected == actual


async def test_rate_limits_are_those_of_each_project_and_model(
    usage: UsageService, simulator: SimulatorControl
) -> None:
    found = scrape(await usage.page())
    for metric, field in (
        (metrics.PROJECT_RPM, "max_requests_per_1_minute"),
        (metrics.PROJECT_TPM, "max_tokens_per_1_minute"),
    ):
        expected = {
            (project, each["model"]): float(each[field])
            for project in active(simulator)
            for each in listed(simulator, f"/projects/{project}/rate_limits")
        }
        assert expected
        actual = {
            (dict(labels)["project_id"], dict(labels)["model"]): value for labels, value in of(found, metric).items()
        }
        assert expected == actual


async def test_limits_are_read_without_names_too(simulator: SimulatorControl, now: Now) -> None:
    usage = service(simulator.api_url, now, more=f"{MORE}  names: false\n")
    found = scrape(await usage.page())
    await usage.close()
    assert of(found, metrics.PROJECT_RPM)
    assert not of(found, metrics.PROJECT_INFO)
    assert {"embeddings", "limits"} == up(found).keys()


async def test_a_large_organization_is_read_through_all_pages(now: Now) -> None:
    with running_simulator(latency_scale=0, projects=120, keys=150, users=130, clock="2026-11-21", speed=0) as large:
        usage = service(large.api_url, now, more=f"{MORE}  limits: false\n  timeout: 60s\n")
        for _ in range(20):
            found = scrape(await usage.page())
            now.advance(61)
            if "names" in up(found):
                break
        await usage.close()
    assert 120 == len(of(found, metrics.PROJECT_INFO))
    assert {("active",), ("archived",)} == rows(found, metrics.PROJECT_INFO, "status")
    people = [row for row in rows(found, metrics.USER_INFO, "role") if row != ("service_account",)]
    assert people
    assert 130 == sum("service_account" not in dict(labels)["role"] for labels in of(found, metrics.USER_INFO))

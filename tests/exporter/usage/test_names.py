# SPDX-License-Identifier: Apache-2.0
"""Names and limits are what the API lists, page by page, project by project."""

import json
import logging
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
from tests.exporter.usage.scraping import ADMIN_KEY, Now, Scrape, asked, of, scrape, service, since, up
from tests.exporter.usage.serving import answering

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


def refuse(error: MalformedError) -> None:
    raise error


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
    assert expected == names.project_key(item, "proj_1", refuse)


def test_an_admin_key_has_its_owner_flat() -> None:
    item = {"id": "key_2", "name": None, "created_at": 1, "owner": {"type": "user", "id": "user-1"}}
    expected = Key("key_2", "", "admin", "", "user", "user-1", 1, None, None)
    assert expected == names.admin_key(item, refuse)


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
    [
        {"name": 7},
        {"owner": "x"},
        {"created_at": "yesterday"},
        {"last_used_at": -1},
        {"owner": {"type": 3}},
        {"created_at": True},
        {"expires_at": 1_795_000_000_000},
        {"expires_at": "2026-13-01T00:00:00Z"},
    ],
    ids=str,
)
def test_wrong_types_are_refused_by_name(change: dict[str, Any]) -> None:
    item = {"id": "key_1", "name": "n", "created_at": 1, "owner": {}} | change
    with pytest.raises(MalformedError) as found:
        names.project_key(item, "proj_1", refuse)
    assert str(found.value).startswith(f"{next(iter(change))}: expected") or "type: expected" in str(found.value)


@pytest.mark.parametrize(
    "written",
    [1_795_000_000, 1_795_000_000.5, "1795000000", "2026-11-18T11:06:40Z", "2026-11-18T12:06:40+01:00",
     "2026-11-18T11:06:40"],
    ids=str,
)  # fmt: skip
def test_a_time_is_read_however_it_is_written(written: object) -> None:
    assert 1_795_000_000 == names.admin_key({"id": "k", "expires_at": written}, refuse).expires_at


def test_a_time_that_is_none_is_left_out_and_noted() -> None:
    noted: list[MalformedError] = []
    key = names.admin_key({"id": "k", "name": "n", "created_at": 5, "last_used_at": "soon"}, noted.append)
    assert ("n", 5, None) == (key.name, key.created_at, key.last_used_at)
    assert ["last_used_at: expected Unix seconds or null, got 'soon'"] == [str(each) for each in noted]


def test_an_address_that_is_not_shown_is_not_decoded() -> None:
    assert User("u", "Ada", "owner") == names.user({"id": "u", "name": "Ada", "email": 7, "role": "owner"}, "off")


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


# One list that fails takes none of the others along.

KINDS = ("projects", "users", "admin_api_keys", "api_keys", "service_accounts")


def told(found: Scrape) -> dict[str, set[tuple[tuple[str, str], ...]]]:
    """What is listed, by the list that says it."""
    keys, users = set(of(found, metrics.API_KEY_INFO)), set(of(found, metrics.USER_INFO))
    bots = {user for user in users if ("role", "service_account") in user}
    admin = {key for key in keys if "project_id" not in dict(key)}
    return dict(
        zip(KINDS, (set(of(found, metrics.PROJECT_INFO)), users - bots, admin, keys - admin, bots), strict=True)
    )


@pytest.mark.parametrize("status", [400, 403, 404, 500])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_that_fails_is_named_and_the_others_are_there(
    simulator: SimulatorControl, now: Now, usage: UsageService, kind: str, status: int
) -> None:
    whole = told(scrape(await usage.page()))
    fresh = service(simulator.api_url, now, more=MORE)
    project = active(simulator)[0]
    path = f"/organization/projects/{project}/{kind}" if kind in KINDS[3:] else f"/organization/{kind}"
    simulator.fault("status", path=f"/v1{path}", status=status)
    found = scrape(await fresh.page())
    state = next(each for each in fresh.summary().datasets if each.name == "names")
    await fresh.close()
    missing = {"projects": {"projects", "api_keys", "service_accounts"}}.get(kind, {kind})
    assert {each: whole[each] for each in whole.keys() - missing} == {
        each: entries for each, entries in told(found).items() if each not in missing
    }
    assert whole[kind] > told(found)[kind]
    if status != 404 or kind in KINDS[:3]:
        assert (0.0, True) == (up(found)["names"], state.error.startswith(f"{path}: HTTP {status}"))


async def test_a_list_that_fails_later_keeps_what_it_said(
    simulator: SimulatorControl, now: Now, usage: UsageService
) -> None:
    before = told(scrape(await usage.page()))
    for path in ("projects", "users", "projects/*/api_keys"):
        simulator.fault("status", path=f"/v1/organization/{path}", status=403)
    now.advance(1000)
    after = scrape(await usage.page())
    assert before == told(after)
    assert 0.0 == up(after)["names"]


async def test_what_fails_in_part_is_read_again_less_and_less_often(
    simulator: SimulatorControl, now: Now, usage: UsageService
) -> None:
    simulator.fault("status", path="/v1/organization/users", status=403)
    reads = []
    for _ in range(40):
        before = asked(usage)
        await usage.page()
        reads.append("names" in since(usage, before))
        now.advance(61)
    assert [0, 1, 3, 7, 15, 30] == [place for place, read in enumerate(reads) if read]


async def test_an_odd_entry_is_skipped_counted_and_told(now: Now, caplog: pytest.LogCaptureFixture) -> None:
    def listed(*items: object) -> dict[str, Any]:
        return {"data": list(items), "has_more": False}

    documents = {
        "/projects": listed({"id": "p", "name": "A"}, {"name": "no id"}, {"id": "q", "name": 7}, None),
        "/users": listed({"id": "u", "name": "Ada", "role": []}, {"id": "v", "name": "Bob"}),
        "/admin_api_keys": listed({"id": "k", "name": "K", "expires_at": "soon"}),
        "/projects/p/api_keys": listed(),
        "/projects/p/service_accounts": listed(),
        "/usage/embeddings": {"data": []},
    }
    with answering(documents) as url, caplog.at_level(logging.WARNING):
        usage = service(url, now, more=f"{MORE}  limits: false\n")
        for _ in range(2):
            found = scrape(await usage.page())
            now.advance(1000)
        await usage.close()
    assert [("A",), ("Bob",), ("K",)] == [
        *rows(found, metrics.PROJECT_INFO, "project"),
        *rows(found, metrics.USER_INFO, "user"),
        *rows(found, metrics.API_KEY_INFO, "api_key"),
    ]
    assert {"projects": 3, "users": 1, "admin_api_keys": 1, "api_keys": 0, "service_accounts": 0} == {
        dict(labels)["list"]: skipped for labels, skipped in of(found, metrics.SKIPPED_ENTRIES).items()
    }
    assert 1.0 == up(found)["names"]
    assert [
        "organization acme: dataset names: "
        "skipped /organization/projects: data[1]: expected an object with an id, got {'name': 'no id'}; "
        "skipped /organization/users: data[0]: role: expected a string or null, got []; "
        "skipped /organization/admin_api_keys: data[0]: expires_at: expected Unix seconds or null, got 'soon'"
    ] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"data": None}, "data: expected an array, got None"),
        ({"data": [{"id": "u"}], "has_more": "yes"}, "has_more: expected true or false, got 'yes'"),
        ({"data": [], "has_more": True}, "last_id: expected an id since has_more is true"),
        ({"data": [{"id": 7}], "has_more": True}, "last_id: expected an id since has_more is true"),
        ({"data": [{"id": 7}, 5]}, "expected an object with an id, got {'id': 7}"),
        ({"data": [{"id": "u"}], "has_more": True, "last_id": "u"}, "the list comes back to 'u'"),
    ],
    ids=["data", "more", "nothing", "no-id", "all-odd", "loop"],
)
async def test_a_list_that_is_not_complete_is_not_taken_over(now: Now, document: dict[str, Any], message: str) -> None:
    good = {"data": [{"id": "p", "name": "A", "status": "archived"}]}
    with answering({"/projects": good, "/users": document, "/admin_api_keys": {"data": []}}) as url:
        usage = service(url, now, more=f"{MORE}  limits: false\n")
        found = scrape(await usage.page())
        await usage.close()
    state = next(each for each in usage.summary().datasets if each.name == "names")
    assert f"/organization/users: {message}" == state.error
    assert (1, 0) == (len(of(found, metrics.PROJECT_INFO)), len(of(found, metrics.USER_INFO)))


async def test_an_entry_without_an_id_at_the_end_of_a_page_does_not_end_the_list(now: Now) -> None:
    documents = {
        "/projects": {"data": []},
        "/users": {"data": [{"id": "u", "name": "Ada"}, {"name": "no id"}], "has_more": True, "last_id": "x"},
        "/users x": {"data": [{"id": "v", "name": "Bob"}]},
        "/admin_api_keys": {"data": []},
    }
    with answering(documents) as url:
        usage = service(url, now, more=f"{MORE}  limits: false\n")
        found = scrape(await usage.page())
        await usage.close()
    assert {("Ada",), ("Bob",)} == rows(found, metrics.USER_INFO, "user")

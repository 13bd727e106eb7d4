# SPDX-License-Identifier: Apache-2.0
"""Names of ids: how they are read, how people are called, and what happens to what is gone."""

from typing import Any

import pytest

from openai_exporter.errors import UpstreamError
from openai_exporter.usage import directory
from openai_exporter.usage.directory import Directory, Emails, Key, Project, User, named

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
    assert expected == directory.project_key(item, "proj_1")


def test_an_admin_key_has_its_owner_flat() -> None:
    item = {"id": "key_2", "name": None, "created_at": 1, "owner": {"type": "user", "id": "user-1"}}
    expected = Key("key_2", "", "admin", "", "user", "user-1", 1, None, None)
    assert expected == directory.admin_key(item)


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
    assert expected == directory.project(item)


@pytest.mark.parametrize(
    "change",
    [{"name": 7}, {"owner": "x"}, {"created_at": "yesterday"}, {"last_used_at": -1}, {"owner": {"type": 3}}],
    ids=str,
)
def test_wrong_types_are_refused_by_name(change: dict[str, Any]) -> None:
    item = {"id": "key_1", "name": "n", "created_at": 1, "owner": {}} | change
    with pytest.raises(UpstreamError) as found:
        directory.project_key(item, "proj_1")
    assert "malformed" == found.value.reason
    assert str(found.value).startswith(f"{next(iter(change))}: expected") or "type: expected" in str(
        found.value
    )


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

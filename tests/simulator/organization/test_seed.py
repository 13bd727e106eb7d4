# SPDX-License-Identifier: Apache-2.0
"""The seeded roster and its sizes."""

import re

import pytest

from openai_simulator.organization.seed import OrganizationSize, roster
from tests.simulator.organization.conftest import sized

ROSTER = roster(7, sized())


def test_the_same_seed_gives_the_same_organization() -> None:
    assert roster(7, sized()) == ROSTER
    assert roster(8, sized()).projects[0].id != ROSTER.projects[0].id


def test_the_default_organization_is_of_a_believable_size() -> None:
    counts = [len(part) for part in (ROSTER.projects, ROSTER.keys, ROSTER.users)]
    assert counts == [5, 14, 8]


@pytest.mark.parametrize(
    ("ids", "form"),
    [
        ([project.id for project in ROSTER.projects], r"proj_\w{24}"),
        ([*(key.id for key in ROSTER.keys), *(key.id for key in ROSTER.admin_keys)], r"key_\w{16}"),
        ([*(user.id for user in ROSTER.users), *(bot.id for bot in ROSTER.service_accounts)], r"user-\w{24}"),
    ],
    ids=["projects", "keys", "users"],
)
def test_ids_look_like_the_real_ones_and_are_unique(ids: list[str], form: str) -> None:
    assert all(re.fullmatch(form, one) for one in ids)
    assert len(ids) == len(set(ids))


def test_there_is_something_of_everything_that_a_monitor_cares_about() -> None:
    assert {key.expiry for key in ROSTER.keys} == {"never", "rotated", "expired"}
    assert {key.used for key in ROSTER.keys} == {True, False}
    assert {key.user is None for key in ROSTER.keys} == {True, False}
    assert any(project.archived_at for project in ROSTER.projects)


def test_every_key_has_one_owner_who_belongs_to_its_project() -> None:
    for key in ROSTER.keys:
        assert (key.user is None) != (key.service_account is None)
        if key.user is not None:
            assert key.project_id in key.user.projects
        if key.service_account is not None:
            assert key.project_id == key.service_account.project_id


def test_a_size_that_does_not_count_streams_gets_five_for_each_key() -> None:
    assert OrganizationSize(projects=2, keys=4, users=3).stream_count == 20
    assert OrganizationSize(streams=3).stream_count == 3


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"projects": 0}, "projects: 0 is too few; at least 1"),
        ({"streams": 421}, "streams: 421 is not within 0 and 420 (30 per key)"),
        ({"streams": -1}, "streams: -1 is not within 0 and 420 (30 per key)"),
    ],
    ids=["no-project", "too-many-streams", "negative"],
)
def test_an_impossible_size_is_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sized(**counts)


@pytest.mark.parametrize("size", [sized(projects=1, keys=1, users=1, streams=1), sized(users=1)])
def test_small_organizations_work(size: OrganizationSize) -> None:
    assert len(roster(1, size).keys) == size.keys

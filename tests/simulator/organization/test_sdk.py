# SPDX-License-Identifier: Apache-2.0
"""Every usage, costs and admin endpoint through the official SDK."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.testing import SimulatorControl
from tests.simulator.organization.conftest import DAY, MONTH, NOW


@pytest.fixture
def client(still: SimulatorControl) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="sk-test-0123456789", admin_api_key="sk-admin-test-0123456789", base_url=still.api_url,
        max_retries=0,
    ) as sdk:  # fmt: skip
        yield sdk


@pytest.mark.parametrize("name", OPERATIONS)
def test_usage_is_read_by_page(client: openai.OpenAI, name: str) -> None:
    method: Any = getattr(client.admin.organization.usage, name)
    group_by = [*OPERATIONS[name].dimensions]
    first = method(start_time=MONTH, limit=12, group_by=group_by)
    second = method(start_time=MONTH, limit=12, group_by=group_by, page=first.next_page)
    assert (first.has_more, second.has_more) == (True, False)
    results = [row for bucket in (*first.data, *second.data) for row in bucket.results]
    assert {OPERATIONS[name].result} == {row.object for row in results}
    field = OPERATIONS[name].fields[0]
    assert sum(getattr(row, field) for row in results) > 0
    assert {row.project_id for row in results}


def test_filters_of_the_sdk_are_understood(client: openai.OpenAI) -> None:
    page = client.admin.organization.usage.completions(
        start_time=MONTH, end_time=MONTH + DAY, bucket_width="1h", limit=24, models=["gpt-6-luna"], batch=False,
        group_by=["model", "batch"],
    )  # fmt: skip
    rows: Any = [row for bucket in page.data for row in bucket.results]
    assert {("gpt-6-luna", False)} == {(row.model, row.batch) for row in rows}


def test_costs_are_read(client: openai.OpenAI) -> None:
    page = client.admin.organization.usage.costs(
        start_time=MONTH, end_time=NOW, limit=31, group_by=["project_id", "line_item"]
    )
    rows: Any = [row for bucket in page.data for row in bucket.results]
    assert sum(float(row.amount.value) for row in rows) > 100
    assert {"usd"} == {row.amount.currency for row in rows}


def test_the_directory_pages_by_itself(client: openai.OpenAI) -> None:
    organization = client.admin.organization
    projects = [*organization.projects.list(limit=2, include_archived=True)]
    assert len(projects) == 5
    assert len([*organization.users.list(limit=3)]) == 8
    assert len([*organization.admin_api_keys.list(limit=2)]) == 3
    keys = [key for project in projects for key in organization.projects.api_keys.list(project.id, limit=2)]
    assert len(keys) == 14
    members = [*organization.projects.users.list(projects[0].id)]
    accounts = [*organization.projects.service_accounts.list(projects[0].id)]
    limits = [*organization.projects.rate_limits.list_rate_limits(projects[0].id, limit=7)]
    assert (len(members), len(accounts)) == (8, 1)
    assert len({limit.id for limit in limits}) == len(limits) > 20


def test_single_objects_are_retrieved(client: openai.OpenAI) -> None:
    organization = client.admin.organization
    project = next(iter(organization.projects.list()))
    key = next(iter(organization.projects.api_keys.list(project.id)))
    assert project == organization.projects.retrieve(project.id)
    assert key == organization.projects.api_keys.retrieve(key.id, project_id=project.id)
    user = next(iter(organization.users.list()))
    assert user == organization.users.retrieve(user.id)
    admin_key = next(iter(organization.admin_api_keys.list()))
    assert admin_key == organization.admin_api_keys.retrieve(admin_key.id)


def test_limits_are_read(client: openai.OpenAI) -> None:
    organization = client.admin.organization
    assert organization.spend_limit.retrieve().threshold_amount == 5_000_000
    assert [alert.threshold_amount for alert in organization.spend_alerts.list()] == [800_000, 1_200_000]
    projects = [*organization.projects.list()]
    with pytest.raises(openai.NotFoundError):
        organization.projects.spend_limit.retrieve(projects[0].id)
    assert organization.projects.spend_limit.retrieve(projects[1].id).currency == "USD"
    assert len([*organization.projects.spend_alerts.list(projects[1].id)]) == 1


@pytest.mark.parametrize(
    ("key", "error"), [("sk-proj-0123456789", openai.PermissionDeniedError), ("sk-invalid", openai.AuthenticationError)]
)
def test_wrong_keys_raise(still: SimulatorControl, key: str, error: type[openai.OpenAIError]) -> None:
    with (
        openai.OpenAI(admin_api_key=key, base_url=still.api_url, max_retries=0, api_key="sk-x") as sdk,
        pytest.raises(error),
    ):
        sdk.admin.organization.usage.completions(start_time=MONTH)


def test_a_wrong_grouping_raises(client: openai.OpenAI) -> None:
    wrong: Any = ["colour"]
    with pytest.raises(openai.BadRequestError, match="group_by"):
        client.admin.organization.usage.completions(start_time=MONTH, group_by=wrong)

# SPDX-License-Identifier: Apache-2.0
"""Limits: what is set, in dollars; nothing where nothing is set."""

from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics

from .scraping import Now, Scrape, of, scrape, service, up
from .serving import answering

MORE = "  usage: {}\n  costs: null\n  names: false\n"


def limit(cents: object, currency: object = "USD", status: object = "inactive") -> dict[str, Any]:
    return {"threshold_amount": cents, "currency": currency, "enforcement": {"status": status}}


def listed(*items: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": more}


async def read(documents: dict[str, Any]) -> tuple[Scrape, str]:
    """(a scrape, the error of the dataset) of an API with these documents, and empty lists else."""
    with answering({"/spend_alerts": listed(), "/projects": listed()} | documents) as url:
        usage = service(url, Now(), more=MORE)
        found = scrape(await usage.page())
        await usage.close()
    assert {"limits"} == up(found).keys()
    return found, usage.summary().datasets[0].error


async def test_nothing_is_exposed_where_nothing_is_set() -> None:
    found, error = await read({})
    assert "" == error
    assert not of(found, metrics.SPEND_LIMIT)
    assert not of(found, metrics.SPEND_LIMIT_ENFORCING)


@pytest.mark.parametrize(
    ("status", "enforcing"), [("enforcing", 1.0), ("inactive", 0.0), ("a new word", 0.0)]
)
async def test_a_limit_is_in_dollars_and_says_whether_it_blocks(status: str, enforcing: float) -> None:
    found, _ = await read({"/spend_limit": limit(12_345, status=status)})
    labels = (("scope", "organization"),)
    assert {labels: 123.45} == of(found, metrics.SPEND_LIMIT)
    assert {labels: enforcing} == of(found, metrics.SPEND_LIMIT_ENFORCING)


async def test_a_limit_in_another_currency_is_not_shown_as_dollars() -> None:
    found, error = await read({"/spend_limit": limit(100, currency="EUR")})
    assert ({}, "") == (of(found, metrics.SPEND_LIMIT), error)


async def test_a_project_that_is_archived_meanwhile_is_left_out() -> None:
    found, error = await read(
        {
            "/projects": listed({"id": "gone"}, {"id": "p"}),
            "/projects/p/spend_alerts": listed({"id": "a", "threshold_amount": 5, "currency": "USD"}),
            "/projects/p/rate_limits": listed({"id": "r", "model": "m", "max_requests_per_1_minute": 3}),
        }
    )
    assert "" == error
    assert {(("model", "m"), ("project_id", "p")): 3.0} == of(found, metrics.PROJECT_RPM)
    assert {} == of(found, metrics.PROJECT_TPM)


async def test_lists_are_read_page_by_page() -> None:
    found, _ = await read(
        {
            "/spend_alerts": listed({"id": "a", "threshold_amount": 1, "currency": "USD"}, more=True),
            "/spend_alerts a": listed({"id": "b", "threshold_amount": 2, "currency": "USD"}),
        }
    )
    assert {0.01, 0.02} == set(of(found, metrics.SPEND_ALERT_THRESHOLD).values())


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({"/spend_limit": limit("5")}, "threshold_amount: expected a whole number or null, got '5'"),
        ({"/spend_limit": limit(None)}, "threshold_amount: is missing"),
        ({"/spend_limit": limit(5, currency=7)}, "currency: expected a string or null, got 7"),
        ({"/spend_limit": {"threshold_amount": 5, "enforcement": "on"}}, "enforcement: expected an object or null"),
        ({"/spend_alerts": {"data": "x"}}, "data: expected an array, got 'x'"),
        ({"/spend_alerts": listed({"id": 5})}, "data[0]: expected an object with an id, got {'id': 5}"),
        (
            {"/spend_alerts": listed({"id": "a", "threshold_amount": 1}, more=True),
             "/spend_alerts a": listed({"id": "a", "threshold_amount": 1}, more=True)},
            "/organization/spend_alerts: the list comes back to 'a'",
        ),
    ],
    ids=["cents", "none", "currency", "enforcement", "data", "id", "loop"],
)  # fmt: skip
async def test_another_form_is_named(documents: dict[str, Any], message: str) -> None:
    found, error = await read(documents)
    assert error.startswith(message)
    assert {"limits": 0.0} == up(found)

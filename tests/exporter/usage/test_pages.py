# SPDX-License-Identifier: Apache-2.0
"""Pages of buckets are followed to their end, and every departure from the agreed form is named."""

from typing import Any

import pytest

from openai_exporter.client.organization import Calls, OrganizationClient
from openai_exporter.config.secret import Credential, Secret
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.usage.pages import Query, Take, read
from openai_exporter.usage.rows import MalformedError
from tests.exporter.usage.serving import answering

PATH = "/organization/usage/images"


def reading(documents: dict[str, Any]) -> dict[int, list[Any]]:
    """Read all pages from a server of these documents."""
    found: dict[int, list[Any]] = {}

    def bucket(start: int) -> Take:
        def take(result: Any) -> None:
            if result == "bad":
                raise MalformedError("images: expected a whole number, got 'bad'")
            found.setdefault(start, []).append(result)

        found.setdefault(start, [])
        return take

    with answering(documents) as url:
        client = OrganizationClient(url, Credential("k", value=Secret("sk-admin-1")), 5)
        calls = Calls(client, "acme", Instruments(process=False))
        assert read(calls, Query(PATH, "images", [("limit", "7")], lambda: None), lambda reply: bucket)
        calls.close()
    return found


def failure(documents: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(UpstreamError) as found:
        reading(documents)
    return found.value.reason, str(found.value)


def bucket(start: object, *results: object) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start, "end_time": 0, "results": list(results)}


def page(*data: object, more: object = False, cursor: object = None) -> dict[str, Any]:
    return {"object": "page", "data": list(data), "has_more": more, "next_page": cursor}


def test_all_pages_are_read() -> None:
    documents = {
        "/usage/images": page(bucket(1, "a", "b"), bucket(2), more=True, cursor="p=2&x"),
        "/usage/images p=2&x": page(bucket(3, "c"), more=True, cursor="p3"),
        "/usage/images p3": page(bucket(4, "d")),
    }
    assert {1: ["a", "b"], 2: [], 3: ["c"], 4: ["d"]} == reading(documents)


def test_results_may_stand_before_the_start_of_their_bucket() -> None:
    turned = {"results": ["a"], "object": "bucket", "start_time": 5}
    assert {5: ["a"]} == reading({"/usage/images": {"next_page": None, "data": [turned], "has_more": False}})


def test_the_last_page_may_leave_out_the_cursor() -> None:
    assert {1: ["a"]} == reading({"/usage/images": {"data": [bucket(1, "a")]}})


CASES: list[tuple[str, Any, str]] = [
    ("no-data", {"object": "page"}, "data: is missing"),
    ("data-null", {"data": None}, "data: expected an array, got 'null"),
    ("bucket", page("x"), 'data[0]: expected an object, got \'"x"'),
    ("start-missing", page({"results": []}), "data[0].start_time: expected a whole number, got None"),
    ("start-text", page(bucket("1")), "data[0].start_time: expected a whole number, got '1'"),
    ("start-fraction", page(bucket(1.5)), "data[0].start_time: expected a whole number, got Decimal('1.5')"),
    ("results", page({"start_time": 1, "results": 5}), "data[0].results: expected an array, got '5"),
    ("field", page(bucket(1, "a", "bad")), "data[0].results[1].images: expected a whole number, got 'bad'"),
    ("more", page(more="yes"), "has_more: expected true or false, got 'yes'"),
    ("cursor", page(more=True), "next_page: expected a cursor since has_more is true, got None"),
    (
        "cursor-number",
        page(more=True, cursor=7),
        "next_page: expected a cursor since has_more is true, got 7",
    ),
]


@pytest.mark.parametrize(("document", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_another_form_is_malformed_and_named(document: Any, message: str) -> None:
    reason, text = failure({"/usage/images": document})
    assert "malformed" == reason
    assert text.startswith(message)


def test_a_cursor_that_comes_again_ends_the_reading() -> None:
    documents = {
        "/usage/images": page(bucket(1), more=True, cursor="a"),
        "/usage/images a": page(bucket(2), more=True, cursor="b"),
        "/usage/images b": page(bucket(3), more=True, cursor="a"),
    }
    assert ("page_loop", "the API gives the same page cursor again and again") == failure(documents)


def test_a_failed_page_fails_the_reading() -> None:
    documents = {"/usage/images": page(bucket(1, "a"), more=True, cursor="gone")}
    documents["/usage/images gone"] = {"error": "not a page"}
    assert "malformed" == failure(documents)[0]

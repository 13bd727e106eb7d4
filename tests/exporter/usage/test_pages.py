# SPDX-License-Identifier: Apache-2.0
"""Pages of buckets are followed to their end, and every departure from the agreed form is named."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from openai_exporter.client.organization import Calls, OrganizationClient
from openai_exporter.config.secret import Credential, Secret
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.prices import PriceTable
from openai_exporter.usage.dataset import ApiClock, Context
from openai_exporter.usage.ledger import Range
from openai_exporter.usage.pages import JsonText, OutdatedQueryError, Query, TooLargeError, read, read_in_time
from openai_exporter.usage.rows import MalformedError
from tests.exporter.usage.scraping import Now
from tests.exporter.usage.serving import answering

PATH = "/organization/usage/images"
SPAN = Range(0, None, "1h", 7)


def decode(result: Any, start: int) -> Any:
    if result == "bad":
        raise MalformedError("images: expected a whole number, got 'bad'")
    return result


def reading(documents: dict[str, Any], *, planned: bool = True) -> dict[int, list[Any]]:
    """Read all pages from a server of these documents."""
    buckets: dict[int, list[Any]] = {}

    def add(start: int, rows: Iterator[Any]) -> None:
        buckets.setdefault(start, []).extend(rows)

    context = Context(ApiClock(Now()), PriceTable, lambda: None)
    with answering(documents) as url:
        client = OrganizationClient(url, Credential("k", value=Secret("sk-admin-1")), 5)
        calls = Calls(client, "acme", Instruments(process=False))
        try:
            read(calls, context, Query(PATH, "images", SPAN), decode, add, lambda: planned)
        finally:
            calls.close()
    return buckets


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
    ("data-null", {"data": None}, "data: expected an array, got None"),
    ("bucket", page("x"), "data[0]: expected an object, got 'x'"),
    ("start-missing", page({"results": []}), "data[0].start_time: expected Unix seconds, got None"),
    ("start-text", page(bucket("1")), "data[0].start_time: expected Unix seconds, got '1'"),
    ("start-fraction", page(bucket(1.5)), "data[0].start_time: expected Unix seconds, got 1.5"),
    ("start-milliseconds", page(bucket(10**12)), "data[0].start_time: expected Unix seconds, got 1000000000000"),
    ("start-negative", page(bucket(-1)), "data[0].start_time: expected Unix seconds, got -1"),
    ("results", page({"start_time": 1, "results": 5}), "data[0].results: expected an array, got 5"),
    ("results-null", page({"start_time": 1, "results": None}), "data[0].results: expected an array, got None"),
    ("results-missing", page({"start_time": 1, "result": ["a"]}), "data[0].results: is missing"),
    ("bucket-empty", page({}), "data[0].results: is missing"),
    ("bucket-twice", page(bucket(1, "a"), bucket(2), bucket(1, "b")), "data[2].start_time: the bucket 1 was there"),
    ("field", page(bucket(1, "a", "bad")), "bucket 1: data[0].results[1].images: expected a whole number, got 'bad'"),
    ("more", page(more="yes"), "has_more: expected true or false, got 'yes'"),
    ("cursor", page(more=True), "next_page: expected a cursor since has_more is true, got None"),
    ("cursor-empty", page(more=True, cursor=""), "next_page: expected a cursor since has_more is true, got ''"),
    ("cursor-number", page(more=True, cursor=7), "next_page: expected a cursor since has_more is true, got 7"),
    ("cursor-alone", {"data": [], "next_page": 7}, "next_page: expected a cursor since has_more is true, got 7"),
]


@pytest.mark.parametrize(("document", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_another_form_is_malformed_and_named(document: Any, message: str) -> None:
    reason, text = failure({"/usage/images": document})
    assert "malformed" == reason
    assert text.startswith(f"page 1: {message}")


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [{"start_time": 1, "results": ["a"], "results": ["b"]}]}',
        '{"data": [{"start_time": 1, "results": ["a"], "start_time": 2}]}',
        '{"data": [], "data": [{"start_time": 1, "results": ["a"]}]}',
    ],
)
def test_a_member_that_is_there_twice_is_malformed(text: str) -> None:
    reason, message = failure({"/usage/images": text})
    assert "malformed" == reason
    assert "is there twice" in message


@pytest.mark.parametrize("more", [{}, {"has_more": None}], ids=["absent", "null"])
def test_a_cursor_is_followed_though_nothing_says_that_there_is_more(more: dict[str, Any]) -> None:
    documents = {
        "/usage/images": {"data": [bucket(1, "a")], "next_page": "p2", **more},
        "/usage/images p2": {"data": [bucket(2, "b")], "next_page": None, **more},
    }
    assert {1: ["a"], 2: ["b"]} == reading(documents)


@pytest.mark.parametrize("again", [bucket(1, "a"), bucket(1, "c"), bucket(1)], ids=["same", "other", "empty"])
def test_a_bucket_of_an_earlier_page_is_malformed(again: dict[str, Any]) -> None:
    documents = {
        "/usage/images": page(bucket(1, "a"), bucket(2, "b"), more=True, cursor="p2"),
        "/usage/images p2": page(bucket(3), again),
    }
    expected = ("malformed", "page 2: data[1].start_time: the bucket 1 was there before")
    assert expected == failure(documents)


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


def test_a_query_that_turns_out_to_be_outdated_is_not_read() -> None:
    with pytest.raises(OutdatedQueryError):
        reading({"/usage/images": page(bucket(1, "a"))}, planned=False)


def test_a_reading_that_is_outdated_is_made_again_but_not_for_ever() -> None:
    tries: list[None] = []

    def once() -> int:
        tries.append(None)
        if len(tries) != 3:
            raise OutdatedQueryError
        return len(tries)

    assert 3 == read_in_time(once, "images")
    with pytest.raises(UpstreamError, match="clock"):
        read_in_time(once, "images")


# JSON that arrives in any pieces reads like JSON that is there at once.

values_ = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def pieces(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The text cut into pieces of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        yield text[at : at + size]
        at, turn = at + size, turn + 1


def walked(text: JsonText) -> dict[str, Any]:
    """An object of arrays, read element by element."""
    found: dict[str, Any] = {}
    for name in text.members("top"):
        found[name] = [text.value(head) for head in text.elements(name)]
    text.end()
    return found


@given(
    document=st.dictionaries(st.text(max_size=5), st.lists(values_, max_size=5), max_size=5),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    indent=st.sampled_from([None, 0, 3]),
    ascii_=st.booleans(),
)
def test_any_document_in_any_pieces_is_what_it_is(
    document: dict[str, Any], sizes: list[int], indent: int | None, ascii_: bool
) -> None:
    encoded = json.dumps(document, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return
    assert document == walked(JsonText(pieces(encoded, sizes)))


@given(
    document=st.dictionaries(st.text("ab", max_size=2), st.lists(values_, max_size=3), min_size=1, max_size=3),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_a_document_that_ends_too_early_is_malformed(document: dict[str, Any], cut: float) -> None:
    encoded = json.dumps(document).encode()
    with pytest.raises(MalformedError):
        walked(JsonText(iter([encoded[: math.floor(len(encoded) * cut)]])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answer is not JSON: parse error: premature EOF"),
        ("   ", "the answer is not JSON: parse error: premature EOF"),
        ('{"a": ', "the answer is not JSON: parse error: premature EOF"),
        ("[]", "top: expected an object, got an array"),
        ("<html>", "the answer is not JSON: lexical error: invalid char in json text. <html>"),
        ('{"a": 1}', "a: expected an array, got 1"),
        ('{"a": {}}', "a: expected an array, got an object"),
        ('{"a": []} x', 'the answer is not JSON: parse error: trailing garbage {"a": []} x'),
        ('{"a": []}{}', 'the answer is not JSON: parse error: trailing garbage {"a": []}{}'),
        ('{"a": [NaN]}', 'the answer is not JSON: lexical error: invalid char in json text. {"a": [NaN]}'),
        ('{"a": [-Infinity]}', "the answer is not JSON: lexical error: malformed number"),
        ('{"a": [01]}', "the answer is not JSON: parse error: after array element"),
        ('{"a": [1] /* no */}', "the answer is not JSON: lexical error: probable comment"),
        ('{"a": [1 2]}', "the answer is not JSON: parse error: after array element, I expect ',' or ']' {"),
        ('{"a" []}', "the answer is not JSON: parse error: object key and value must be separated by a colon"),
        ("{1: []}", "the answer is not JSON: parse error: invalid object key (must be a string) {1: []}"),
        ('\ufeff{"a": []}', "the answer is not JSON: lexical error: invalid char in json text."),
        ('{"a": [' + "[" * 100_000, "the answer cannot be decoded: maximum recursion depth exceeded"),
        (
            '{"a": [' + "[" * 9_000 + "]" * 9_000 + "]}",
            "the answer cannot be decoded: maximum recursion depth exceeded",
        ),
        ('{"a": [' + "9" * 5_000 + "]}", "the answer is not JSON: a number has too many digits"),
        ('{"a": [1e' + "9" * 30 + "]}", "the answer is not JSON: "),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_json_is_named(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as found:
        walked(JsonText(iter([text.encode()])))
    assert str(found.value).startswith(message)


def test_bytes_that_are_not_utf8_are_malformed() -> None:
    with pytest.raises(MalformedError, match="invalid bytes in UTF8"):
        walked(JsonText(iter([b'{"a": ["\xff"]}'])))


def test_fractions_stay_decimal() -> None:
    assert {"a": [Decimal("0.1")]} == walked(JsonText(iter([b'{"a": [0.1]}'])))


def test_padding_without_end_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        walked(JsonText(iter([b'{"a": []}', *([b" " * 65_536] * 1000)])))


def test_one_value_without_end_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        walked(JsonText(iter([b'{"a": ["', *([b"x" * 65_536] * 1000)])))


def test_a_page_of_many_values_may_be_large() -> None:
    row = json.dumps({"x": "y" * 500}).encode()
    parts = [b'{"a": [', *([row + b","] * 40_000), row, b"]}"]
    assert 40_001 == len(walked(JsonText(iter(parts)))["a"])

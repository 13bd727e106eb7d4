# SPDX-License-Identifier: Apache-2.0
"""Calls are counted and held back while the API asks to wait; each useless answer has its reason and a sentence."""

import contextlib
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from openai_exporter.client.organization import MOST_BYTES, Calls, OrganizationClient, Params, Reply
from openai_exporter.config.secret import Credential, Secret
from openai_exporter.errors import PermissionDeniedError, UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.model import Answer
from tests.exporter.client.calling import DATE, KEY, PATIENCE, client, failure, get
from tests.exporter.client.rawserver import Turn, answer, raw_server

# Calls are counted, and held back together while the API asks to wait.


class Client:
    """Answers, or fails as told."""

    def __init__(self) -> None:
        self.error: UpstreamError | None = None

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        if self.error is not None:
            raise self.error
        return Answer({})

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        raise NotImplementedError
        yield

    def close(self) -> None: ...


class Bench:
    """Calls on a clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.client = Client()
        self.instruments = Instruments(process=False)
        self.calls = Calls(cast("OrganizationClient", self.client), "acme", self.instruments, lambda: self.seconds)

    def fail(self, reason: str, retry_after: float | None = None) -> None:
        self.client.error = UpstreamError("x", api="costs", reason=reason, retry_after=retry_after)
        with pytest.raises(UpstreamError):
            self.calls.get("/x", api="costs")
        self.client.error = None


def test_calls_and_failures_are_counted_by_api() -> None:
    bench = Bench()
    bench.calls.get("/x", api="costs")
    bench.fail("timeout")
    bench.calls.failed("costs", "timeout")
    text = bench.instruments.render("text/plain")[0].decode()
    assert 'openai_exporter_upstream_calls_total{api="costs",organization="acme"} 2.0' in text
    assert 'openai_exporter_upstream_failures_total{api="costs",organization="acme",reason="timeout"} 1.0' in text
    assert 2 == bench.calls.made


@pytest.mark.parametrize("reason", ["timeout", "server_error", "malformed", "auth"])
def test_a_failure_that_is_no_rate_limit_holds_nothing_back(reason: str) -> None:
    bench = Bench()
    bench.fail(reason)
    assert 0 == bench.calls.wait


@pytest.mark.parametrize(
    ("reason", "asked", "wait"),
    [("rate_limited", 30.0, 30.0), ("server_error", 7.0, 7.0), ("rate_limited", 86_400.0, 3600.0)],
    ids=["429", "503", "a day"],
)
def test_what_the_api_asks_is_waited_but_never_more_than_an_hour(reason: str, asked: float, wait: float) -> None:
    bench = Bench()
    bench.fail(reason, asked)
    assert wait == bench.calls.wait
    bench.seconds += wait - 1
    assert 1 == bench.calls.wait
    bench.seconds += 1
    assert 0 == bench.calls.wait


def test_waits_grow_until_a_call_succeeds() -> None:
    bench = Bench()
    waits = []
    for _ in range(3):
        bench.fail("rate_limited")
        waits.append(bench.calls.wait)
        bench.seconds += waits[-1]
    bench.calls.get("/x", api="costs")
    bench.fail("rate_limited")
    assert [15, 30, 60, 15] == [*waits, bench.calls.wait]


def test_a_clock_that_goes_back_ends_the_wait() -> None:
    bench = Bench()
    bench.fail("rate_limited", 30)
    bench.seconds -= 3600
    assert 0 == bench.calls.wait


def test_the_wait_is_taken_over() -> None:
    bench, other = Bench(), Bench()
    bench.fail("rate_limited", 30)
    other.calls.adopt(bench.calls)
    assert 30 == other.calls.wait


class Paged(Client):
    """Answers queries of buckets too."""

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        yield cast("Reply", Answer({}, None, "", {}))


def test_an_hour_has_a_budget_of_calls_of_which_lists_leave_a_fifth() -> None:
    seconds = 0.0
    calls = Calls(cast("OrganizationClient", Paged()), "acme", Instruments(process=False), lambda: seconds, per_hour=10)
    for _ in range(8):
        seconds += 60
        calls.get("/x", api="names")
    with pytest.raises(UpstreamError) as caught:
        calls.get("/x", api="names")
    assert (caught.value.reason, caught.value.retry_after, calls.wait) == ("call_budget", None, 0)
    for _ in range(2):
        with calls.open("/x", api="costs"):
            pass
    with pytest.raises(UpstreamError, match="all 10 API calls of an hour are made"), calls.open("/x", api="costs"):
        pass
    assert (calls.made, calls.last_hour) == (10, 10)
    assert calls.wait == 3600 + 60 - seconds
    seconds += calls.wait
    assert (calls.wait, calls.last_hour) == (0, 9)


def test_a_clock_that_goes_back_frees_the_budget_rather_than_blocking_it() -> None:
    seconds = 1_000_000.0
    calls = Calls(
        cast("OrganizationClient", Client()), "acme", Instruments(process=False), lambda: seconds, per_hour=60
    )
    calls.get("/x", api="names")
    seconds = 0.0
    assert calls.last_hour == 0


# Every answer of the organization API that is of no use has its own word, and a sentence that helps.


async def test_an_answer_is_the_json_object_with_its_date_and_request_id() -> None:
    async def respond(turn: Turn) -> None:
        await turn.send(answer('{"a": 1}', more=f"{DATE}x-request-id: req_1\r\n"))

    async with raw_server(respond) as server:
        made = client(f"{server.url}/v1")
        found = await get(made, ("group_by[]", "project_id"), ("group_by[]", "line_item"), ("limit", "7"))
        made.close()
    assert ({"a": 1}, 1795253400.0, "req_1") == (found.body, found.date, found.request_id)
    head = server.requests[0].decode()
    assert head.startswith(
        "GET /v1/organization/costs?group_by%5B%5D=project_id&group_by%5B%5D=line_item&limit=7 HTTP/1.1\r\n"
    )
    assert f"\r\nAuthorization: Bearer {KEY}\r\n" in head
    assert "\r\nUser-Agent: openai-exporter/" in head


STATUSES = [
    (400, "bad_request"), (401, "auth"), (403, "permission"), (404, "not_found"), (408, "timeout"),
    (422, "bad_request"), (429, "rate_limited"), (500, "server_error"), (503, "server_error"),
    (301, "redirect"), (308, "redirect"), (204, "malformed"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reason"), STATUSES, ids=[str(row[0]) for row in STATUSES])
async def test_a_status_has_its_word(status: int, reason: str) -> None:
    body = '{"error": {"message": "Because.", "type": "t", "code": "c"}}' if status != 204 else ""
    found = await failure(lambda turn: answer(body, f"{status} S", more="x-request-id: req_9\r\n"))
    assert (reason, status, "req_9") == (found.reason, found.status, found.request_id)
    if status not in (204, 301, 308):
        assert "c" == found.code
        assert f"HTTP {status}: Because." in str(found)


@pytest.mark.parametrize(
    "body",
    ["", "<html>", '{"error": null}', '{"error": "text"}', '{"error": {"message": 5}}', "[1]", "[" * 9999],
    ids=lambda body: body[:20],
)
async def test_any_error_body_is_survived(body: str) -> None:
    found = await failure(lambda turn: answer(body, "500 S"))
    assert "server_error" == found.reason


async def test_a_redirect_is_never_followed() -> None:
    async with raw_server(lambda turn: turn.send(answer("{}"))) as elsewhere:
        found = await failure(lambda turn: answer("", "302 Found", more=f"Location: {elsewhere.url}/x\r\n"))
        assert [] == elsewhere.requests
    assert "set base_url" in str(found)


WAITS = [
    ("30", 30.0), ("1.5", 1.5), ("0", 0.0), ("Sat, 21 Nov 2026 09:31:00 GMT", 60.0),
    ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0), ("-5", None), ("soon", None), ("", None), ("1e9", None),
]  # fmt: skip


@pytest.mark.parametrize(("header", "seconds"), WAITS, ids=[row[0] for row in WAITS])
async def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    found = await failure(lambda turn: answer("{}", "429 S", more=f"{DATE}Retry-After: {header}\r\n"))
    assert seconds == found.retry_after


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("", "application/json", "the answer is not JSON (application/json, 0 bytes)"),
        ("{", "application/json", "the answer is not JSON (application/json, 1 bytes)"),
        ("<html>", "text/html", "the answer is not JSON (text/html, 6 bytes)"),
        ("[]", "application/json", "the answer is a JSON list, expected an object"),
        ("null", "application/json", "the answer is a JSON NoneType, expected an object"),
        ("[" * 99_999, "application/json", "the answer is not JSON (application/json, 99999 bytes)"),
    ],
    ids=["nothing", "cut", "html", "array", "null", "deep"],
)
async def test_what_is_no_json_object_is_malformed(body: str, kind: str, message: str) -> None:
    found = await failure(lambda turn: answer(body, kind=kind))
    assert ("malformed", message) == (found.reason, str(found))


async def test_an_answer_without_end_is_too_large() -> None:
    async def flood(turn: Turn) -> None:
        await turn.send(f"HTTP/1.1 200 OK\r\nContent-Length: {MOST_BYTES * 4}\r\n\r\n")
        for _ in range(4):
            await turn.send(b" " * MOST_BYTES)

    found = await failure(flood)
    assert ("response_too_large", "the answer is larger than 16 MiB") == (found.reason, str(found))


async def test_a_gzip_bomb_is_too_large() -> None:
    bomb = gzip.compress(b" " * (MOST_BYTES * 8), 9)
    found = await failure(lambda turn: answer(bomb, more="Content-Encoding: gzip\r\n"))
    assert "response_too_large" == found.reason


async def test_a_key_file_is_read_again_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "key"

    async def respond(turn: Turn) -> None:
        await turn.send(answer("{}"))

    async with raw_server(respond) as server:
        made = OrganizationClient(server.url, Credential("admin_key_file key", path=file), PATIENCE)
        with pytest.raises(UpstreamError) as found:
            await get(made)
        assert "credential" == found.value.reason
        assert str(found.value).startswith("admin_key_file key: cannot be read: No such file or directory")
        for key in ("sk-admin-one", "sk-admin-two"):
            file.write_text(f"{key}\n")
            await get(made)
            assert f"Bearer {key}\r\n".encode() in server.requests[-1]
        made.close()


async def test_a_base_url_without_a_version_is_named_as_the_cause() -> None:
    async def respond(turn: Turn) -> None:
        body = json.dumps({"error": {"message": "Invalid URL (GET /organization/costs)"}})
        await turn.send(answer(body, "404 Not Found"))

    async with raw_server(respond) as server:
        made = OrganizationClient(server.url, Credential("key", value=Secret("sk-admin-1")), PATIENCE)
        with pytest.raises(UpstreamError, match=r"Invalid URL .*; base_url .* must have the API's version"):
            await get(made)
        made.close()


REFUSALS = [
    ("sk-proj-1", "Missing scopes: api.usage.read.", "this is not an admin key; it needs the scope api.usage.read"),
    ("sk-admin-1", "Missing scopes: api.usage.read, x.y", "give the admin key the scope api.usage.read, x.y"),
    ("sk-proj-1", "No.", "it needs the scopes api.usage.read and api.management.read"),
]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("key", "message", "advice"), REFUSALS, ids=["project", "admin", "unsaid"])
async def test_a_refused_key_is_told_what_is_missing(status: int, key: str, message: str, advice: str) -> None:
    async def respond(turn: Turn) -> None:
        body = json.dumps({"error": {"message": f"{message} Your key: {key}"}})
        await turn.send(answer(body, f"{status} S"))

    async with raw_server(respond) as server:
        made = OrganizationClient(server.url, Credential("admin_key_file /k", value=Secret(key)), PATIENCE)
        with pytest.raises(PermissionDeniedError) as found:
            await get(made)
        made.close()
    assert advice in str(found.value)
    assert "admin_key_file /k" in str(found.value)
    assert "https://platform.openai.com/settings/organization/admin-keys" in str(found.value)
    assert key not in str(found.value)

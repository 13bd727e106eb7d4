# SPDX-License-Identifier: Apache-2.0
"""Calls are counted, and held back together while the API asks to wait."""

import contextlib
from collections.abc import Iterator

import pytest

from openai_exporter.client.calls import Calls
from openai_exporter.client.session import Params, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.model import Answer


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
        self.calls = Calls(self.client, "acme", self.instruments, lambda: self.seconds)

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
    assert (
        'openai_exporter_upstream_failures_total{api="costs",organization="acme",reason="timeout"} 1.0'
        in text
    )
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
def test_what_the_api_asks_is_waited_but_never_more_than_an_hour(
    reason: str, asked: float, wait: float
) -> None:
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
        yield None  # type: ignore[misc]


def test_an_hour_has_a_budget_of_calls_of_which_lists_leave_a_fifth() -> None:
    seconds = 0.0
    calls = Calls(Paged(), "acme", Instruments(process=False), lambda: seconds, per_hour=10)
    for _ in range(8):
        seconds += 60
        calls.get("/x", api="names")
    with pytest.raises(UpstreamError) as caught:
        calls.get("/x", api="names")
    assert (caught.value.reason, caught.value.retry_after, calls.wait) == ("call_budget", None, 0)
    for _ in range(2):
        with calls.open("/x", api="costs"):
            pass
    with (
        pytest.raises(UpstreamError, match="all 10 API calls of an hour are made"),
        calls.open("/x", api="costs"),
    ):
        pass
    assert (calls.made, calls.last_hour) == (10, 10)
    assert calls.wait == 3600 + 60 - seconds
    seconds += calls.wait
    assert (calls.wait, calls.last_hour) == (0, 9)


def test_a_clock_that_goes_back_frees_the_budget_rather_than_blocking_it() -> None:
    seconds = 1_000_000.0
    calls = Calls(Client(), "acme", Instruments(process=False), lambda: seconds, per_hour=60)
    calls.get("/x", api="names")
    seconds = 0.0
    assert calls.last_hour == 0

# SPDX-License-Identifier: Apache-2.0
"""A long reading lets others pass and is continued where it stopped; one odd Date moves no month."""

from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import pytest

from openai_exporter.client.organization import Calls, Doubt
from openai_exporter.config.load import parse_config
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.dataset import ApiClock
from openai_exporter.usage.pages import Lists, ListsDataset
from openai_exporter.usage.service import UsageService
from tests.exporter.usage.scraping import Now, of, scrape, service, up
from tests.exporter.usage.serving import answering

CALLS = cast("Calls", None)


class Slow(ListsDataset):
    """A dataset whose pages take four seconds."""

    name = "slow"
    interval = 60.0

    def __init__(self, pages: int, last: Callable[[], None] = lambda: None) -> None:
        self.seconds = 0.0
        self.monotonic = lambda: self.seconds
        self.done: list[int] = []
        self._pages = pages
        self._last = last

    def pages(self, lists: Lists) -> Iterator[None]:
        for number in range(self._pages):
            self.seconds += 4
            self.done.append(number)
            yield
        self._last()


def test_it_is_read_in_portions() -> None:
    slow = Slow(7)
    finished = [slow.read(CALLS, seen=True) for _ in range(3)]
    assert ([False, False, True], [0, 1, 2, 3, 4, 5, 6]) == (finished, slow.done)
    assert not slow.read(CALLS, seen=True)
    assert [0, 1, 2] == slow.done[7:]


def test_a_failure_starts_it_anew() -> None:
    def fail() -> None:
        raise UpstreamError("HTTP 401", api="slow", reason="auth")

    slow = Slow(1, fail)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="HTTP 401"):
            slow.read(CALLS, seen=True)
    assert [0, 0] == slow.done


# The API's clock: what a Date is worth.

DAY = 86_400


def learned(now: Now, *differences: float, every: float = 61) -> list[float]:
    """What the API's clock is taken to be, as seconds ahead of ours, after each answer of these Dates."""
    clock = ApiClock(now)
    found: list[float] = []
    for difference in differences:
        clock.observe(now() + difference - 0.5)
        found.append(round(clock.now() - now()))
        now.advance(every)
    return found


@pytest.mark.parametrize("odd", [40 * DAY, -40 * DAY, 13 * 3600, -DAY, 1000])
def test_dates_that_are_off_for_a_while_change_nothing(now: Now, odd: float) -> None:
    assert [0] * 12 == learned(now, 0, odd, 0, *[odd] * 8, 0)


@pytest.mark.parametrize("odd", [40 * DAY, -40 * DAY, 1000])
def test_dates_that_stay_off_for_ten_minutes_are_believed(now: Now, odd: float) -> None:
    assert [0] * 11 + [odd] * 3 == learned(now, 0, *[odd] * 13)


@pytest.mark.parametrize("skew", [600, -600, 899])
def test_clocks_that_differ_a_little_are_believed_at_once(now: Now, skew: float) -> None:
    assert [skew, skew, 0, skew] == learned(now, skew, skew, 0, skew)


def test_dates_that_are_each_off_in_another_way_are_never_believed(now: Now) -> None:
    assert [0] * 21 == learned(now, 0, *[turn * 5000.0 * (-1) ** turn for turn in range(1, 21)])


def test_at_the_start_three_answers_are_enough(now: Now) -> None:
    assert [0, 0, 40 * DAY, 40 * DAY] == learned(now, *[40 * DAY] * 4, every=0.1)


def test_where_our_own_clock_jumps_the_date_is_believed(now: Now) -> None:
    clock = ApiClock(now)
    truth = now()
    for jump in (0, 40 * DAY, -80 * DAY, 40 * DAY):
        truth += 61
        now.advance(61 + jump)
        clock.observe(truth)
        assert abs(clock.now() - truth) < 2


def test_a_wrong_clock_of_ours_that_is_set_right_is_followed(now: Now) -> None:
    clock = ApiClock(now)
    truth = now() + 5 * 3600
    for _ in range(Doubt.answers):
        clock.observe(truth)
    now.advance(5 * 3600)
    clock.observe(truth)
    assert abs(clock.now() - truth) < 2


USAGE = {"num_model_requests": 1, "input_tokens": 1000, "output_tokens": 1, "model": "gpt-5.4-mini"}
ONLY = "  usage: {completions: {group_by: [model]}}\n  costs: null\n  names: false\n  limits: false\n"


def documents(now: Now) -> dict[str, Any]:
    hour = int(now()) // 3600 * 3600
    bucket = {"start_time": hour, "end_time": hour + 3600, "results": [USAGE]}
    return {"/usage/completions 1h": {"data": [bucket]}, "/usage/completions 1d": {"data": []}}


@pytest.mark.parametrize("days", [40, -40])
async def test_a_refresh_full_of_odd_dates_leaves_the_counters_as_they_are(now: Now, days: int) -> None:
    headers: dict[str, str] = {}
    shown = []
    with answering(documents(now), headers) as url:
        usage = service(url, now, more=ONLY)
        for off in (0, 0, days, 0, 0):
            headers["Date"] = formatdate(now() + off * DAY, usegmt=True)
            found = scrape(await usage.page())
            shown.append((list(of(found, metrics.INPUT_TOKENS).values()), up(found)["completions"]))
            now.advance(61)
        await usage.close()
    assert [([1000.0], 1.0)] * 5 == shown


@pytest.mark.parametrize("days", [40, -40])
async def test_a_restart_among_odd_dates_keeps_what_was_persisted(now: Now, tmp_path: Path, days: int) -> None:
    headers: dict[str, str] = {}
    shown = []
    with answering(documents(now), headers) as url:
        for off in (0, days, 0):
            headers["Date"] = formatdate(now() + off * DAY, usegmt=True)
            usage = service(url, now, more=ONLY, storage=tmp_path)
            found = scrape(await usage.page())
            shown.append((list(of(found, metrics.INPUT_TOKENS).values()), up(found)["completions"]))
            await usage.close()
            now.advance(61)
    assert [([1000.0], 1.0), ([1000.0], 0.0), ([1000.0], 1.0)] == shown


# The same place, another organization: told by the API's own id, never mixed.


class Place:
    """A server at which organization A, with 1000 tokens, is followed by B, with 500 and other labels."""

    def __init__(self, now: Now, *, said: str) -> None:
        self._now, self._said = now, said
        self.headers: dict[str, str] = {}
        self.documents: dict[str, Any] = {}
        self.serve("org-A", 1000, "m-a")

    def serve(self, id: str, tokens: int, model: str) -> None:
        hour = int(self._now()) // 3600 * 3600
        day = hour // DAY * DAY
        usage = {"start_time": hour, "results": [USAGE | {"input_tokens": tokens, "model": model}]}
        cost = {
            "amount": {"value": tokens},
            "line_item": model,
            "organization_id": id if self._said == "rows" else None,
        }
        self.documents |= {
            "/usage/completions 1h": {"data": [usage]},
            "/usage/completions 1d": {"data": []},
            "/costs": {"data": [{"start_time": day, "results": [cost]}]},
        }
        self.headers["Date"] = formatdate(self._now(), usegmt=True)
        if self._said == "header":
            self.headers["openai-organization"] = id


def figures(found: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Tokens by model, and dollars by line item."""
    tokens = {dict(labels)["model"]: value for labels, value in of(found, metrics.INPUT_TOKENS).items()}
    return tokens, {dict(labels)["line_item"]: value for labels, value in of(found, metrics.COSTS_MONTH).items()}


A, B = ({"m-a": 1000.0}, {"m-a": 1000.0}), ({"m-b": 500.0}, {"m-b": 500.0})
BILLED = "  usage: {completions: {group_by: [model]}}\n  cost_drift: null\n  names: false\n  limits: false\n"


def keyed(url: str, now: Now, folder: Path, key: str, *, storage: bool = False) -> UsageService:
    (folder / "key").write_text(key)
    text = f"organizations:\n- name: acme\n  base_url: {url}\n  admin_key_file: key\n{BILLED}"
    config = parse_config(text, "test", {}, folder)
    instruments = Instruments(process=False)
    where = folder / "state" if storage else None
    return UsageService(config, config.organizations[0], instruments=instruments, storage=where, now=now)


@pytest.mark.parametrize("said", ["header", "rows"])
async def test_the_key_of_another_organization_begins_anew(now: Now, tmp_path: Path, said: str) -> None:
    place = Place(now, said=said)
    with answering(place.documents, place.headers) as url:
        usage = keyed(url, now, tmp_path, "sk-admin-a")
        before = figures(scrape(await usage.page()))
        now.advance(61)
        place.serve("org-B", 500, "m-b")
        (tmp_path / "key").write_text("sk-admin-b")
        after = scrape(await usage.page())
        await usage.close()
    assert (A, B, {1.0}) == (before, figures(after), set(up(after).values()))


@pytest.mark.parametrize("said", ["header", "rows"])
async def test_a_restart_with_the_key_of_another_organization_begins_anew(now: Now, tmp_path: Path, said: str) -> None:
    place, shown = Place(now, said=said), []
    with answering(place.documents, place.headers) as url:
        for key in ("sk-admin-a", "sk-admin-a", "sk-admin-b", "sk-admin-b"):
            if key == "sk-admin-b":
                place.serve("org-B", 500, "m-b")
            usage = keyed(url, now, tmp_path, key, storage=True)
            shown.append(figures(scrape(await usage.page())))
            await usage.close()
            now.advance(61)
    assert [A, A, B, B] == shown


async def test_one_answer_of_another_organization_is_refused(
    now: Now, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, shown = Place(now, said="header"), []
    with answering(place.documents, place.headers) as url:
        usage = keyed(url, now, tmp_path, "sk-admin-a")
        for id, tokens, model in (("org-A", 1000, "m-a"), ("org-B", 500, "m-b"), ("org-A", 1000, "m-a")):
            place.serve(id, tokens, model)
            found = scrape(await usage.page())
            shown.append((figures(found), up(found)["completions"]))
            now.advance(61)
        await usage.close()
    assert [(A, 1.0), (A, 0.0), (A, 1.0)] == shown
    assert "the API answers for organization 'org-B', the values so far are of 'org-A'" in caplog.text


async def test_another_organization_under_the_same_key_is_believed_when_it_stays(now: Now, tmp_path: Path) -> None:
    place, shown = Place(now, said="header"), []
    with answering(place.documents, place.headers) as url:
        usage = keyed(url, now, tmp_path, "sk-admin-a")
        for minute in range(14):
            if minute == 1:
                place.serve("org-B", 500, "m-b")
            shown.append(figures(scrape(await usage.page())))
            now.advance(301 if minute else 61)
        await usage.close()
    assert {"m-a", "m-b"} == {model for tokens, _ in shown for model in tokens}
    assert all(found in (A, B) for found in shown)
    assert (A, A, B) == (shown[1], shown[2], shown[-1])

# SPDX-License-Identifier: Apache-2.0
"""The ring of results, and the second one for failures."""

from dataclasses import replace

import pytest

from openai_exporter.config.sections import Module
from openai_exporter.model import ModelCard, ProbeAnswer
from openai_exporter.probe.history import History, explain, weight
from tests.exporter.probe.results import result

# The text of one probe for people.

MODULE = Module.model_validate(
    {
        "endpoint": "chat",
        "request": {
            "prompt": "hi",
            "extra": {"user": "sk-proj-0123456789abcdef", "access_token": "hunter-22"},
        },
    }
)


def test_everything_about_a_failure_stands_in_one_text() -> None:
    failed = result(
        "auth", message="status 401: no. Check the target's key.", log=("at=0 event=start", "at=1 event=judgement"),
        request="POST https://x\nauthorization: <secret>", reply="HTTP/1.1 401\n\n{}",
    )  # fmt: skip
    text = explain(ProbeAnswer(failed), MODULE)
    for part in (
        "Outcome:\nauth: The API does not accept the key.\nstatus 401: no. Check the target's key.\nFresh: ",
        "Logs for the probe:\nat=0 event=start\nat=1 event=judgement\n\n",
        "Metrics that would have been returned:\n# HELP probe_success",
        "Module configuration:\nendpoint: chat\n",
        "Request:\nPOST https://x\nauthorization: <secret>\n\n",
        "Reply:\nHTTP/1.1 401\n\n{}\n",
    ):
        assert part in text
    assert "sk-proj" not in text
    assert "hunter-22" not in text


def test_a_cached_answer_says_so_and_what_is_missing_is_named() -> None:
    text = explain(ProbeAnswer(result(), age=3.0, cached=True, backoff=2.0, reason="backoff"), MODULE)
    assert "From the cache (backoff), 3.0 s old; the API is left alone for 2.0 s more." in text
    assert "Request:\nnone was sent" in text
    assert "Reply:\nnone came" in text


# The ring of results, and the second one for failures.

GOOD = ProbeAnswer(result())
BAD = ProbeAnswer(result("server_error"))


def numbers(history: History) -> list[int]:
    return [entry.id for entry in history.recent()]


def test_the_newest_come_first_and_the_oldest_go() -> None:
    history = History(3)
    for _ in range(5):
        history.add(GOOD)
    assert numbers(history) == [5, 4, 3]
    assert history.get(2) is None


def test_failures_that_left_the_ring_are_kept_in_their_own() -> None:
    history = History(2)
    for answer in (BAD, BAD, BAD, GOOD, GOOD):
        history.add(answer)
    assert numbers(history) == [5, 4, 3, 2]
    found = history.get(3)
    assert found is not None
    assert found.answer is BAD


def test_resizing_keeps_the_newest() -> None:
    history = History(4)
    for answer in (BAD, GOOD, BAD, GOOD):
        history.add(answer)
    history.resize(2)
    assert numbers(history) == [4, 3, 1]
    history.resize(3)
    history.add(GOOD)
    assert numbers(history) == [5, 4, 3, 1]


def test_large_results_are_kept_up_to_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = ProbeAnswer(replace(result("server_error"), reply="x" * 5000))
    monkeypatch.setattr("openai_exporter.probe.history.MAX_BYTES", 3 * weight(large.result))
    history = History(100)
    for _ in range(10):
        history.add(large)
    assert numbers(history) == [10, 9, 8, 7, 6, 5], "three recent ones, and three failures kept longer"
    history.add(GOOD)
    assert numbers(history) == [11, 10, 9, 8, 7, 6]


def test_the_newest_result_is_kept_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai_exporter.probe.history.MAX_BYTES", 1)
    history = History(100)
    for _ in range(3):
        history.add(GOOD)
    assert numbers(history) == [3]


def test_what_a_result_weighs_grows_with_all_that_a_server_can_make_long() -> None:
    bare = weight(result())
    card = ModelCard("m", "openai", 0, None)
    for more in (
        {"reply": "x" * 1000},
        {"request": "x" * 1000},
        {"log": ("x" * 1000,)},
        {"models": (card,) * 4},
    ):
        assert weight(replace(result(), **more)) >= bare + 1000

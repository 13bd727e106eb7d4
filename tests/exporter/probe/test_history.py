# SPDX-License-Identifier: Apache-2.0
"""The ring of results, and the second one for failures."""

from openai_exporter.model import ProbeAnswer
from openai_exporter.probe.history import History

from .results import result

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

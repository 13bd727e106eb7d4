# SPDX-License-Identifier: Apache-2.0
"""The file that keeps spend and waits over a restart."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.model import ProbeKey
from openai_exporter.probe import memory
from openai_exporter.probe.memory import FILE, FORMAT, Memory, Remembered, Wait
from openai_exporter.probe.outcomes import OUTCOMES

WAIT = Wait(ProbeKey("api", "chat", "m"), 120.0, 60.0, 2, "rate_limited", 429, "Slow down.")
FULL = Remembered(20_000, {"chat": Decimal("0.0000123")}, (WAIT,))
EMPTY = {"format": FORMAT, "version": 1, "day": 1, "spend": {}, "waits": []}


def reader(folder: Path, told: list[str] | None = None) -> Memory:
    return Memory(folder, lambda: FULL, (told if told is not None else []).append)


async def written(folder: Path, content: Remembered = FULL) -> None:
    kept = Memory(folder, lambda: content)
    kept.changed()
    await kept.close()


async def test_what_was_written_is_read(tmp_path: Path) -> None:
    await written(tmp_path / "new folder")
    assert reader(tmp_path / "new folder").load() == FULL
    assert [FILE] == [path.name for path in (tmp_path / "new folder").iterdir()]


async def test_changes_are_written_soon_without_a_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "DELAY", 0.0)
    kept = reader(tmp_path)
    kept.changed()
    kept.changed()
    for _ in range(1000):
        if (tmp_path / FILE).exists():
            break
        await asyncio.sleep(0.01)
    assert kept.load() == FULL
    await kept.close()


async def test_without_a_folder_nothing_is_kept() -> None:
    kept = Memory(None, lambda: FULL)
    kept.changed()
    await kept.close()
    assert kept.load() is None


def test_a_first_start_finds_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    assert reader(tmp_path, told).load() is None
    assert told == []


async def test_a_folder_that_cannot_be_written_is_told_once_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    kept = reader(tmp_path / "file", told)
    for _ in range(2):
        kept.changed()
        await kept.close()
    assert told == ["write", "write"]
    assert 1 == sum("cannot be written" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"day": None}, {"spend": {"chat": "-1"}}, {"spend": {"chat": "NaN"}}, {"spend": [1]},
        {"waits": [{}]}, {"waits": 7}, {"spend": {"chat": "x"}}, {"format": "other"},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_set_aside(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(EMPTY | change))
    told: list[str] = []
    assert reader(tmp_path, told).load() is None
    assert told == ["damaged"]
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith(f"{FILE}.damaged-")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.integers(0, 10**6),
    st.dictionaries(TEXTS, st.decimals(0, 10**6, allow_nan=False), max_size=3),
    st.lists(
        st.builds(
            Wait, st.builds(ProbeKey, TEXTS, TEXTS, TEXTS), st.floats(0, 1e10), st.floats(0, 1e10),
            st.integers(0, 99), st.sampled_from(list(OUTCOMES)), st.integers(0, 599), TEXTS,
        ),
        max_size=3,
    ),
)  # fmt: skip
def test_any_content_survives(day: int, spend: dict[str, Decimal], waits: list[Wait]) -> None:
    content = Remembered(day, spend, tuple(waits))
    assert memory._decoded(json.loads(json.dumps(memory._encoded(content)))) == content

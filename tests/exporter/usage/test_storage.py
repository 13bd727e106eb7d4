# SPDX-License-Identifier: Apache-2.0
"""Kept counters are the ones that were written, or none."""

import logging
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from openai_exporter.usage.ledger import Ledger, PersistedUsage, Rows, SeriesLimit
from openai_exporter.usage.storage import VERSION, Storage
from tests.deadlines import next_line

labels_ = st.tuples(st.text(max_size=10), st.text(max_size=10))
values_ = st.tuples(st.integers(0, 10**20), st.integers(0, 10**20))
rows_ = st.dictionaries(labels_, values_, max_size=8)


def storage(folder: Path) -> Storage:
    return Storage(folder, "acme", lambda: None)


def kept(totals: Rows, books: Rows, *fresh: tuple[str, str]) -> PersistedUsage:
    return PersistedUsage("completions", ("a", "b"), ("x", "y"), 1793491200, (3, 4), totals, books, frozenset(fresh))


MANY = kept({(f"p{number}", "m"): (1, 2) for number in range(5000)}, {})
EXAMPLE = kept({("p", "m"): (1, 2), ("ü", ""): (5, 6)}, {("p", "m"): (1, 1)}, ("ü", ""))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@given(totals=rows_, share=st.floats(0, 1), fresh=st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, totals: Rows, share: float, fresh: bool
) -> None:
    books = {
        labels: values if share > 0.5 else (values[0] // 2, values[1])
        for labels, values in list(totals.items())[: int(len(totals) * share) + 1]
    }
    written = kept(totals, books, *(totals if fresh else ()))
    file = storage(tmp_path_factory.mktemp("kept"))
    assert file.save([written])
    assert {"completions": written} == file.load()


def test_buckets_and_debts_go_on_after_a_restart(tmp_path: Path) -> None:
    noon = 1795262400  # 2026-11-21T12:00Z
    labels = ("p", "ü")

    def read(books: Ledger, hours: dict[int, int]) -> None:
        reading = books.begin(books.plan(noon, 3600, audit=True), noon)
        for start, tokens in hours.items():
            reading.add(start, [(labels, (tokens, 1))])
        books.commit(reading, seen=True)

    books = Ledger(2, SeriesLimit(10, sum))
    read(books, {noon - 7200: 50, noon - 3600: 60})
    read(books, {noon - 7200: 50})
    file = storage(tmp_path)
    written = PersistedUsage(
        "completions", ("a", "b"), ("x", "y"), books.month, tuple(books.corrections), books.totals, books.reported(),
        closed_until=books.closed_until, buckets=books.buckets.packed, owed=books.owed,
    )  # fmt: skip
    assert file.save([written])
    found = file.load()["completions"]
    assert written == found
    again = Ledger(2, SeriesLimit(10, sum))
    again.restore(found)
    read(again, {noon - 7200: 40, noon - 3600: 60, noon: 7})
    assert ({labels: (117, 3)}, [10, 0]) == (again.totals, again.corrections)


def test_nothing_kept_is_nothing(tmp_path: Path) -> None:
    assert {} == storage(tmp_path / "absent").load()


def test_the_folder_is_made(tmp_path: Path) -> None:
    assert storage(tmp_path / "a" / "b").save([EXAMPLE])
    assert {"completions": EXAMPLE} == storage(tmp_path / "a" / "b").load()


def test_every_cut_is_noticed_and_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = storage(tmp_path)
    file.save([EXAMPLE])
    whole = file.path.read_bytes()
    for size in range(len(whole) - 1):
        file.path.write_bytes(whole[:size])
        assert {} == file.load()
        assert not file.path.exists()
    assert "damaged" in caplog.text
    assert "moved to" in caplog.text


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    file = storage(tmp_path)
    file.save([EXAMPLE])
    whole = bytearray(file.path.read_bytes())
    for place in range(len(whole) - 1):
        changed = bytes(whole[:place]) + bytes([whole[place] ^ 1]) + bytes(whole[place + 1 :])
        file.path.write_bytes(changed)
        assert {} == file.load()


@pytest.mark.parametrize(
    "text", ["", "{}", "null\n", "[]\n", '{"format": "something else"}\n', "\x00\x01", '{"end": 0}\n'], ids=repr
)
def test_another_file_is_set_aside(tmp_path: Path, text: str) -> None:
    file = storage(tmp_path)
    file.path.write_text(text)
    assert {} == file.load()
    assert 1 == len(list(tmp_path.glob("*.damaged-*")))


def newer_file(path: Path) -> str:
    """State as a version after this one may write it: only its head is known."""
    text = f'{{"format":"openai-exporter usage counters","version":{VERSION + 1},"source":""}}\n["unknown",{{}}]\n'
    path.write_text(text)
    return text


def test_a_newer_version_is_left_untouched_and_the_exporter_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, failures = storage(tmp_path), list[str]()
    file.failed = failures.append
    text = newer_file(file.path)

    assert {} == file.load()
    assert not file.save([EXAMPLE])
    assert not file.save([EXAMPLE])

    assert text == file.path.read_text()
    assert [file.path] == list(tmp_path.glob("*.jsonl*"))
    assert {"newer"} == set(failures)
    assert 1 == len(caplog.records)
    assert f"a newer openai-exporter wrote it (format {VERSION + 1}; this one knows {VERSION})" in caplog.text
    assert "run the newer version, or give this one another --storage.path" in caplog.text


def test_a_newer_version_that_kept_its_counters_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with another_exporter(tmp_path) as newer:
        file = storage(tmp_path)
        assert not file.save([EXAMPLE])
        text = newer_file(file.path)
        newer.kill()
        newer.wait(60)
    assert not file.save([EXAMPLE])
    assert text == file.path.read_text()


def test_state_is_for_its_owner_only(tmp_path: Path) -> None:
    file = storage(tmp_path / "state")
    file.save([EXAMPLE])
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert 0o700 == stat.S_IMODE((tmp_path / "state").stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = storage(tmp_path)
    file.save([EXAMPLE])
    with caplog.at_level(logging.ERROR), full_disk():
        assert not file.save([MANY])
        assert not file.save([MANY])
    assert 1 == len(caplog.records)
    assert "cannot be written" in caplog.text
    assert {"completions": EXAMPLE} == file.load()


def test_figures_of_another_api_are_set_aside_but_not_called_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Storage(tmp_path, "acme", lambda: None, "https://one/v1")
    one.save([EXAMPLE])
    one.release()

    failures: list[str] = []
    other = Storage(tmp_path, "acme", lambda: None, "https://two/v1", failures.append)

    assert {} == other.load()
    [aside] = tmp_path.glob("*.other-*")
    assert "is of base_url 'https://one/v1', and 'https://two/v1' is configured now; moved to" in caplog.text
    assert "damaged" not in caplog.text
    assert [] == failures
    aside.rename(one.path)
    assert {"completions": EXAMPLE} == one.load()


HOLD = """
import sys, time
from pathlib import Path
from openai_exporter.usage.storage import Storage
print(Storage(Path(sys.argv[1]), "acme", lambda: None).save([]), flush=True)
time.sleep(60)
"""


@contextmanager
def another_exporter(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has kept its counters in the folder and goes on."""
    argv = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "True\n" == next_line(process)
            yield process
        finally:
            process.kill()


def test_two_processes_do_not_write_one_file_and_a_killed_one_lets_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[str] = []
    file = Storage(tmp_path, "acme", lambda: None, failed=failures.append)
    with another_exporter(tmp_path) as other:
        theirs = file.path.read_bytes()
        assert not file.save([EXAMPLE])
        assert not file.save([EXAMPLE])
        assert theirs == file.path.read_bytes()
        assert ["locked", "locked"] == failures
        assert 1 == len(caplog.records)
        assert f"another exporter (process {other.pid} on " in caplog.text
        other.send_signal(signal.SIGKILL)
        other.wait(60)
        with caplog.at_level(logging.INFO):
            assert file.save([EXAMPLE])
    assert "counters are kept again" in caplog.text
    assert {"completions": EXAMPLE} == file.load()


def test_a_damaged_file_of_another_exporter_is_left_to_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = storage(tmp_path)
    with another_exporter(tmp_path):
        file.path.write_text("{")
        assert {} == file.load()
        assert file.path.exists()
    assert "holds the lock" in caplog.text


def test_a_full_disk_is_said_and_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[str] = []
    file = Storage(tmp_path, "acme", lambda: None, failed=failures.append)
    file.save([EXAMPLE])
    with full_disk():
        assert not file.save([MANY])
    assert ["write"] == failures
    assert "cannot be written: File too large" in caplog.text
    assert {"completions": EXAMPLE} == file.load()
    assert {"acme.usage.jsonl", "acme.usage.lock"} == {each.name for each in tmp_path.iterdir()}
    assert file.save([MANY])
    assert {"completions": MANY} == file.load()


def test_what_a_killed_exporter_left_half_written_is_removed(tmp_path: Path) -> None:
    file = storage(tmp_path)
    (tmp_path / f".{file.path.name}.x1y2.tmp").write_text('{"format":')
    assert {} == file.load()
    assert file.save([EXAMPLE])
    assert {"completions": EXAMPLE} == file.load()
    assert {"acme.usage.jsonl", "acme.usage.lock"} == {each.name for each in tmp_path.iterdir()}

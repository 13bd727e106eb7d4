# SPDX-License-Identifier: Apache-2.0
"""Reading within a bound, and writing that leaves the old file or the new one, never half of either."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from openai_exporter.errors import ConfigError
from openai_exporter.files import MAX_BYTES, read_text, write_atomically


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")

    assert read_text(path, "a configuration") == "a: 1\r\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a" * (MAX_BYTES + 1), "is larger than 1 MiB; this is not a configuration"),
        (b"a: 1\nb: \xff", "is not UTF-8 text (byte 0xff on line 2); save it as UTF-8"),
        (None, "cannot be read: No such file or directory; name an existing file"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.yml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_text(path, "a configuration")

    assert [str(problem) for problem in caught.value.problems] == [f"{path}: {message}"]


@pytest.mark.parametrize("content", ["new\n", ["ne", "w\n"]], ids=["text", "pieces"])
def test_a_file_is_replaced(tmp_path: Path, content: str | list[str]) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")

    write_atomically(path, content)

    assert path.read_text() == "new\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)], ids=["usual", "private"])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", "new\n")
    finally:
        os.umask(before)

    assert mode == (tmp_path / "a").stat().st_mode & 0o777


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")

    def broken() -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, broken())

    assert path.read_text() == "old\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_no_file_takes_the_place_of_a_pipe_or_a_directory(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(tmp_path / "pipe", "text")
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_directory_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a", "text")

# SPDX-License-Identifier: Apache-2.0
"""Key files are read as they are now; what cannot be a key is refused without being shown."""

import os
import traceback
from pathlib import Path
from typing import NoReturn

import pytest

from openai_exporter.config.secret import credential
from openai_exporter.errors import CredentialError

KEY = "sk-proj-AAAABBBBCCCCDDDD"


def test_a_traceback_of_a_credential_error_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY} {KEY}")
    with pytest.raises(CredentialError) as caught:
        credential("key", None, {}, tmp_path).read()
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_key_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-first\n")
    found = credential("key", None, {}, tmp_path)
    assert found.read().reveal() == "sk-first"
    path.write_text("sk-second\n")
    assert found.read().reveal() == "sk-second"


def test_a_key_that_is_swapped_behind_a_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("sk-first")
    (tmp_path / "two").write_text("sk-second")
    link = tmp_path / "key"
    link.symlink_to("one")
    found = credential("key", None, {}, tmp_path)
    assert found.read().reveal() == "sk-first"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(link)
    assert found.read().reveal() == "sk-second"


def test_a_key_file_that_went_away_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    found = credential("key", None, {}, tmp_path)
    with pytest.raises(CredentialError, match="No such file"):
        found.read()
    path.write_text("sk-first")
    assert found.read().reveal() == "sk-first"


def test_a_key_file_of_somebody_else_is_told_with_the_user_that_may_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sk-first")

    def refused(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    # Root may read everything.
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(CredentialError, match=r"cannot be read: Permission denied; let user \d+, .* read it"):
        credential("key", None, {}, tmp_path).read()


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"sk-a", "sk-a"),
        (b"\xef\xbb\xbfsk-a\r\n\r\n", "sk-a"),
        (b"  sk-a  \n", "sk-a"),
        (b"dGVzdA==", "dGVzdA=="),
    ],
)
def test_white_space_around_a_key_does_not_matter(tmp_path: Path, content: bytes, key: str) -> None:
    (tmp_path / "key").write_bytes(content)
    assert key == credential("key", None, {}, tmp_path).read().reveal()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; put the key there"),
        (b" \n", "is empty; put the key there"),
        (
            b"sk-a\nsk-b\n",
            "holds more than one key, or characters that no key has; put nothing but the key there",
        ),
        (
            b"sk-a\x00",
            "holds more than one key, or characters that no key has; put nothing but the key there",
        ),
        (
            "sk-ä".encode(),
            "holds more than one key, or characters that no key has; put nothing but the key there",
        ),
        (b"sk-\xff", "is not a text file; put the bare key there"),
        (b'"sk-a"', "holds a quote or NAME=; put nothing but the key there"),
        (b"OPENAI_API_KEY=sk-a", "holds a quote or NAME=; put nothing but the key there"),
        (b"export OPENAI_API_KEY=sk-a", "holds a quote or NAME=; put nothing but the key there"),
        (b"x" * 8193, "is larger than 8192 bytes; put nothing but the key there"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_shown(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(CredentialError) as caught:
        credential("key", None, {}, tmp_path).read()
    assert f"api_key_file {path}: {reason}" == str(caught.value)
    assert (f"api_key_file {path}", reason) == (caught.value.place, caught.value.reason)


def test_a_pipe_or_a_folder_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(CredentialError, match="is not a regular file; put the key into one"):
            credential(name, None, {}, tmp_path).read()


def test_a_variable_is_read_when_the_configuration_is() -> None:
    found = credential(None, "KEY", {"KEY": f" {KEY}\n"}, Path(), "admin_key")
    assert (found.place, found.name, found.path) == ("environment variable KEY", "KEY", None)
    assert found.read().reveal() == KEY


def test_an_unset_variable_is_an_error_with_the_remedy() -> None:
    with pytest.raises(CredentialError) as caught:
        credential(None, "KEY", {}, Path()).read()
    assert str(caught.value) == "environment variable KEY: is not set or empty; set it to the key, or remove this entry"


def test_a_home_that_is_not_known_leaves_the_path_as_it_is(tmp_path: Path) -> None:
    assert tmp_path / "~nobody-of-that-name/key" == credential("~nobody-of-that-name/key", None, {}, tmp_path).path


def test_relative_and_home_paths_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert tmp_path / "key" == credential("key", None, {}, tmp_path).path
    assert Path("/run/key") == credential("/run/key", None, {}, tmp_path).path
    assert Path("/home/me/key") == credential("~/key", None, {}, tmp_path).path

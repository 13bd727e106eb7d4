# SPDX-License-Identifier: Apache-2.0
"""One file per mistake under testdata/; its first lines are the exact messages that it gets."""

import os
import re
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from openai_exporter.config import load_config
from openai_exporter.errors import ConfigError

TESTDATA = Path(__file__).parent / "testdata"
BAD = sorted(TESTDATA.glob("bad-*.yml"))
ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


def message_of(path: Path) -> str:
    """The file without its messages must not be what makes it bad: they are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = takewhile(lambda line: line.startswith(f"# {path.name}"), lines)
    return "\n".join(line.removeprefix("# ") for line in head)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_mistake_gets_its_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TESTDATA)
    with pytest.raises(ConfigError) as caught:
        load_config(Path(path.name), ENV)
    assert message_of(path) == str(caught.value)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_message_is_one_line_in_our_words(path: Path) -> None:
    message = message_of(path)
    assert message
    for line in message.splitlines():
        assert not any(word in line for word in ("Input should", "valid dictionary", "pydantic", "Value error"))
        assert "AAAABBBB" not in line
        assert "hunter2" not in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; start with `targets:`, or leave the file out for the built-in configuration"),
        (
            b"# only a comment\n",
            "is empty; start with `targets:`, or leave the file out for the built-in configuration",
        ),
        (b"{}\n", "is empty; start with `targets:`, or leave the file out for the built-in configuration"),
        (b"targets: []\n# caf\xe9\n", "is not UTF-8 text (byte 0xe9 on line 2); save it as UTF-8"),
        (b"#" * 1_048_577, "is larger than 1 MiB; this is not a configuration"),
        (
            b"".join(
                b"%c: &%c [%s]\n" % (name, name, b", ".join([b"*%c" % (name - 1)] * 9) if name > 97 else b"lol")
                for name in range(97, 106)
            ),
            "holds more than 25000 keys and values, aliases written out; make it smaller",
        ),
    ],
    ids=["empty", "comment", "braces", "latin-1", "huge", "billion-laughs"],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENV)
    assert f"{path}: {message}" == str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "targets:\n" + "- a\n" * 50_000,
        "targets: [" + "a," * 50_000 + "]",
        "".join(f"k{number}: 1\n" for number in range(25_000)),
        "targets:\n" + "  a: 1\n" * 25_000,
        "targets: [" + "[]," * 50_000 + "]",
    ],
    ids=["list", "flow", "mapping", "one-key", "empty-lists"],
)
def test_a_file_with_too_many_values_is_refused_where_it_has_too_many(tmp_path: Path, content: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENV)
    (problem,) = caught.value.problems
    assert problem.message == "holds more than 25000 keys and values, aliases written out; make it smaller"
    assert re.fullmatch(rf"{re.escape(str(path))}:(1|12500|24999)", problem.place)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_may_never_end_or_begin_is_refused_rather_than_read(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "endless")
    named = {"price_file": "endless", "prices": []}
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump(named))
    for file in ("endless", "exporter.yml"):
        with pytest.raises(ConfigError, match="endless: cannot be read: not a regular file; name an existing file"):
            load_config(tmp_path / file, ENV)


def test_a_missing_file_and_a_folder_are_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "none.yml"
    with pytest.raises(ConfigError) as caught:
        load_config(missing, ENV)
    assert f"{missing}: cannot be read: No such file or directory; name an existing file" == str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, ENV)
    assert f"{tmp_path}: cannot be read: Is a directory; name an existing file" == str(caught.value)

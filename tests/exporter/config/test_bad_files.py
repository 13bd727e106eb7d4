# SPDX-License-Identifier: Apache-2.0
"""One file per mistake under testdata/; its first lines are the exact messages that it gets."""

from itertools import takewhile
from pathlib import Path

import pytest

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
            "holds more than 50000 values once its aliases are written out; make it smaller",
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


def test_a_missing_file_and_a_folder_are_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "none.yml"
    with pytest.raises(ConfigError) as caught:
        load_config(missing, ENV)
    assert f"{missing}: cannot be read: No such file or directory; name an existing file" == str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, ENV)
    assert f"{tmp_path}: cannot be read: Is a directory; name an existing file" == str(caught.value)

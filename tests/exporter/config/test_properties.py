# SPDX-License-Identifier: Apache-2.0
"""Whatever a file holds, it is a configuration or a list of mistakes, and never another exception."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, strategies as st
from jsonschema import Draft202012Validator

from openai_exporter.config import Config, dump, schema_document
from openai_exporter.config.document import Document
from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError

GOOD = (Path(__file__).parent / "testdata" / "good-everything.yml").read_text(encoding="utf-8")
ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}
DATA = Document(GOOD, "good").data
validator = Draft202012Validator(schema_document())

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["5s", "-1s", "0", "chat", "openai", "model", "sk-proj-abcdefgh", "1e400", "https://a@b", "(", ""]),
)
VALUES = st.recursive(
    SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
)


def spots(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of every value."""
    below: list[tuple[str | int, Any]] = (
        list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    )
    return [path] + [found for key, each in below for found in spots(each, (*path, key))]


SPOTS = spots(DATA)[1:]


def changed(node: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(node, dict):
        return {**node, key: changed(node[key], rest, value)}
    return [changed(each, rest, value) if index == key else each for index, each in enumerate(node)]


def load(text: str) -> Config | ConfigError:
    try:
        return parse_config(text, "f.yml", ENV, Path("/nonexistent"))
    except ConfigError as error:
        return error


def check(text: str) -> None:
    """Load, and look at what came of it."""
    config = load(text)
    if isinstance(config, ConfigError):
        assert config.problems
        for problem in config.problems:
            assert "\n" not in str(problem)
            assert problem.place.startswith("f.yml")
            assert "sk-proj-abcdefgh" not in str(problem)
        return
    assert config == load(dump(config)) or "<secret>" in dump(config)
    assert validator.is_valid(Document(text, "f.yml").data)


def test_the_unchanged_file_is_good() -> None:
    check(GOOD)
    assert len(SPOTS) > 100


@given(st.sampled_from(SPOTS), VALUES)
@example(("targets", 0, "name"), 10**400)
@example(("modules", "chat", "timeout"), 10**400)
@example(("modules", "chat", "expect", "text"), "[[a")
@example(("modules", "chat", "expect", "text"), "a{99999999999999999999}")
@example(("targets", 0, "base_url"), "http://[::1")
def test_one_changed_value(path: tuple[str | int, ...], value: Any) -> None:
    data = changed(DATA, path, value)
    check(yaml.safe_dump(data, allow_unicode=True))


@given(st.sampled_from(SPOTS), st.text(min_size=1, max_size=20), VALUES)
def test_one_more_key(path: tuple[str | int, ...], key: str, value: Any) -> None:
    node: Any = DATA
    for part in path:
        node = node[part]
    if isinstance(node, dict):
        check(yaml.safe_dump(changed(DATA, path, {**node, key: value}), allow_unicode=True))


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text(max_size=10))
@example(0, 0, "\t")
@example(0, 0, "&a [*a]")
def test_one_changed_piece_of_text(start: int, length: int, piece: str) -> None:
    check(GOOD[:start] + piece + GOOD[start + length :])


@given(st.text(alphabet=st.sampled_from(" \t\n-:{}[]&*!|>'\"#%@`,?~<abc01.$\x00\ufeff\u2028"), max_size=60))
def test_any_text_at_all(text: str) -> None:
    check(text)

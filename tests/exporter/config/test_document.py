# SPDX-License-Identifier: Apache-2.0
"""YAML decoding: plain types of YAML 1.2, lines, aliases and merge keys."""

from typing import Any

import pytest

from openai_exporter.config.document import Document, dotted
from openai_exporter.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("~", None),
        ("null", None),
        ("", None),
        ("10", 10),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("-.inf", float("-inf")),
        ("1:30", "1:30"),
        ("2024-10-21", "2024-10-21"),
        ("20_000", "20_000"),
        ("=", "="),
        ("'10'", "10"),
        ("!!str 10", "10"),
        ("!!int '10'", 10),
        ("!!float 1", 1.0),
    ],
)
def test_a_plain_scalar_has_the_type_that_yaml_1_2_gives_it(text: str, value: Any) -> None:
    found = Document(f"key: {text}\n", "f.yml").data["key"]
    assert value == found
    assert type(value) is type(found)


def test_a_mapping_key_is_always_text() -> None:
    assert Document("1: a\nno: b\n2024-01-01: c\n", "f.yml").data == {"1": "a", "no": "b", "2024-01-01": "c"}


def test_anchors_aliases_and_merge_keys_are_written_out() -> None:
    text = """
base: &base
  timeout: 5s
  request: &request {prompt: ping}
more: &more {stream: true, timeout: 9s}
one:
  <<: *base
  timeout: 7s
two:
  <<: [*base, *more]
  request:
    <<: *request
    size: auto
three: *base
"""
    data = Document(text, "f.yml").data
    assert data["one"] == {"timeout": "7s", "request": {"prompt": "ping"}}
    assert data["two"] == {"request": {"size": "auto", "prompt": "ping"}, "timeout": "5s", "stream": True}
    assert data["base"] == data["three"]


def test_a_place_has_the_line_where_the_value_stands() -> None:
    text = "targets:\n- name: a\n  project: p\n-\n  name: b\nmodules: &m\n  chat: {endpoint: chat,\n    stream: true}\n"
    document = Document(text, "f.yml")
    assert [
        document.line(path)
        for path in (
            ("targets",),
            ("targets", 0, "name"),
            ("targets", 0, "project"),
            ("targets", 1, "name"),
            ("modules", "chat", "endpoint"),
            ("modules", "chat", "stream"),
        )
    ] == [1, 2, 3, 5, 7, 8]
    assert document.place(("targets", 0, "project")) == "f.yml:3: targets[0].project"


def test_a_place_that_is_not_in_the_file_has_the_line_of_its_parent() -> None:
    document = Document("targets:\n- project: p\n", "f.yml")
    assert document.place(("targets", 0, "name")) == "f.yml:2: targets[0].name"


def test_a_merged_value_has_the_line_of_its_anchor() -> None:
    document = Document("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n", "f.yml")
    assert (document.line(("b", "x")), document.line(("b", "y"))) == (2, 5)


def test_every_duplicate_key_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        Document("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "f.yml")
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yml:4: b.c: duplicate key; first on line 3, remove one",
        "f.yml:5: a: duplicate key; first on line 1, remove one",
    ]


def test_a_byte_order_mark_and_carriage_returns_do_not_matter() -> None:
    assert Document("\ufeffa: 1\r\nb: 2\r\n", "f.yml").data == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("targets", 0, "name"), "targets[0].name"),
        (("modules", "a b", "stream"), "modules['a b'].stream"),
        (("sk-proj-AAAABBBBCCCC",), "<secret>"),
        (("targets", "0123456789abcdef0123456789abcdef"), "targets.<secret>"),
    ],
)
def test_a_path_is_written_with_dots_and_brackets_and_without_keys(path: tuple[str | int, ...], text: str) -> None:
    assert text == dotted(path)

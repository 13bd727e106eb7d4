# SPDX-License-Identifier: Apache-2.0
"""Keys never show."""

import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st
from pydantic import TypeAdapter

from openai_exporter.config import Config, Credential, Secret, dump
from openai_exporter.config.load import parse_config
from openai_exporter.config.secret import looks_like_key, mask_keys, names_a_secret, shown

# What is taken for a key, and what is not.

BODY = st.text("ABCDEFabcdef0123456789_-", min_size=12, max_size=150)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sk-proj-abcdefgh", "<secret>"),
        ("key sk-admin-abc_def-012, twice sk-abcdef0", "key <secret>, twice <secret>"),
        ("Authorization: Bearer abcdef.012", "Authorization: Bearer <secret>"),
        ('{"authorization": "Basic dXNlcjpwdw=="}', '{"authorization": <secret>}'),
        ("sent Bearer abcdef0123456789abcdef", "sent Bearer <secret>"),
        ("https://user:password@example.com/v1", "https://<secret>@example.com/v1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "<secret>"),
        ("gsk_0123456789abc", "<secret>"),
    ],
)
def test_a_key_is_masked_within_a_text(text: str, masked: str) -> None:
    assert masked == mask_keys(text)
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "gpt-5.4-mini",
        "text-embedding-3-small",
        "ft:gpt-4o-mini-2024-07-18:acme:support:AbC123dE",
        "task-force-overview-dashboard",
        "OPENAI_API_KEY",
        "/run/secrets/openai_api_key",
        "https://api.openai.com/v1",
        "Reply with the word: pong",
        "risk-assessment-2026",
        "Solve a basic arithmetic exercise.",
        "the bearer of this letter",
        "needs authorization: ask",
    ],
)
def test_ordinary_names_are_left_alone(text: str) -> None:
    assert text == mask_keys(text)
    assert not looks_like_key(text)


def test_a_long_run_without_a_prefix_counts_as_a_key_in_messages() -> None:
    assert looks_like_key("0123456789abcdef0123456789abcdef")
    assert shown("0123456789abcdef0123456789abcdef") == "'<secret>'"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("api_key", "x-api-key", "Authorization", "password", "openai_api_key", "key")],
        *[(name, False) for name in ("max_tokens", "prompt_cache_key", "monkey", "user")],
    ],
)
def test_some_names_say_that_their_value_is_a_secret(name: str, secret: bool) -> None:
    assert secret == names_a_secret(name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        ("word", "'word'"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 61, f"'{'x' * 57}...'"),
        ("x" * 55 + " sk-proj-abcdefgh", f"'{'x' * 55} <...'"),
    ],
)
def test_a_value_is_quoted_on_one_short_line(value: object, text: str) -> None:
    assert text == shown(value)


@given(BODY, st.text(" \n.:/xyz\"'", max_size=5000), st.text(" \n.:/xyz\"'", max_size=50))
def test_no_openai_key_survives_wherever_it_stands(body: str, before: str, after: str) -> None:
    key = f"sk-{body}"
    for text in (mask_keys(f"{before} {key} {after}"), shown(f"{before} {key} {after}")):
        assert body[:12] not in text


# Keys never show.

KEY = "sk-proj-AAAABBBBCCCCDDDD"


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    secret: Secret


def configuration(tmp_path: Path) -> Config:
    (tmp_path / "key").write_text(KEY)
    text = """
targets:
- {name: a, api_key_env: KEY}
- {name: b, api_key_file: key}
organizations:
- {name: main, admin_key_env: KEY}
"""
    return parse_config(text, "f.yml", {"KEY": KEY}, tmp_path)


SHOWN: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "format": "{}".format,
    "format_width": lambda secret: f"{secret:>40}",
    "f_string_repr": lambda secret: f"{secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - logging formats like this.
    "list": lambda secret: str([secret]),
    "dict": lambda secret: str({"key": secret}),
    "dataclass": lambda secret: repr(Holder(secret)),
    "asdict": lambda secret: str(dataclasses.asdict(Holder(secret))),
    "credential": lambda secret: repr(Credential("place", value=secret)),
    "error": lambda secret: str(ValueError(secret)),
    "copy": lambda secret: repr([copy.copy(secret), copy.deepcopy(secret)]),
    "json_default": lambda secret: json.dumps(secret, default=str),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN.keys())
def test_a_secret_shows_a_mask(show: Callable[[Secret], str]) -> None:
    text = show(Secret(KEY))
    assert "<secret>" in text
    assert KEY not in text


@pytest.mark.parametrize(
    "serialise",
    [
        pickle.dumps,
        json.dumps,
        yaml.safe_dump,
        yaml.dump,
        lambda secret: secret.__getstate__(),
        lambda secret: TypeAdapter(object).dump_json(secret),
        lambda secret: pickle.dumps(Credential("place", value=secret)),
    ],
    ids=["pickle", "json", "yaml_safe", "yaml", "getstate", "pydantic", "pickle_credential"],
)
def test_nothing_serialises_a_secret(serialise: Callable[[Secret], object]) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        serialise(Secret(KEY))
    assert KEY not in str(caught.value)


def test_a_secret_reveals_the_key_when_asked() -> None:
    assert Secret(KEY).reveal() == KEY
    assert copy.deepcopy(Secret(KEY)).reveal() == KEY


def test_secrets_compare_by_key_so_that_a_reload_sees_a_changed_one() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))


def test_no_view_of_a_configuration_shows_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configuration(tmp_path)
    logging.getLogger("test").warning("loaded %s %r", config, config.target_credential("a"))
    views = [
        repr(config),
        str(config),
        dump(config),
        config.model_dump_json(),
        str(config.model_dump()),
        str(config.__dict__),
        repr(config.target_credential("b")),
        repr(config.__pydantic_private__),
        yaml.safe_dump(config.model_dump(mode="json")),
        repr(config.model_copy(deep=True)),
        caplog.text,
    ]
    assert [view for view in views if KEY in view] == []
    for whole in (config, config.target_credential("a")):
        with pytest.raises(TypeError, match="a secret is not serialised"):
            pickle.dumps(whole)

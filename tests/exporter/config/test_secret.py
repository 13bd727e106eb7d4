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
from pydantic import TypeAdapter

from openai_exporter.config import Config, Credential, Secret, dump
from openai_exporter.config.load import parse_config

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

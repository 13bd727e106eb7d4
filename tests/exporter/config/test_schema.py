# SPDX-License-Identifier: Apache-2.0
"""The published JSON Schema agrees with the loader."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from openai_exporter.config import load_config, schema_document
from openai_exporter.config.document import Document
from openai_exporter.config.load import parse_config
from openai_exporter.config.root import Config
from openai_exporter.config.schema import config_shape
from openai_exporter.errors import ConfigError

TESTDATA = Path(__file__).parent / "testdata"
GOOD = [*sorted(TESTDATA.glob("good-*.yml")), Path(__file__).parents[3] / "exporter" / "exporter.yml"]
BAD = sorted(TESTDATA.glob("bad-*.yml"))
ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}
OUT_OF_REACH = {
    # What needs two keys, two sections or the machine is out of a schema's reach.
    *("bad-budget-no-organization", "bad-budget-not-grouped", "bad-budget-part-not-grouped", "bad-budget-organization"),
    *("bad-budget-scope-each", "bad-budget-scope-not-grouped", "bad-budget-scope-two"),
    *("bad-credential-file-missing", "bad-credential-variable-unset", "bad-credential-no-key-openai"),
    *("bad-cost-limit-of-compatible", "bad-cost-limit-of-sound"),
    *("bad-duplicate-probe", "bad-duplicate-target"),
    *("bad-module-dimensions", "bad-module-output-tokens", "bad-module-stream", "bad-module-vector"),
    *("bad-probe-models-model", "bad-probe-module", "bad-probe-no-model", "bad-probe-target"),
    *("bad-provider-needs-url", "bad-provider-version"),
    *("bad-price-file-missing", "bad-price-never", "bad-price-none"),
    # What a pattern says less exactly than the loader.
    *(
        "bad-value-duration-long",
        "bad-value-duration-zero",
        "bad-value-url-port",
        "bad-value-pattern",
        "bad-value-pattern-lookahead",
    ),
    *("bad-value-label-text", "bad-secret-key-in-file"),
    *("bad-value-extra-nan", "bad-value-money-infinite"),
}
validator = Draft202012Validator(schema_document())


def test_the_schema_is_a_valid_schema_with_a_head() -> None:
    document = schema_document()
    Draft202012Validator.check_schema(document)
    assert (document["$schema"], document["title"]) == (
        "https://json-schema.org/draft/2020-12/schema",
        "openai-exporter configuration",
    )
    assert document["$id"].startswith("urn:")


def test_a_caller_cannot_change_the_schema_for_others() -> None:
    schema_document()["properties"].clear()
    assert schema_document()["properties"]


def fields(node: Any, path: str = "") -> list[tuple[str, Any]]:
    if not isinstance(node, dict):
        return []
    own = [(f"{path}.{name}", each) for name, each in node.get("properties", {}).items()]
    return own + [found for key, each in node.items() for found in fields(each, f"{path}.{key}")]


def test_every_field_is_described_by_a_sentence() -> None:
    named = [
        (name, each)
        for name, each in fields(schema_document())
        if "oneOf" not in name and not name.startswith(".$defs.Organization.properties.usage.")
    ]
    assert len(named) > 60
    assert [name for name, each in named if not each.get("description", "").endswith(".")] == []


def test_durations_are_shown_as_they_are_written() -> None:
    module = schema_document()["$defs"]["Module"]["properties"]
    assert (module["timeout"]["default"], module["min_interval"]["default"]) == ("9s500ms", "0s")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_the_loader_accepts_the_schema_accepts(path: Path) -> None:
    load_config(path, ENV)
    data = Document(path.read_text(encoding="utf-8"), path.name).data
    assert [error.message for error in validator.iter_errors(data)] == []


def decoded(path: Path) -> Any:
    """The data of a file, None when it is not even YAML."""
    try:
        return Document(path.read_text(encoding="utf-8"), path.name).data
    except ConfigError:
        return None


@pytest.mark.parametrize("path", [path for path in BAD if decoded(path)], ids=lambda path: path.stem)
def test_the_schema_refuses_the_mistakes_that_it_can_see(path: Path) -> None:
    assert (path.stem not in OUT_OF_REACH) == (not validator.is_valid(decoded(path)))


def test_every_exception_of_the_schema_is_a_file() -> None:
    assert set() == OUT_OF_REACH - {path.stem for path in BAD if decoded(path)}


TARGET = {"name": "a", "base_url": "http://127.0.0.1:8080/v1"}


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"api_key_env": "KEY"}, True),
        ({"api_key_env": "KEY", "api_key_file": None}, True),
        ({"api_key_env": "KEY", "no_key": False}, True),
        ({"provider": "compatible", "no_key": True}, True),
        ({}, False),
        ({"no_key": False}, False),
        ({"api_key_env": None}, False),
        ({"api_key_env": "KEY", "api_key_file": "key"}, False),
        ({"provider": "compatible", "api_key_env": "KEY", "no_key": True}, False),
    ],
)
def test_loader_and_schema_agree_on_credentials(tmp_path: Path, more: dict[str, Any], good: bool) -> None:
    (tmp_path / "key").write_text("sk-key")
    data = {"targets": [TARGET | more]}
    assert good == validator.is_valid(data)
    try:
        parse_config(yaml.safe_dump(data), "f.yml", {"KEY": "sk-key"}, tmp_path)
        loaded = True
    except ConfigError:
        loaded = False
    assert good == loaded


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("history", "limit"), "a whole number from 1 to 10000"),
        (("budgets", 0, "limit_usd"), "a number above 0"),
        (("budgets", 0, "warn_ratio"), "a number above 0 and at most 1"),
        (("modules", "x", "timeout"), "a duration such as 15s, 500ms or 1h30m"),
        (("modules", "x", "request", "prompt"), "text of 1 to 20000 characters"),
        (("modules", "x", "stream"), "true or false"),
        (("organizations", 0, "costs", "group_by"), "a list of project_id, line_item, api_key_id, user_id, api_source"),
        (("organizations", 0, "usage", "embeddings", "group_by"), "a list of project_id, user_id, api_key_id, model"),
        (("targets", 0, "provider"), "one of openai, azure, compatible"),
        (("nothing", 0, "here"), "text"),
    ],
)
def test_the_schema_says_in_words_what_a_value_must_be(path: tuple[str | int, ...], text: str) -> None:
    assert text == config_shape().words(config_shape().node_at(path))


def test_every_pattern_has_its_words() -> None:
    def patterns(node: Any) -> list[str]:
        if isinstance(node, list):
            return [found for each in node for found in patterns(each)]
        if not isinstance(node, dict):
            return []
        own = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
        return own + [found for each in node.values() for found in patterns(each)]

    found = set(patterns(Config.model_json_schema()))
    assert len(found) >= 6
    assert [pattern for pattern in found if not config_shape().words({"type": "string", "pattern": pattern})] == []

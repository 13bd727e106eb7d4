# SPDX-License-Identifier: Apache-2.0
"""The built-in configuration, and the file that says the same."""

import re
from pathlib import Path

import pytest

from openai_exporter.config import load_config, zero_config
from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError

EXPORTER_YML = Path(__file__).parents[3] / "exporter" / "exporter.yml"
KEY = {"OPENAI_API_KEY": "sk-test-0123456789"}
ADMIN = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


def test_one_key_probes_and_the_other_reads_the_organization() -> None:
    probing, reading = zero_config(KEY), zero_config(ADMIN)
    assert (bool(probing.probes), bool(probing.organizations)) == (True, False)
    assert (bool(reading.probes), bool(reading.organizations)) == (False, True)
    assert 1 == len(probing.status_pages) == len(reading.status_pages)


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": " "}, {"OPENAI_BASE_URL": "http://localhost/v1"}])
def test_without_a_key_the_remedies_are_named(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"set OPENAI_API_KEY .* or OPENAI_ADMIN_KEY .* --config.file"):
        zero_config(env)


def test_another_base_url_has_no_status_page() -> None:
    config = zero_config(KEY | ADMIN | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert {"http://127.0.0.1:9/v1"} == {config.targets[0].base_url, config.organizations[0].base_url}
    assert config.status_pages == ()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            KEY | ADMIN | {"OPENAI_BASE_URL": "localhost:80"},
            "environment variable OPENAI_BASE_URL: 'localhost:80': "
            "must be an http:// or https:// URL without user, query or fragment",
        ),
        (
            {"OPENAI_API_KEY": "sk-a sk-b"},
            "environment variable OPENAI_API_KEY: "
            "holds more than one key, or characters that no key has; put nothing but the key there",
        ),
        (
            {"OPENAI_ADMIN_KEY": "'sk-admin'"},
            "environment variable OPENAI_ADMIN_KEY: holds a quote or NAME=; put nothing but the key there",
        ),
    ],
    ids=["base_url", "key", "admin_key"],
)
def test_a_mistake_names_the_variable(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        zero_config(env)
    assert message == str(caught.value)


def test_the_sample_file_is_equal_in_effect_to_the_built_in_configuration() -> None:
    assert zero_config(KEY | ADMIN) == load_config(EXPORTER_YML, KEY | ADMIN)


def test_every_commented_example_of_the_sample_file_loads(tmp_path: Path) -> None:
    """Prose has one space after its `#`; examples have none, or their own indentation."""
    text = EXPORTER_YML.read_text(encoding="utf-8")
    examples = re.sub(r"(?m)^#(?=\S|  )", "", text)
    assert examples != text
    for name in ("openai_api_key", "openai_admin_key", "azure_key"):
        (tmp_path / name).write_text("sk-test-0123456789")
    (tmp_path / "prices.yml").write_text("prices: []")
    examples = examples.replace("/run/secrets/", f"{tmp_path}/")
    config = parse_config(examples, "examples", KEY | ADMIN, tmp_path)
    assert {"openai", "azure", "local"} == {target.name for target in config.targets}
    assert len(config.budgets) >= 3

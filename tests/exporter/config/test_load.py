# SPDX-License-Identifier: Apache-2.0
"""What a good file becomes."""

from pathlib import Path

import pytest

from openai_exporter.config import Config, load_config, zero_config
from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError
from openai_exporter.model import Endpoint, Provider

ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


def parse(text: str) -> Config:
    return parse_config(text, "f.yml", ENV, Path())


def test_a_target_has_defaults_for_all_but_name_and_key() -> None:
    target = parse("targets: [{name: a, api_key_env: OPENAI_API_KEY}]").targets[0]
    assert (
        target.provider,
        target.base_url,
        target.no_key,
    ) == (Provider.OPENAI, "https://api.openai.com/v1", False)


def test_a_trailing_slash_of_a_url_does_not_matter() -> None:
    text = "targets: [{name: a, base_url: 'http://[::1]:8080/v1/', api_key_env: OPENAI_API_KEY}]"
    assert parse(text).targets[0].base_url == "http://[::1]:8080/v1"


def test_an_azure_version_needs_no_quotes_although_it_is_a_date() -> None:
    text = """
targets:
- name: azure
  provider: azure
  base_url: https://example.openai.azure.com/openai
  api_version: 2024-10-21
  api_key_env: OPENAI_API_KEY
"""
    assert parse(text).targets[0].api_version == "2024-10-21"


def test_words_that_other_yaml_readers_take_for_booleans_stay_text() -> None:
    text = """
targets: [{name: a, api_key_env: OPENAI_API_KEY}]
modules: {chat: {endpoint: chat}}
probes: [{target: a, module: chat, models: [gpt-5.4-mini], labels: {country: no, tier: on}}]
organizations: [{name: main, admin_key_env: OPENAI_ADMIN_KEY, emails: off}]
"""
    config = parse(text)
    assert config.probes[0].labels == {"country": "no", "tier": "on"}
    assert config.organizations[0].emails == "off"


def test_modules_are_shared_by_anchor_and_merge_key() -> None:
    text = """
modules:
  chat: &chat
    endpoint: chat
    timeout: 20s
  chat_stream:
    <<: *chat
    stream: true
"""
    module = parse(text).modules["chat_stream"]
    assert (module.endpoint, module.timeout, module.stream) == (Endpoint.CHAT, 20.0, True)


def test_a_configuration_never_changes() -> None:
    config = parse("history: {limit: 5}")
    with pytest.raises(ValueError, match="frozen"):
        config.history = config.history


def test_parts_are_found_by_name() -> None:
    config = zero_config(ENV)
    target, organization = config.target("openai"), config.organization("default")
    assert target is not None
    assert organization is not None
    assert (config.target("other"), config.organization("other")) == (None, None)


def test_each_credential_is_bound_to_its_owner(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file")
    text = """
targets:
- {name: a, api_key_file: key}
- {name: b, provider: compatible, base_url: 'http://localhost:8000/v1', no_key: true}
organizations: [{name: a, admin_key_env: OPENAI_ADMIN_KEY}]
"""
    path = tmp_path / "exporter.yml"
    path.write_text(text)
    config = load_config(path, ENV)
    found = config.target_credential("a")
    assert found is not None
    assert found.read().reveal() == "sk-from-file"
    assert config.target_credential("b") is None
    assert ENV["OPENAI_ADMIN_KEY"] == config.organization_credential("a").read().reveal()


def test_two_configurations_differ_when_a_key_does() -> None:
    assert zero_config(ENV) == zero_config(ENV)
    assert zero_config(ENV) != zero_config(ENV | {"OPENAI_API_KEY": "sk-other"})


def test_a_file_of_ten_thousand_mistakes_is_answered_in_full() -> None:
    text = "modules:\n" + "".join(
        f"  m{i}: {{endpoint: chat, expect: {{status: [1]}}}}\n" for i in range(5000)
    )
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert len(caught.value.problems) == 5000

# SPDX-License-Identifier: Apache-2.0
"""The effective configuration as YAML."""

from pathlib import Path

import pytest

from openai_exporter.config import dump, load_config, zero_config
from openai_exporter.config.load import parse_config

TESTDATA = Path(__file__).parent / "testdata"
GOOD = sorted(TESTDATA.glob("good-*.yml"))
ENV = {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_loading_a_dump_gives_the_same_configuration(path: Path) -> None:
    config = load_config(path, ENV)
    assert config == parse_config(dump(config), "dump", ENV, path.parent)


def test_the_dump_of_the_built_in_configuration_loads() -> None:
    config = zero_config(ENV)
    assert config == parse_config(dump(config), "dump", ENV, Path())


def test_defaults_are_filled_in_and_durations_are_written_out() -> None:
    text = """
targets: [{name: a, api_key_env: OPENAI_API_KEY}]
modules: {chat: {endpoint: chat, timeout: 90, request: {max_output_tokens: null}}}
"""
    expected = """\
targets:
- name: a
  provider: openai
  base_url: https://api.openai.com/v1
  api_key_env: OPENAI_API_KEY
  no_key: false
modules:
  chat:
    endpoint: chat
    stream: false
    timeout: 1m30s
    connection: reuse
    request:
      prompt: 'Reply with the word: pong'
      max_output_tokens: null
      voice: alloy
      audio_format: wav
      size: 1024x1024
      quality: low
      extra: {}
    expect:
      status:
      - 200
    min_interval: 0s
    short_deadline: refuse
history:
  limit: 200
"""
    assert expected == dump(parse_config(text, "f.yml", ENV, Path()))


def test_keys_that_were_pasted_into_free_text_are_masked() -> None:
    text = """
modules:
  chat:
    endpoint: chat
    request:
      prompt: say sk-proj-AAAABBBBCCCC
      extra: {metadata: {api_key: hunter22, note: [sk-proj-AAAABBBBCCCC]}, user: me, seed: null, Token: {a: b}}
"""
    dumped = dump(parse_config(text, "f.yml", ENV, Path()))
    assert "AAAABBBB" not in dumped
    assert "hunter22" not in dumped
    assert "prompt: say <secret>" in dumped
    assert "api_key: <secret>" in dumped
    assert "user: me" in dumped
    assert "seed: null" in dumped
    assert "Token: <secret>" in dumped


def test_ids_of_a_budget_scope_are_no_secrets() -> None:
    text = """
organizations: [{name: main, admin_key_env: OPENAI_ADMIN_KEY}]
budgets: [{name: b, limit_usd: 5, scope: {key: key_AbCdEf0123456789AbCdEf01}}]
"""
    assert "key: key_AbCdEf0123456789AbCdEf01" in dump(parse_config(text, "f.yml", ENV, Path()))

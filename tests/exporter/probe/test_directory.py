# SPDX-License-Identifier: Apache-2.0
"""Unknown names are refused in one line that says what is allowed."""

from pathlib import Path

import pytest

from openai_exporter.config.load import parse_config
from openai_exporter.model import ProbeKey
from openai_exporter.probe.directory import Directory

CONFIG = """
targets:
  - {name: one, api_key_env: KEY}
  - {name: two, api_key_env: KEY}
modules:
  chat: {endpoint: chat}
  models: {endpoint: models}
  spare: {endpoint: chat}
probes:
  - {target: one, module: chat, models: [a, b]}
  - {target: one, module: models}
  - {target: two, module: chat, models: [c]}
"""
DIRECTORY = Directory(parse_config(CONFIG, "test", {"KEY": "sk-test-0123456789"}, Path()))


@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        (("one", "chat", "a"), None),
        (("one", "models", ""), None),
        (("", "chat", "a"), "parameter target is missing; configured: one, two"),
        (("x", "chat", "a"), "unknown target 'x'; configured: one, two"),
        (("one", "", "a"), "parameter module is missing; configured: chat, models, spare"),
        (("one", "x", "a"), "unknown module 'x'; configured: chat, models, spare"),
        (("one", "spare", "a"), "module 'spare' is not configured for target one; configured: chat, models"),
        (("one", "models", "a"), "module models takes no model; leave parameter model out"),
        (("one", "chat", ""), "parameter model is missing for module chat on target one; configured: a, b"),
        (("two", "chat", "a"), "unknown model 'a' for module chat on target two; configured: c"),
        (("x" * 500, "chat", "a"), f"unknown target '{'x' * 63}…'; configured: one, two"),
        (("a\nb", "chat", "a"), "unknown target 'a\\nb'; configured: one, two"),
    ],
)
def test_refusals(key: tuple[str, str, str], refusal: str | None) -> None:
    assert refusal == DIRECTORY.refusal(ProbeKey(*key))


def test_the_models_of_a_target_are_those_that_are_probed_there() -> None:
    assert DIRECTORY.models_of("one") == ("a", "b")
    assert len(DIRECTORY.keys) == 4

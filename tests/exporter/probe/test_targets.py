# SPDX-License-Identifier: Apache-2.0
"""Unknown names are refused in one line that says what is allowed."""

from pathlib import Path

import pytest

from openai_exporter.config import Secret
from openai_exporter.config.load import parse_config
from openai_exporter.model import ProbeKey
from openai_exporter.probe.targets import Clients, Directory, Keyring, Library
from tests.exporter.probe.probers import KEY, configuration

# Clients are made once per target and move with a reload; the keyring knows every key.

URL = "http://127.0.0.1:1/v1"


async def test_a_target_has_one_client_that_moves_to_the_next_configuration() -> None:
    config = configuration(URL)
    clients = Clients(Library(), {})
    first = await clients.get(config.targets[0])
    assert first is await clients.get(config.targets[0])
    moved = clients.hand_over(configuration(URL))
    assert first is await moved.get(config.targets[0])
    changed = moved.hand_over(configuration(URL, organization="org-1"))
    assert first is not await changed.get(configuration(URL, organization="org-1").targets[0])
    await moved.aclose()
    assert first is not await moved.get(config.targets[0]), "what was closed is not used again"


async def test_a_proxy_that_cannot_be_used_does_not_stop_a_client_from_being_made() -> None:
    clients = Clients(Library(), {"all": "socks5://127.0.0.1:1"})
    assert (await clients.get(configuration(URL).targets[0])).pool.host == "127.0.0.1"


def test_the_keyring_masks_configured_later_and_proxy_keys(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("correct-horse-1")
    config = configuration(URL, api_key_file=str(path))
    keyring = Keyring(
        config, {"https": "http://user:battery%2Fstaple@proxy:1", "no": "x", "all": "socks5://x"}
    )
    path.unlink()
    keyring.learn(config)
    keyring.learn(configuration(URL))
    redactor = keyring.redactor(Secret("later-key-9"))
    assert redactor is keyring.redactor(Secret("later-key-9"))
    text = f"correct-horse-1 {KEY} later-key-9 battery%2Fstaple dXNlcjpiYXR0ZXJ5L3N0YXBsZQ=="
    assert redactor.mask(text).count("<secret>") == 5
    assert redactor is keyring.redactor(None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_keys_the_longer_is_masked_whole(order: int) -> None:
    keyring = Keyring(configuration(URL, key="abcdef-1"), {})
    for key in ("abcdef-123456", "abcdef-1234")[::order]:
        keyring.redactor(Secret(key))
    assert keyring.redactor(None).mask("abcdef-123456") == "<secret>"


# Unknown names are refused in one line that says what is allowed.

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

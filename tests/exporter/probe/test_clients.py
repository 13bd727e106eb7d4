# SPDX-License-Identifier: Apache-2.0
"""Clients are made once per target and move with a reload; the keyring knows every key."""

from pathlib import Path

import pytest

from openai_exporter.config import Secret
from openai_exporter.probe.clients import Clients, Keyring, Library

from .probers import KEY, configuration

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

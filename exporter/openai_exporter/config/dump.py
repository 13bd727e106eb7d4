# SPDX-License-Identifier: Apache-2.0
"""The live configuration as YAML text, for `/config`: every setting in effect, no key."""

from typing import Any

import yaml

from openai_exporter.config.masking import MASK, mask_keys, names_a_secret
from openai_exporter.config.root import Config


def dump(config: Config) -> str:
    """YAML of a configuration with its defaults filled in; loading it gives the same configuration.

    Durations are in their written form. Keys are not part of a configuration; what looks like one (in `extra`,
    a prompt or a label) is masked, which is the one thing that loading does not bring back.
    """
    data = {
        key: value for key, value in _plain(config.model_dump(mode="json")).items() if value not in ([], {})
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


_NULL_MATTERS = {"costs", "max_output_tokens"}
"""Keys whose null differs from leaving them out."""


def _plain(value: Any, *, free: bool = False) -> Any:
    """Text masked, nulls left out; `free` is inside `extra`, where any key may stand."""
    if isinstance(value, str):
        return mask_keys(value)
    if isinstance(value, list):
        return [_plain(each, free=free) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if free or each is not None or key in _NULL_MATTERS}
    return {mask_keys(key): _entry(key, each, free) for key, each in kept.items()}


def _entry(key: str, value: Any, free: bool) -> Any:
    if free and names_a_secret(key):
        return MASK
    return _plain(value, free=free or key == "extra")

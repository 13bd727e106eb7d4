# SPDX-License-Identifier: Apache-2.0
"""The whole configuration, and its text for `/config`: every setting in effect, no key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, PrivateAttr

from openai_exporter.config.base import BY_NAME, FileName, Name, Section
from openai_exporter.config.organization import Budget, Organization, StatusPage
from openai_exporter.config.prices import Price
from openai_exporter.config.probing import Module, Probe, Target
from openai_exporter.config.secret import MASK, Credential, credential, mask_keys, names_a_secret
from openai_exporter.errors import Problem

# The whole configuration.


class History(Section):
    """How many probe results are kept for `/history`."""

    limit: int = Field(
        default=200, ge=1, le=10_000, description="Recent results; as many failures are kept longer."
    )


class Config(Section):
    """Everything that `exporter.yml` says."""

    targets: tuple[Target, ...] = Field(default=(), strict=False, description="APIs that are probed.")
    modules: Annotated[dict[Name, Module], BY_NAME] = Field(
        default_factory=dict, description="How a probe is made, by name."
    )
    probes: tuple[Probe, ...] = Field(
        default=(), strict=False, description="Which module runs on which target, for which models."
    )
    organizations: tuple[Organization, ...] = Field(
        default=(), strict=False, description="Organizations whose usage and costs are read."
    )
    budgets: tuple[Budget, ...] = Field(default=(), strict=False, description="Bounds on spend.")
    prices: tuple[Price, ...] = Field(
        default=(),
        strict=False,
        description="Prices of your own, over the list prices; the first match counts.",
    )
    price_file: FileName | None = Field(
        default=None,
        description="YAML file with more `prices:`, after those here; relative to the configuration.",
    )
    status_pages: tuple[StatusPage, ...] = Field(
        default=(), strict=False, description="Public status pages that are read."
    )
    history: History = Field(default_factory=History, description="Results kept for `/history`.")

    _more_prices: tuple[Price, ...] = PrivateAttr(default=())
    _unreadable: tuple[Problem, ...] = PrivateAttr(default=())
    _credentials: dict[tuple[str, str], Credential] = PrivateAttr(default_factory=dict)

    def bind(self, env: Mapping[str, str], base: Path, more_prices: tuple[Price, ...] = ()) -> None:
        """Resolve where each key comes from, and take what the price file says; once, right after decoding."""
        self._more_prices = more_prices
        for target in self.targets:
            if not target.no_key:
                found = credential(target.api_key_file, target.api_key_env, env, base)
                self._credentials["target", target.name] = found
        for each in self.organizations:
            found = credential(each.admin_key_file, each.admin_key_env, env, base, "admin_key")
            self._credentials["organization", each.name] = found

    @property
    def all_prices(self) -> tuple[Price, ...]:
        """The prices of this file, then those of the price file."""
        return self.prices + self._more_prices

    @property
    def consumers(self) -> int:
        """How many APIs are called with a key, or none: targets and organizations."""
        return len(self.targets) + len(self.organizations)

    @property
    def unreadable_keys(self) -> tuple[Problem, ...]:
        """Keys that could not be read when the configuration was loaded."""
        return self._unreadable

    def lacking(self, keys: tuple[Problem, ...]) -> None:
        """Take note of keys that could not be read."""
        self._unreadable = keys

    def target_credential(self, name: str) -> Credential | None:
        """The credential of a target, None when its server takes no key."""
        return self._credentials.get(("target", name))

    def organization_credential(self, name: str) -> Credential:
        """The admin credential of an organization."""
        return self._credentials["organization", name]

    def target(self, name: str) -> Target | None:
        """The target of that name."""
        return next((each for each in self.targets if each.name == name), None)

    def organization(self, name: str) -> Organization | None:
        """The organization of that name."""
        return next((each for each in self.organizations if each.name == name), None)


# The live configuration as YAML text, for `/config`: every setting in effect, no key.


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

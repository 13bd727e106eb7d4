# SPDX-License-Identifier: Apache-2.0
"""The whole configuration: its parts, the checks between them, and its text for `/config`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, PrivateAttr

from openai_exporter.config import sections
from openai_exporter.config.base import BY_NAME, FileName, Name, Section, listing, repeated, unknown
from openai_exporter.config.document import Finding, Place
from openai_exporter.config.secret import MASK, Credential, credential, mask_keys, names_a_secret, shown
from openai_exporter.errors import CredentialError, Problem
from openai_exporter.model import Endpoint, Provider


class History(Section):
    """How many probe results are kept for `/history`."""

    limit: int = Field(200, ge=1, le=10_000, description="Recent results; as many failures are kept longer.")


class Config(Section):
    """Everything that `exporter.yml` says."""

    targets: tuple[sections.Target, ...] = Field((), strict=False, description="APIs that are probed.")
    modules: Annotated[dict[Name, sections.Module], BY_NAME] = Field(
        default_factory=dict, description="How a probe is made, by name."
    )
    probes: tuple[sections.Probe, ...] = Field(
        (), strict=False, description="Which module runs on which target, for which models."
    )
    organizations: tuple[sections.Organization, ...] = Field(
        (), strict=False, description="Organizations whose usage and costs are read."
    )
    budgets: tuple[sections.Budget, ...] = Field((), strict=False, description="Bounds on spend.")
    prices: tuple[sections.Price, ...] = Field(
        (), strict=False, description="Prices of your own, over the list prices; the first match counts."
    )
    price_file: FileName | None = Field(
        None, description="YAML file with more `prices:`, after those here; relative to the configuration."
    )
    status_pages: tuple[sections.StatusPage, ...] = Field(
        (), strict=False, description="Public status pages that are read."
    )
    history: History = Field(default_factory=History, description="Results kept for `/history`.")

    _more_prices: tuple[sections.Price, ...] = PrivateAttr(default=())
    _unreadable: tuple[Problem, ...] = PrivateAttr(default=())
    _credentials: dict[tuple[str, str], Credential] = PrivateAttr(default_factory=dict)

    def bind(self, env: Mapping[str, str], base: Path, more_prices: tuple[sections.Price, ...] = ()) -> None:
        """Resolve where each key comes from, and take what the price file says; once, right after decoding."""
        self._more_prices = more_prices
        for target in self.targets:
            if not target.no_key:
                source = credential(target.api_key_file, target.api_key_env, env, base)
                self._credentials["target", target.name] = source
        for owner in self.organizations:
            source = credential(owner.admin_key_file, owner.admin_key_env, env, base, "admin_key")
            self._credentials["organization", owner.name] = source

    @property
    def all_prices(self) -> tuple[sections.Price, ...]:
        """The prices of this file, then those of the price file."""
        return self.prices + self._more_prices

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

    @property
    def urls(self) -> Iterator[str]:
        """Every URL that is called."""
        yield from (target.base_url for target in self.targets)
        yield from (owner.base_url for owner in self.organizations)
        yield from (page.url for page in self.status_pages)

    def target(self, name: str) -> sections.Target | None:
        """The target of that name."""
        return next((each for each in self.targets if each.name == name), None)

    def organization(self, name: str) -> sections.Organization | None:
        """The organization of that name."""
        return next((each for each in self.organizations if each.name == name), None)


# The checks that need more than one part of the configuration.

NEVER_APPLIES = "never applies, for an earlier entry matches all that it does; put this one before it"
_DIMENSIONS = {"project": "project_id", "key": "api_key_id", "user": "user_id", "model": "model"}


def cross_check(config: Config) -> Iterator[Finding]:
    """Yield every mistake that one part alone cannot show."""
    for section in ("targets", "organizations", "budgets", "status_pages"):
        yield from _unique(section, [each.name for each in getattr(config, section)])
    yield from _probes(config)
    yield from _duplicate_probes(config)
    yield from _groups(config)
    yield from _budgets(config)
    for index, earlier in overridden(config.prices):
        yield Finding(("prices", index), NEVER_APPLIES, first=("prices", earlier))


def overridden(prices: Sequence[sections.Price]) -> Iterator[tuple[int, int]]:
    """The index of each price that an earlier one always comes before, and of that one."""
    for index, price in enumerate(prices):
        earlier = next((number for number in range(index) if prices[number].covers(price)), None)
        if earlier is not None:
            yield index, earlier


def _unique(section: str, names: Sequence[str]) -> Iterator[Finding]:
    for index, first in repeated(names):
        place = (section, first, "name")
        yield Finding((section, index, "name"), "duplicate name; names are unique", names[index], place)


def _probes(config: Config) -> Iterator[Finding]:
    targets = [target.name for target in config.targets]
    for index, probe in enumerate(config.probes):
        place: Place = ("probes", index)
        if probe.target not in targets:
            yield Finding((*place, "target"), unknown("target", probe.target, targets))
        module = config.modules.get(probe.module)
        if module is None:
            yield Finding((*place, "module"), unknown("module", probe.module, config.modules))
        elif module.endpoint is Endpoint.MODELS and probe.models:
            yield Finding((*place, "models"), "endpoint models lists every model; leave models out")
        elif module.endpoint is not Endpoint.MODELS and not probe.models:
            text = f"endpoint {module.endpoint} needs at least one model, such as models: [gpt-5.4-mini]"
            yield Finding((*place, "models"), text)
        target = config.target(probe.target)
        foreign = target is not None and target.provider is Provider.COMPATIBLE
        limited = module and module.daily_cost_limit_usd is not None and module.price_per_call_usd is None
        if foreign and limited and not _all_priced(config, probe.models):
            text = (
                "has no effect on a compatible server, whose prices nobody publishes; "
                "add price_per_call_usd, or its models to prices"
            )
            yield Finding(("modules", probe.module, "daily_cost_limit_usd"), text)


def _duplicate_probes(config: Config) -> Iterator[Finding]:
    probes = [
        (index, (probe.target, probe.module, model))
        for index, probe in enumerate(config.probes)
        for model in probe.models or ("",)
    ]
    for later, first in repeated(key for _, key in probes):
        (index, key), place = probes[later], ("probes", probes[first][0])
        yield Finding(("probes", index), "duplicate probe; remove one", " ".join(filter(None, key)), place)


def _all_priced(config: Config, models: Sequence[str]) -> bool:
    """Whether the configuration itself has a price for the tokens of each model."""
    own = [each.model for each in config.all_prices if each.usd_per_million is not None]
    return all(any(sections.named(pattern, model) for pattern in own) for model in models)


def _groups(config: Config) -> Iterator[Finding]:
    for index, owner in enumerate(config.organizations):
        for operation, usage in owner.usage.items():
            allowed = sections.GROUPABLE[operation]
            text = f"{operation} cannot be grouped by it; allowed: {', '.join(allowed)}"
            for number, name in enumerate(usage.group_by):
                if name not in allowed:
                    path = ("organizations", index, "usage", operation, "group_by", number)
                    yield Finding(path, text, name)


def _budgets(config: Config) -> Iterator[Finding]:
    names = [each.name for each in config.organizations]
    for index, budget in enumerate(config.budgets):
        place: Place = ("budgets", index)
        if budget.organization is None and len(names) != 1:
            text = f"needs organization: which one it belongs to; configured: {listing(names)}"
            yield Finding(place, text)
            continue
        owner = config.organization(budget.organization or names[0])
        if owner is None:
            text = unknown("organization", budget.organization or "", names)
            yield Finding((*place, "organization"), text)
            continue
        estimated = sections.PRICED + (("images",) if any(each.usd_per_image for each in config.all_prices) else ())
        yield from _grouped(place, budget, owner, estimated)


def _grouped(
    place: Place, budget: sections.Budget, owner: sections.Organization, estimated: Sequence[str]
) -> Iterator[Finding]:
    """A budget by a dimension needs its costs so, or an estimate of everything that can be told so."""
    scoped = next((name for name in _DIMENSIONS if getattr(budget.scope, name) is not None), None)
    dimension = budget.each or (_DIMENSIONS[scoped] if scoped else None)
    if dimension is None or (owner.costs and dimension in owner.costs.group_by):
        return
    priced = [name for name in owner.usage if name in estimated]
    lacking = [name for name in priced if dimension not in owner.usage[name].group_by]
    if priced and not lacking:
        return
    where = (*place, "each") if budget.each else (*place, "scope", scoped or "")
    missed = " and ".join(lacking) or "any usage with a price"
    text = f"needs spend by {dimension}, and organization {shown(owner.name)} does not read {missed} by it"
    also = ", or to costs.group_by" if dimension in sections.COSTS_GROUPABLE and owner.costs else ""
    places = " and ".join(f"usage.{name}.group_by" for name in lacking) or "a group_by under usage"
    yield Finding(where, f"{text}; add {dimension} to {places}{also}")


def unreadable_keys(config: Config, absent: bool = True) -> Iterator[Finding]:
    """Yield every key that cannot be read now; those that are not there at all only with `absent`."""
    for index, target in enumerate(config.targets):
        yield from _unreadable(("targets", index), "api_key", config.target_credential(target.name), absent)
    for index, owner in enumerate(config.organizations):
        source = config.organization_credential(owner.name)
        yield from _unreadable(("organizations", index), "admin_key", source, absent)


def _unreadable(place: Place, key: str, source: Credential | None, absent: bool) -> Iterator[Finding]:
    if source is None or (source.absent and not absent):
        return
    try:
        source.read()
    except CredentialError as error:
        name = f"{key}_file" if source.path else f"{key}_env"
        yield Finding((*place, name), error.reason, source.name)


def dump(config: Config) -> str:
    """YAML of a configuration with its defaults filled in; loading it gives the same configuration.

    Durations are in their written form. Keys are not part of a configuration; what looks like one (in `extra`,
    a prompt or a label) is masked, which is the one thing that loading does not bring back.
    """
    data = {key: value for key, value in _plain(config.model_dump(mode="json")).items() if value not in ([], {})}
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

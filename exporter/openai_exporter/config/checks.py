# SPDX-License-Identifier: Apache-2.0
"""The checks that need more than one part of the configuration."""

from collections.abc import Iterator, Sequence

from openai_exporter.config.base import unknown
from openai_exporter.config.document import Finding, Place
from openai_exporter.config.organization import COSTS_GROUPABLE, GROUPABLE, PRICED, Budget, Organization
from openai_exporter.config.prices import Price, named
from openai_exporter.config.probing import Module
from openai_exporter.config.root import Config
from openai_exporter.config.secret import Credential, shown
from openai_exporter.errors import CredentialError
from openai_exporter.model import Endpoint, Provider

_DIMENSIONS = {"project": "project_id", "key": "api_key_id", "user": "user_id", "model": "model"}


def cross_check(config: Config) -> Iterator[Finding]:
    """Yield every mistake that one part alone cannot show."""
    for section in ("targets", "organizations", "budgets", "status_pages"):
        yield from _unique(section, [each.name for each in getattr(config, section)])
    yield from _probes(config)
    yield from _groups(config)
    yield from _budgets(config)
    yield from never_applied(config.prices)


def never_applied(prices: Sequence[Price]) -> Iterator[Finding]:
    """Yield the prices that an earlier one always comes before."""
    for index, price in enumerate(prices):
        for before, earlier in enumerate(prices[:index]):
            if earlier.covers(price):
                text = "never applies, for an earlier entry matches all that it does; put this one before it"
                yield Finding(("prices", index), text, first=("prices", before))
                break


def _unique(section: str, names: Sequence[str]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            text = f"{shown(name)}: duplicate name; names are unique"
            yield Finding((section, index, "name"), text, first=(section, first[name], "name"))
        first.setdefault(name, index)


def _probes(config: Config) -> Iterator[Finding]:
    targets = [each.name for each in config.targets]
    first: dict[tuple[str, str, str], int] = {}
    for index, probe in enumerate(config.probes):
        place: Place = ("probes", index)
        if probe.target not in targets:
            yield Finding((*place, "target"), unknown("target", probe.target, targets))
        module = config.modules.get(probe.module)
        if module is None:
            yield Finding((*place, "module"), unknown("module", probe.module, list(config.modules)))
        elif module.endpoint is Endpoint.MODELS and probe.models:
            yield Finding((*place, "models"), "endpoint models lists every model; leave models out")
        elif module.endpoint is not Endpoint.MODELS and not probe.models:
            text = f"endpoint {module.endpoint} needs at least one model, such as models: [gpt-5.4-mini]"
            yield Finding((*place, "models"), text)
        target = config.target(probe.target)
        foreign = target is not None and target.provider is Provider.COMPATIBLE
        if module and foreign and _unpriced_limit(module) and not _all_priced(config, probe.models):
            text = (
                "has no effect on a compatible server, whose prices nobody publishes; "
                "add price_per_call_usd, or its models to prices"
            )
            yield Finding(("modules", probe.module, "daily_cost_limit_usd"), text)
        for model in probe.models or ("",):
            key = (probe.target, probe.module, model)
            if key in first:
                name = " ".join(part for part in key if part)
                text = f"{shown(name)}: duplicate probe; remove one"
                yield Finding(place, text, first=("probes", first[key]))
            first.setdefault(key, index)


def _unpriced_limit(module: Module) -> bool:
    return module.daily_cost_limit_usd is not None and module.price_per_call_usd is None


def _all_priced(config: Config, models: Sequence[str]) -> bool:
    """Whether the configuration itself has a price for the tokens of each model."""
    own = [each.model for each in config.all_prices if each.usd_per_million is not None]
    return all(any(named(pattern, model) for pattern in own) for model in models)


def _groups(config: Config) -> Iterator[Finding]:
    for index, owner in enumerate(config.organizations):
        for operation, usage in owner.usage.items():
            allowed = GROUPABLE[operation]
            for number, name in enumerate(usage.group_by):
                if name not in allowed:
                    path = ("organizations", index, "usage", operation, "group_by", number)
                    yield Finding(
                        path,
                        f"{shown(name)}: {operation} cannot be grouped by it; allowed: {', '.join(allowed)}",
                    )


def _budgets(config: Config) -> Iterator[Finding]:
    names = [each.name for each in config.organizations]
    for index, budget in enumerate(config.budgets):
        place: Place = ("budgets", index)
        if budget.organization is None and len(names) != 1:
            listed = ", ".join(names) or "none"
            yield Finding(place, f"needs organization: which one it belongs to; configured: {listed}")
            continue
        owner = config.organization(budget.organization or names[0])
        if owner is None:
            text = unknown("organization", budget.organization or "", names)
            yield Finding((*place, "organization"), text)
            continue
        estimated = PRICED + (("images",) if any(each.usd_per_image for each in config.all_prices) else ())
        yield from _grouped(place, budget, owner, estimated)


def _grouped(
    place: Place, budget: Budget, owner: Organization, estimated: Sequence[str]
) -> Iterator[Finding]:
    """A budget by a dimension needs its costs so, or an estimate of everything that can be told so."""
    scoped = next((name for name in _DIMENSIONS if getattr(budget.scope, name) is not None), None)
    wanted = budget.each or (_DIMENSIONS[scoped] if scoped else None)
    if wanted is None or (owner.costs and wanted in owner.costs.group_by):
        return
    priced = [name for name in owner.usage if name in estimated]
    lacking = [name for name in priced if wanted not in owner.usage[name].group_by]
    if priced and not lacking:
        return
    where = (*place, "each") if budget.each else (*place, "scope", scoped or "")
    missed = " and ".join(lacking) or "any usage with a price"
    text = f"needs spend by {wanted}, and organization {shown(owner.name)} does not read {missed} by it"
    also = ", or to costs.group_by" if wanted in COSTS_GROUPABLE and owner.costs else ""
    places = " and ".join(f"usage.{name}.group_by" for name in lacking) or "a group_by under usage"
    yield Finding(where, f"{text}; add {wanted} to {places}{also}")


def unreadable_keys(config: Config) -> Iterator[Finding]:
    """Yield every key that cannot be read now."""
    for index, target in enumerate(config.targets):
        yield from _unreadable(("targets", index), "api_key", config.target_credential(target.name))
    for index, each in enumerate(config.organizations):
        found = config.organization_credential(each.name)
        yield from _unreadable(("organizations", index), "admin_key", found)


def _unreadable(place: Place, key: str, found: Credential | None) -> Iterator[Finding]:
    if found is None:
        return
    try:
        found.read()
    except CredentialError as error:
        name = f"{key}_file" if found.path else f"{key}_env"
        yield Finding((*place, name), f"{shown(found.name)}: {error.reason}")

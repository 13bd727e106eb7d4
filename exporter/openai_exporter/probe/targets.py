# SPDX-License-Identifier: Apache-2.0
"""Which probes a configuration has, and the SDK clients of its targets."""

import asyncio
import contextlib
import gc
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from openai_exporter.client.network import ProxyError, client_context, parse_proxy
from openai_exporter.client.pool import Pool, Turns
from openai_exporter.config import Config, Secret
from openai_exporter.config.probing import Module, Target
from openai_exporter.errors import CredentialError
from openai_exporter.model import ProbeKey
from openai_exporter.probe.redact import Redactor, named_secrets

if TYPE_CHECKING:
    from openai_exporter.client.sdk import TargetClient

# Which probes a configuration has, and a helpful refusal for every other one.

_SHOWN = 20


class Directory:
    """The probes of one configuration.

    Attributes:
        keys: every probe, in the configuration's order.
    """

    def __init__(self, config: Config) -> None:
        self._targets = {target.name: target for target in config.targets}
        self._modules = config.modules
        self.keys = tuple(
            ProbeKey(probe.target, probe.module, model)
            for probe in config.probes
            for model in probe.models or ("",)
        )
        self._known = frozenset(self.keys)

    def parts(self, key: ProbeKey) -> tuple[Target, Module]:
        """Target and module of a known probe."""
        return self._targets[key.target], self._modules[key.module]

    def models_of(self, target: str) -> tuple[str, ...]:
        """The models that are probed on a target, each once."""
        return tuple(dict.fromkeys(key.model for key in self.keys if key.target == target and key.model))

    def refusal(self, key: ProbeKey) -> str | None:
        """None for a known probe, else one line: what is unknown, and what is allowed."""
        if key in self._known:
            return None
        if key.target not in self._targets:
            return _unknown("target", key.target, self._targets)
        if key.module not in self._modules:
            return _unknown("module", key.module, self._modules)
        here = [each for each in self.keys if each.target == key.target]
        models = [each.model for each in here if each.module == key.module]
        if not models:
            allowed = dict.fromkeys(each.module for each in here)
            where = f"module {_shown(key.module)} is not configured for target {key.target}"
            return f"{where}; configured: {_list(allowed)}"
        if models == [""]:
            return f"module {key.module} takes no model; leave parameter model out"
        where = f"for module {key.module} on target {key.target}"
        if not key.model:
            return f"parameter model is missing {where}; configured: {_list(models)}"
        return f"unknown model {_shown(key.model)} {where}; configured: {_list(models)}"


def _unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    if not name:
        return f"parameter {kind} is missing; configured: {_list(allowed)}"
    return f"unknown {kind} {_shown(name)}; configured: {_list(allowed)}"


def _shown(name: str) -> str:
    return repr(name if len(name) <= 64 else name[:63] + "…")


def _list(names: Iterable[str]) -> str:
    found = list(names)
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) + more) or "none"


# The SDK clients of a configuration's targets, imported late, and the keys that must never be shown.


class Library:
    """Imports the SDK and the price table once, in a thread."""

    def __init__(self) -> None:
        self._sdk: ModuleType | None = None
        self._lock = asyncio.Lock()

    async def sdk(self) -> ModuleType:
        """Module `client.sdk`."""
        if self._sdk is None:
            async with self._lock:
                if self._sdk is None:
                    self._sdk = await asyncio.to_thread(_import)
        return self._sdk


@cache
def _import() -> ModuleType:
    from openai_exporter.client import sdk
    from openai_exporter.prices.listed import list_prices

    list_prices()
    # What was imported lives as long as the process: keep the collector from walking it while a probe is timed.
    gc.freeze()
    return sdk


class Clients:
    """One client and pool per target."""

    def __init__(self, library: Library, proxies: Mapping[str, str], turns: Turns | None = None) -> None:
        self._library = library
        self._proxies = proxies
        self._turns = turns or Turns()
        self._clients: dict[str, TargetClient] = {}
        self._context = lru_cache(maxsize=1)(
            client_context
        )  # a megabyte and 20 ms each: all targets share one

    async def get(self, target: Target) -> "TargetClient":
        """The client of a target, made at its first use, its certificates loaded."""
        found = self._clients.get(target.name)
        if found is None:
            sdk = await self._library.sdk()
            pool = Pool(target.base_url, proxies=self._proxies, context=self._context, turns=self._turns)
            client = sdk.TargetClient(target, pool)
            found = self._clients.setdefault(target.name, client)
        with contextlib.suppress(ProxyError):  # the exchange itself reports it
            await found.pool.prepare()
        return found

    def hand_over(self, config: Config) -> "Clients":
        """Clients for another configuration; those of unchanged targets move there with their connections."""
        other = Clients(self._library, self._proxies, self._turns)
        for target in config.targets:
            mine = self._clients.get(target.name)
            if mine is not None and mine.target == target:
                other._clients[target.name] = self._clients.pop(target.name)
        return other

    async def aclose(self) -> None:
        """Close what was not handed over."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


class Keyring:
    """Every key seen so far, so that no spelling of any is ever shown."""

    def __init__(self, config: Config, proxies: Mapping[str, str]) -> None:
        self._keys = set(_configured(config)) | set(_proxy_keys(proxies))
        self._redactor = Redactor(self._keys)

    def learn(self, config: Config) -> None:
        """Add the keys of another configuration."""
        self._add(_configured(config))

    def redactor(self, key: Secret | None) -> Redactor:
        """A redactor that knows this key too."""
        if key is not None:
            self._add((key.reveal(),))
        return self._redactor

    def _add(self, keys: Iterable[str]) -> None:
        new = set(keys) - self._keys
        if new:
            self._keys |= new
            self._redactor = Redactor(self._keys)


def _configured(config: Config) -> Iterable[str]:
    credentials = [config.target_credential(target.name) for target in config.targets]
    credentials += [config.organization_credential(each.name) for each in config.organizations]
    for credential in credentials:
        try:
            if credential is not None:
                yield credential.read().reveal()
        except CredentialError:
            continue
    for module in config.modules.values():
        yield from named_secrets(module.request.extra)


def _proxy_keys(proxies: Mapping[str, str]) -> Iterable[str]:
    for name, url in proxies.items():
        if name == "no":
            continue
        try:
            proxy = parse_proxy(url)
        except ProxyError:
            continue
        if proxy.authorization:
            yield proxy.authorization.removeprefix("Basic ")
            yield url.rsplit("@", 1)[0].rsplit(":", 1)[-1]

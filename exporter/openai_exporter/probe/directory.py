# SPDX-License-Identifier: Apache-2.0
"""Which probes a configuration has, and a helpful refusal for every other one."""

from collections.abc import Iterable

from openai_exporter.config import Config
from openai_exporter.config.probing import Module, Target
from openai_exporter.model import ProbeKey

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

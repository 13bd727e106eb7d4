# SPDX-License-Identifier: Apache-2.0
"""Which probe, organization or status page a request means; an unknown name is refused, with what is allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openai_exporter.config import Config
from openai_exporter.model import ProbeKey
from openai_exporter.web.board import probe_keys

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is answered 400.

    Attributes:
        kind: `target`, `module`, `model`, `organization` or `page`: the parameter's name.
        message: one line that names what is allowed.
        missing: the parameter was left out, rather than unknown.
    """

    kind: str
    message: str
    missing: bool = False


def find_probe(config: Config, query: Mapping[str, str]) -> ProbeKey | Refusal:
    """The probe that the parameters target, module and model name.

    The model may be left out where the module has only one, or needs none.
    """
    keys = probe_keys(config)
    if not keys:
        return Refusal("target", "no probes are configured; add some under `probes:`", missing=True)
    target = _choose("target", query, [key.target for key in keys])
    if isinstance(target, Refusal):
        return target
    keys = [key for key in keys if key.target == target]
    module = _choose("module", query, [key.module for key in keys], f" of target {target}")
    if isinstance(module, Refusal):
        return module
    models = [key.model for key in keys if key.module == module]
    model = _choose("model", query, models, f" of module {module} on target {target}")
    return model if isinstance(model, Refusal) else ProbeKey(target, module, model)


def find_name(kind: str, given: str | None, names: Iterable[str]) -> str | Refusal:
    """An organization or status page by name; it may be left out when there is only one."""
    return _choose(kind, {} if given is None else {kind: given}, list(names))


def _choose(kind: str, query: Mapping[str, str], allowed: list[str], where: str = "") -> str | Refusal:
    names = list(dict.fromkeys(allowed))
    given = query.get(kind, "")
    if given in names:
        return given
    if not given and len(names) == 1 and kind not in ("target", "module"):
        return names[0]
    shown = ", ".join(_word(name) for name in names[:_SHOWN]) or "none"
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    if not given:
        return Refusal(kind, f"parameter {kind} is missing; configured{where}: {shown}", missing=True)
    return Refusal(kind, f"unknown {kind} {_quoted(given)}; configured{where}: {shown}")


def _word(name: str) -> str:
    return name or "(none)"


def _quoted(given: str) -> str:
    return repr(given if len(given) <= 80 else f"{given[:77]}...")

# SPDX-License-Identifier: Apache-2.0
"""settings.yml, thresholds.yml and rules.d/ to what Prometheus, Alertmanager and Grafana load, as text by path."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai_exporter.errors import ConfigError, Problem, StartError
from openai_exporter.files import read_text
from openai_exporter.rules.rule_file import HEAD, as_yaml, build_from
from openai_exporter.rules.settings import WHAT, Facts, Settings, located, parse_settings
from openai_exporter.rules.thresholds import load_thresholds

SETTINGS = "alerting/settings.yml"
THRESHOLDS = "alerting/thresholds.yml"
RULES_DIR = "alerting/rules.d"
TEMPLATE = "alerting/alertmanager/templates/openai.tmpl"
RULES = "prometheus/rules"
ALERTMANAGER = "alerting/alertmanager/alertmanager.yml"
OPERATOR = "deploy/kubernetes/components/operator"
DASHBOARDS = "dashboards/generated"

PACKAGED = "_bundle"
"""Folder inside the package; pyproject.toml puts the files there when it builds a wheel."""
_PROOF = "mixin.libsonnet"
"""A file that each root of a bundle has."""

_FACTS = """
local channels = import 'alerting/alertmanager/channels.libsonnet';
{
  config: (import 'alerting/config.libsonnet')._config,
  allowed: channels.allowed,
  required: channels.required,
  since: channels.since,
}
"""
_MIXIN = "(import 'mixin.libsonnet') + { _config:: std.mergePatch(super._config, %s) }"
# The operator's users have rules for Prometheus and Alertmanager themselves, whose jobs bear other names there.
_OPERATED = """
(import 'deploy/kubernetes/operator.libsonnet')(
  %s + { _config+:: { prometheusSelector: '', alertmanagerSelector: '' } }
)
"""
_OF_ALERTS = {"alertmanager", "teams", "severities", "disabledAlerts", "grafanaUrl", "prometheusSelector", "retention"}
_UNTOUCHED = {"prometheusRuleFiles": {"alertmanager"}, "grafanaDashboards": _OF_ALERTS}
"""Product of the mixin, slow to evaluate -> keys of `_config` that do not change it."""
_RULE_KEYS = ("name", "interval", "record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations", "rules")
_ALERTMANAGER_KEYS = ("global", "templates", "route", "receivers", "inhibit_rules", "time_intervals")
"""Keys in the order in which people read them; Jsonnet sorts them by name."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the three programs load.

    Attributes:
        files: path below the bundle's root -> text.
        left_out: what is wrong with raw rule files that are not in it.
        notes: what a person should know.
    """

    files: Mapping[str, str]
    left_out: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def bundle_root() -> Path:
    """The folder that holds the bundle.

    Raises:
        StartError: the package was installed without it.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / PACKAGED, package.parent.parent):
        if (root / _PROOF).is_file():
            return root
    raise StartError(f"{package / PACKAGED} is missing: install openai-exporter from its wheel or sdist again")


def evaluate(expression: str, root: Path) -> Any:
    """The value of a Jsonnet expression; imports are found from `root`.

    Raises:
        StartError: it does not evaluate; the message is what the sources say, without their stack.
    """
    # Imported late: only what compiles needs it, and it brings the runtime of Go.
    import _gojsonnet

    try:
        return json.loads(_gojsonnet.evaluate_snippet(str(root / "bundle"), expression, jpathdir=[str(root)]))
    except RuntimeError as error:
        lines = str(error).removeprefix("RUNTIME ERROR: ").splitlines()
        raise StartError("\n".join(line for line in lines if line.strip() and not line.startswith("\t"))) from None


@functools.cache
def facts(root: Path) -> Facts:
    """What the Jsonnet sources know of settings."""
    return Facts(**evaluate(_FACTS, root))


def load_settings(path: Path, root: Path) -> Settings:
    """Decode and check a file of settings.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_settings(read_text(path, WHAT), str(path), facts(root))


def compile_bundle(
    alerting: Path,
    root: Path,
    *,
    settings: Settings | None = None,
    changes: Mapping[str, Any] | None = None,
    promtool: str | None = None,
    operator: bool = False,
) -> Compiled:
    """Compile settings.yml, thresholds.yml and rules.d/ of a directory, or the shipped one where it lacks one.

    Args:
        root: where the Jsonnet sources are.
        settings: in place of settings.yml.
        changes: of `_config`, over those of the settings.
        promtool: path of promtool, None to go by our own checks alone.
        operator: whether resources of the Prometheus Operator are wanted, too.

    Raises:
        ConfigError: a mistake in settings or thresholds.
        StartError: promtool cannot be run, or refuses what was compiled.
    """
    settings = settings or load_settings(source(alerting, root, SETTINGS), root)
    defaults = facts(root).config
    patch = {key: each for key, each in _merged(settings.config, changes or {}).items() if each != defaults[key]}
    mixin = _MIXIN % json.dumps(patch)
    # Of a package, what is shipped is what the defaults make.
    shipped = {name for name, keys in _UNTOUCHED.items() if root.name == PACKAGED and keys.issuperset(patch)}
    wanted = [name for name in (*_UNTOUCHED, "alertmanagerConfig") if name not in shipped]
    try:
        found = evaluate(f"local mixin = {mixin}; {{ {', '.join(f'{name}: mixin.{name}' for name in wanted)} }}", root)
        resources = evaluate(_OPERATED % mixin, root) if operator else None
    except StartError as error:
        raise ConfigError(located(str(error), settings)) from None
    thresholds = load_thresholds(source(alerting, root, THRESHOLDS), shared(root, patch))
    built = build_from(thresholds, "thresholds.yml", source(alerting, root, RULES_DIR), promtool)
    rules = found.get("prometheusRuleFiles", {})
    files = {
        **(_shipped(root, RULES, "*.yml") if not rules else {}),
        **{f"{RULES}/{name}": _text(_ordered(rules[name])) for name in sorted(rules)},
        f"{RULES}/user-thresholds.yml": built.text,
        ALERTMANAGER: _text({key: found["alertmanagerConfig"][key] for key in _ALERTMANAGER_KEYS}),
        TEMPLATE: _linked((root / TEMPLATE).read_text(encoding="utf-8"), settings.links),
        **(_shipped(root, DASHBOARDS, "*.json") if "grafanaDashboards" in shipped else {}),
        **{f"{DASHBOARDS}/{name}": _json(page) for name, page in sorted(found.get("grafanaDashboards", {}).items())},
        **(_resources(resources, built.groups) if resources else {}),
    }
    return Compiled(files, built.left_out, built.notes)


def _shipped(root: Path, folder: str, pattern: str) -> dict[str, str]:
    return {f"{folder}/{path.name}": path.read_text(encoding="utf-8") for path in sorted((root / folder).glob(pattern))}


def shared(root: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What thresholds take from the settings: `changes` of the defaults of `_config`."""
    config = {**facts(root).config, **changes}
    keys = {
        "selector": "selector",
        "interval": "probeInterval",
        "grafana_url": "grafanaUrl",
        "runbook_url": "runbookUrlPattern",
    }
    return {key: config[name] for key, name in keys.items()}


def with_values(text: str, values: Mapping[tuple[str, ...], str]) -> str:
    """The shipped settings with these values in place of commented defaults."""
    for path, value in values.items():
        *holders, key = path
        above = "".join(f"#{holder}:\n" for holder in holders)
        match = re.search(rf"^{above}#( *{key}): .*$", text, re.MULTILINE)
        assert match, f"settings.yml shows no default of {key}"
        line = f"{above.replace('#', '')}{match[1]}: {json.dumps(value)}"
        text = text[: match.start()] + line + text[match.end() :]
    return text


def source(alerting: Path, root: Path, name: str) -> Path:
    """A file of the user's, or the shipped one where there is none."""
    own = alerting / Path(name).name
    return own if own.exists() else root / name


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _text(document: Any) -> str:
    return HEAD.format(sources=SETTINGS) + as_yaml(document)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _ordered(item: dict[str, Any]) -> dict[str, Any]:
    """Groups and rules with their keys in reading order."""
    groups = item.get("groups")
    if groups is not None:
        return {"groups": [_ordered(group) for group in groups]}
    ordered = {key: item[key] for key in _RULE_KEYS if key in item}
    return ordered | ({"rules": [_ordered(rule) for rule in item["rules"]]} if "rules" in item else {})


def _linked(template: str, links: Mapping[str, str]) -> str:
    """The notification texts, with links to other addresses than Alertmanager and Prometheus know of themselves."""
    if "alertmanager" in links:
        template = template.replace("{{ .ExternalURL }}", links["alertmanager"])
    if "prometheus" in links:
        root = f'reReplaceAll "^.*/graph[?]" "{links["prometheus"]}/graph?"'
        template = template.replace("$alert.GeneratorURL", f"$alert.GeneratorURL | {root}")
    return template


def _resources(found: Mapping[str, Any], user_groups: list[Any]) -> dict[str, str]:
    """Rules and routing as resources of the Prometheus Operator."""
    resources = found["prometheusRules"]
    rules = [resources[name] | {"spec": _ordered(resources[name]["spec"])} for name in sorted(resources)]
    metadata = rules[0]["metadata"] | {"name": "openai-user-thresholds"}
    rules.append(rules[0] | {"metadata": metadata, "spec": {"groups": user_groups}})
    return {
        f"{OPERATOR}/prometheusrules.yaml": HEAD.format(sources=SETTINGS) + "---\n".join(map(as_yaml, rules)),
        f"{OPERATOR}/alertmanagerconfig.yaml": _text(found["alertmanagerConfig"]),
    }

# SPDX-License-Identifier: Apache-2.0
"""The bundle as tests read it: the generated files as data, the mixin with settings, and the tools that check it."""

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# go-jsonnet is several times faster; a test holds both engines to the same result.
_ENGINE: Any = importlib.import_module("_gojsonnet" if importlib.util.find_spec("_gojsonnet") else "_jsonnet")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "prometheus" / "rules"
RUNBOOKS = ROOT / "alerting" / "runbooks"
ALERTMANAGER = ROOT / "alerting" / "alertmanager"


def every(variable: str, name: str) -> tuple[str, ...]:
    """Every version of a program that is at hand: those that a variable lists like PATH, else all on PATH."""
    folders = os.get_exec_path()
    given = os.environ.get(variable)
    paths = given.split(os.pathsep) if given else [shutil.which(name, path=folder) or "" for folder in folders]
    return tuple({os.path.realpath(path): path for path in reversed(paths) if path}.values())[::-1]


PROMTOOLS = every("PROMTOOL_BINARY", "promtool")
AMTOOLS = every("AMTOOL_BINARY", "amtool")
PROMTOOL = PROMTOOLS[0] if PROMTOOLS else None
AMTOOL = AMTOOLS[0] if AMTOOLS else None
ALERTMANAGER_BINARY = os.environ.get("ALERTMANAGER_BINARY") or shutil.which("prometheus-alertmanager")
JSONNETFMT = shutil.which("jsonnetfmt")

FRUGAL = {"GOGC": "800", "GOMAXPROCS": "1"}
"""Environment of tools: a short run in Go needs no second core for collecting garbage."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; its output is text."""
    return subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=800, env=os.environ | FRUGAL
    )


@cache
def version(tool: str) -> str:
    """Name and version of a program, such as `promtool 2.42.0`."""
    if not tool:
        return "none"
    said = run(tool, "--version")
    words = (said.stdout + said.stderr).split()
    return f"{words[0].rstrip(',')} {words[2].partition('+')[0]}"


def load_yaml(path: Path) -> Any:
    """The document in a file, read by libyaml where PyYAML has it: nine times faster."""
    return yaml.load(path.read_text(), _LOADER)


@cache
def rule_files() -> dict[str, dict[str, Any]]:
    """What the mixin generates in prometheus/rules/, file name -> content; what users add there is not ours."""
    paths = [*RULES.glob("alerts-*.yml"), *RULES.glob("recording-*.yml")]
    return {path.name: load_yaml(path) for path in sorted(paths)}


@cache
def alert_rules() -> tuple[dict[str, Any], ...]:
    """Every alerting rule, in the order of the files."""
    return tuple(
        rule
        for document in rule_files().values()
        for group in document["groups"]
        for rule in group["rules"]
        if "alert" in rule
    )


def evaluate(expression: str) -> Any:
    """The value of a Jsonnet expression, imports found from the repository's root."""
    return json.loads(_ENGINE.evaluate_snippet(str(ROOT / "test"), expression, jpathdir=[str(ROOT)]))


def mixin(field: str, settings: str = "{}") -> Any:
    """A field of the mixin, with settings laid over `_config`."""
    return evaluate(f"((import 'mixin.libsonnet') + {{ _config+:: {settings} }}).{field}")


def write_rules(folder: Path, settings: str, only: Collection[str] = ()) -> list[Path]:
    """The shipped rule files, or those of some names, in a folder, with settings laid over `_config`."""
    found = {
        folder / name: rules
        for name, rules in mixin("prometheusRuleFiles", settings).items()
        if not only or name in only
    }
    for path, rules in found.items():
        path.write_text(yaml.safe_dump(rules))
    return list(found)


def errors_of(settings: str, field: str = "prometheusAlerts") -> str:
    """The message with which the mixin refuses settings; empty when it takes them."""
    try:
        mixin(field, settings)
    except RuntimeError as error:
        return str(error).split("\n\t")[0].removeprefix("RUNTIME ERROR: ")
    return ""

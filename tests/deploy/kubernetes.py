# SPDX-License-Identifier: Apache-2.0
"""The manifests as kustomize builds them, and what checks them."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
CHART = ROOT / "deploy/helm"
SCHEMAS = Path(__file__).parent / "schemas"
Resource = dict[str, Any]


def kubectl() -> str | None:
    """Path of kubectl, whose kustomize is built in: on PATH, or installed beside this interpreter."""
    beside = Path(sys.executable).with_name("kubectl")
    return os.environ.get("KUBECTL_BINARY") or shutil.which("kubectl") or (str(beside) if beside.is_file() else None)


def build(folder: Path) -> list[Resource]:
    """The resources of a kustomization; skips where kubectl is missing."""
    program = kubectl()
    if program is None:
        pytest.skip("kubectl is not installed: nothing builds the overlays (tools/requirements-deploy.lock)")
    found = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return list(documents(found.stdout))


def documents(text: str) -> Iterator[Resource]:
    """Every resource of a stream."""
    yield from (each for each in yaml.load_all(text, yaml.CSafeLoader) if each)


def layer(folder: Path, **document: Any) -> Path:
    """A kustomization of a user's own in `folder`; paths in `document` are made relative, as kustomize wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("resources", "components"):
        document[name] = [os.path.relpath(path, folder.resolve()) for path in document.get(name, [])]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return folder


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; skips where it is missing."""
    program = os.environ.get("HELM_BINARY") or shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed: nothing builds the chart (tools/versions.sh fetch)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600)


@cache
def _chart(folder: Path, namespace: str, flags: tuple[str, ...]) -> tuple[Resource, ...]:
    found = helm("template", "any-name", str(folder), "--namespace", namespace, *flags)
    assert found.returncode == 0, found.stderr
    return tuple(documents(found.stdout))


def chart(*flags: str, namespace: str = "monitoring", folder: Path = CHART) -> list[Resource]:
    """The resources of the Helm chart with these flags."""
    return copy.deepcopy(list(_chart(folder, namespace, flags)))


@cache
def _overlay(name: str) -> tuple[Resource, ...]:
    return tuple(build(FOLDER / "overlays" / name))


def overlay(name: str) -> list[Resource]:
    """The resources of a shipped overlay, a copy of one's own."""
    return copy.deepcopy(list(_overlay(name)))


def named(resources: list[Resource], kind: str, name: str | None = None) -> Resource:
    """The one resource of that kind, or of that kind and name."""
    found = [each for each in resources if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, [(each["kind"], each["metadata"]["name"]) for each in resources]
    return found[0]


def written(pattern: str = "**/*.yaml") -> Iterator[tuple[Path, Resource]]:
    """Every resource of the committed manifests, as it stands in the files; not what configures kustomize."""
    for path in sorted(FOLDER.glob(pattern)):
        for each in documents(path.read_text(encoding="utf-8")):
            if "kind" in each:
                yield path, each


@cache
def schema(kind: str) -> Any:
    """The validation schema of an operator's kind, unknown fields refused."""
    return _strict(json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")))


def _strict(node: Any) -> Any:
    """The API server drops fields that a structural schema does not name; here they are a mistake."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    result = {name: _strict(value) for name, value in node.items()}
    if isinstance(node.get("pattern"), str) and "(?i)" in node["pattern"]:
        # Go takes flags anywhere, Python at the start only.
        result["pattern"] = "(?i)" + node["pattern"].replace("(?i)", "")
    opened = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
    if isinstance(node.get("properties"), dict) and not opened:
        result["additionalProperties"] = False
    return result


def mistakes(resource: Resource) -> list[str]:
    """What the operator's schema has to say about a resource of its kinds."""
    document = schema(resource["kind"])
    document["properties"]["metadata"] = {"type": "object"}
    found = [f"{error.json_path}: {error.message}" for error in _errors(document, resource)]
    if resource["kind"] == "AlertmanagerConfig":
        # Child routes are free JSON in the schema, since a schema cannot refer to itself there.
        route = document["properties"]["spec"]["properties"]["route"]
        for child in _children(resource["spec"]["route"]):
            found += [f"route {child['receiver']}: {error.message}" for error in _errors(route, child)]
    return found


def _errors(document: Any, value: Any) -> list[jsonschema.ValidationError]:
    return list(jsonschema.Draft202012Validator(document).iter_errors(value))


def _children(route: Resource) -> Iterator[Resource]:
    for each in route.get("routes", []):
        yield {name: value for name, value in each.items() if name != "routes"}
        yield from _children(each)
